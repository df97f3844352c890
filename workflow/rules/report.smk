# What is made of all results of one dataset, and of all datasets: named targets, provenance, report.

TABLES = [
    "records",
    "prevalence",
    "scope_by_group",
    "association",
    "association_cells",
    "heuristics",
]
TABLES += [
    "heuristics_summary",
    "heuristics_grid",
    "heuristics_significance",
    "suggestions",
    "claims",
]
FIGURES = [
    "taxonomy_tree",
    "category_shares",
    "root_cause_shares",
    "symptom_to_category",
]
FIGURES += ["symptom_by_root_cause", "heuristics_coverage"]
RATING_TABLES = ["adjudication", "agreement", "confusion"]
RATING_FIGURES = ["agreement_by_facet", "category_confusion"]
COMPARISON = [f"results/compare/tables/datasets{suffix}" for suffix in TABLE_FORMATS]
COMPARISON += [
    f"results/compare/figures/dataset_shares{suffix}" for suffix in FIGURE_FORMATS
]


def tables_of(dataset):
    names = TABLES + (RATING_TABLES if dataset in RATED else [])
    return expand(
        f"results/{dataset}/tables/{{name}}{{format}}", name=names, format=TABLE_FORMATS
    )


def figures_of(dataset):
    names = FIGURES + (RATING_FIGURES if dataset in RATED else [])
    names += ["frameworks"] if "framework" in SCHEMAS[dataset].columns else []
    return expand(
        f"results/{dataset}/figures/{{name}}{{format}}",
        name=names,
        format=FIGURE_FORMATS,
    )


def results_of(wildcards):
    return tables_of(wildcards.dataset) + figures_of(wildcards.dataset)


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
        "docs/inventory.md",


rule reports:
    input:
        expand("results/{dataset}/report.html", dataset=DATASETS),


rule compare_datasets:
    input:
        expand("results/{dataset}/tables/prevalence.csv", dataset=DATASETS),
    output:
        **table("datasets", "Comparison", folder="results/compare"),
        **figure("dataset_shares", "Comparison", folder="results/compare"),
    log:
        "results/compare/logs/compare_datasets.log",
    benchmark:
        "results/compare/timings/compare_datasets.tsv"
    conda:
        "../../environment.yml"
    params:
        datasets=list(DATASETS),
        note="; ".join(f"{name}: {note_of(name)}" for name in DATASETS),
    script:
        "../../scripts/compare_datasets.py"


rule write_provenance:
    input:
        results_of,
        records=records_file,
        protocol="docs/protocol.md",
    output:
        "results/{dataset}/provenance.json",
    log:
        "results/{dataset}/logs/write_provenance.log",
    benchmark:
        "results/{dataset}/timings/write_provenance.tsv"
    conda:
        "../../environment.yml"
    params:
        entry=lambda wildcards: DATASETS[wildcards.dataset],
        configuration=config,
    script:
        "../../scripts/write_provenance.py"


rule render_report:
    input:
        results_of,
        COMPARISON,
        "results/{dataset}/provenance.json",
    output:
        "results/{dataset}/report.html",
    log:
        "results/{dataset}/logs/render_report.log",
    benchmark:
        "results/{dataset}/timings/render_report.tsv"
    conda:
        "../../environment.yml"
    shell:
        # --nolock: the run that starts this job holds the lock
        "snakemake --nolock --cores 1 --report {output} {input} > {log} 2>&1"


def files_of(rule):
    """Outputs of a rule, wildcards without their constraints."""
    return tuple(re.sub(r"\{(\w+),[^}]*\}", r"{\1}", str(file)) for file in rule.output)


rule write_inventory:
    input:
        claims=config["claims"],
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
