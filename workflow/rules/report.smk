# What is made of all results of one dataset, and of all datasets: named targets, provenance, report.


rule tables:
    input:
        [tables_of(dataset) for dataset in DATASETS],


rule figures:
    input:
        [figures_of(dataset) for dataset in DATASETS],


rule taxonomy:
    input:
        rules.tables.input,
        rules.figures.input,
        COMPARISON,
        expand("results/{dataset}/provenance.json", dataset=DATASETS),


rule reports:
    input:
        expand("results/{dataset}/report.html", dataset=[*DATASETS, "curvature"]),


rule compare_datasets:
    input:
        expand("results/{dataset}/tables/prevalence.csv", dataset=DATASETS),
    output:
        table="results/compare/tables/datasets.csv",
        figure="results/compare/figures/dataset_shares.png",
        others=COMPARISON,
    log:
        "results/compare/logs/compare_datasets.log",
    benchmark:
        "results/compare/timings/compare_datasets.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        datasets=list(DATASETS),
        note="; ".join(f"{name}: {note_of(name)}" for name in DATASETS),
    script:
        "../../scripts/compare_datasets.py"


rule write_provenance:
    input:
        results_of,
        records=records_file,
        protocol=shipped("docs/protocol.md"),
    output:
        provenance="results/{dataset}/provenance.json",
        configuration="results/{dataset}/configuration.json",
    log:
        "results/{dataset}/logs/write_provenance.log",
    benchmark:
        "results/{dataset}/timings/write_provenance.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        dataset=described,
        configuration=config,
    script:
        "../../scripts/write_provenance.py"


rule render_report:
    input:
        results_of,
        configuration="results/{dataset}/configuration.json",
    output:
        "results/{dataset}/report.html",
    log:
        "results/{dataset}/logs/render_report.log",
    benchmark:
        "results/{dataset}/timings/render_report.tsv"
    conda:
        "../../environment.yml"
    params:
        shown=lambda wildcards, input: [file for file in input if file.endswith((".html", ".png"))],
        snakefile=workflow.main_snakefile,
    shell:
        # --nolock: the run that starts this job holds the lock
        "snakemake --snakefile {params.snakefile:q} --configfile {input.configuration} --nolock --cores 1"
        " --report {output} -- {params.shown} > {log} 2>&1"


rule write_curvature_provenance:
    input:
        CURVATURE_RESULTS,
        protocol=shipped("docs/protocol.md"),
    output:
        provenance=f"{CURVATURE}/provenance.json",
        configuration=f"{CURVATURE}/configuration.json",
    log:
        f"{CURVATURE}/logs/write_curvature_provenance.log",
    benchmark:
        f"{CURVATURE}/timings/write_curvature_provenance.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        data=list(DATA.values()),
        configuration=config,
    script:
        "../../scripts/write_curvature_provenance.py"


use rule render_report as render_curvature_report with:
    input:
        CURVATURE_RESULTS,
        configuration=f"{CURVATURE}/configuration.json",
    output:
        f"{CURVATURE}/report.html",
    log:
        f"{CURVATURE}/logs/render_report.log",
    benchmark:
        f"{CURVATURE}/timings/render_report.tsv"


rule write_inventory:
    input:
        claims=shipped(config["claims"]),
    output:
        "docs/inventory.md",
    log:
        "results/compare/logs/write_inventory.log",
    benchmark:
        "results/compare/timings/write_inventory.tsv"
    conda:
        "../../environment.yml"
    params:
        rules=[
            (rule.name, f"scripts/{Path(rule.script).name}", files_of(rule))
            for rule in workflow.rules
            if rule.script
        ],
    script:
        "../../scripts/write_inventory.py"


rule write_fault_docs:
    output:
        "docs/faults.md",
    log:
        "results/compare/logs/write_fault_docs.log",
    benchmark:
        "results/compare/timings/write_fault_docs.tsv"
    conda:
        "../../environment.yml"
    params:
        code=MODEL_CODE,
        models=BUILT,
        seed=config["seed"],
    script:
        "../../scripts/write_fault_docs.py"


rule write_findings:
    input:
        REFERENCE_RUNS,
    output:
        "docs/findings.md",
    log:
        "results/compare/logs/write_findings.log",
    benchmark:
        "results/compare/timings/write_findings.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
    script:
        "../../scripts/write_findings.py"
