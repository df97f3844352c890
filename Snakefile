configfile: f"{workflow.basedir}/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/Snakefile"


rule all:
    default_target: True
    input:
        rules.taxonomy.input,
        rules.curvature.input,
        rules.reports.input,
