# The taxonomy study of one dataset.


rule fetch_dataset:
    output:
        "results/{dataset}/source/{file}",
    log:
        "results/{dataset}/logs/fetch_dataset/{file}.log",
    benchmark:
        "results/{dataset}/timings/fetch_dataset/{file}.tsv"
    retries: 3
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        url=lambda wildcards: DATASETS[wildcards.dataset].path,
        sha256=lambda wildcards: DATASETS[wildcards.dataset].sha256,
    script:
        "../../scripts/fetch_dataset.py"


rule validate_dataset:
    input:
        source=records_file,
        schema=lambda wildcards: DATASETS[wildcards.dataset].schema,
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **table("records", "Dataset"),
        dataset="results/{dataset}/records.parquet",
    log:
        "results/{dataset}/logs/validate_dataset.log",
    benchmark:
        "results/{dataset}/timings/validate_dataset.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        sha256=lambda wildcards: DATASETS[wildcards.dataset].sha256,
        note=note,
        limits=lambda wildcards: SCHEMAS[wildcards.dataset].limits,
    script:
        "../../scripts/validate_dataset.py"


rule adjudicate:
    input:
        ratings=lambda wildcards: DATASETS[wildcards.dataset].ratings,
        records="results/{dataset}/records.parquet",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **table("adjudication", "Dataset"),
        labels="results/{dataset}/adjudicated.csv",
    log:
        "results/{dataset}/logs/adjudicate.log",
    benchmark:
        "results/{dataset}/timings/adjudicate.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        note=note,
    script:
        "../../scripts/adjudicate.py"


rule measure_agreement:
    input:
        ratings=lambda wildcards: DATASETS[wildcards.dataset].ratings,
        records="results/{dataset}/records.parquet",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **table("agreement", "Agreement"),
        **table("confusion", "Agreement"),
    log:
        "results/{dataset}/logs/measure_agreement.log",
    benchmark:
        "results/{dataset}/timings/measure_agreement.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        interval=config["interval"],
        seed=config["seed"],
        note=note,
    script:
        "../../scripts/measure_agreement.py"


rule measure_prevalence:
    input:
        records="results/{dataset}/records.parquet",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **table("prevalence", "Prevalence"),
        **table("scope_by_group", "Prevalence"),
    log:
        "results/{dataset}/logs/measure_prevalence.log",
    benchmark:
        "results/{dataset}/timings/measure_prevalence.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        interval=config["interval"],
        seed=config["seed"],
        note=note,
    script:
        "../../scripts/measure_prevalence.py"


rule test_associations:
    input:
        records="results/{dataset}/records.parquet",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **table("association", "Association"),
        **table("association_cells", "Association"),
    log:
        "results/{dataset}/logs/test_associations.log",
    benchmark:
        "results/{dataset}/timings/test_associations.tsv"
    # the longest job of a large dataset: to start it last would leave a core idle
    priority: 1
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        association=config["association"],
        level=config["interval"]["level"],
        seed=config["seed"],
        note=note,
    script:
        "../../scripts/test_associations.py"


rule derive_heuristics:
    input:
        records="results/{dataset}/records.parquet",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **table("heuristics", "Heuristics"),
        **table("heuristics_summary", "Heuristics"),
        **table("heuristics_grid", "Heuristics"),
        **table("heuristics_significance", "Heuristics"),
    log:
        "results/{dataset}/logs/derive_heuristics.log",
    benchmark:
        "results/{dataset}/timings/derive_heuristics.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        heuristics=config["heuristics"],
        interval=config["interval"],
        seed=config["seed"],
        note=note,
    script:
        "../../scripts/derive_heuristics.py"


rule evaluate_suggestions:
    input:
        records="results/{dataset}/records.parquet",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **table("suggestions", "Suggestions"),
    log:
        "results/{dataset}/logs/evaluate_suggestions.log",
    benchmark:
        "results/{dataset}/timings/evaluate_suggestions.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        suggestion=config["suggestion"],
        interval=config["interval"],
        seed=config["seed"],
        note=note,
    script:
        "../../scripts/evaluate_suggestions.py"


rule check_claims:
    input:
        claims=shipped(config["claims"]),
        records="results/{dataset}/records.parquet",
        prevalence="results/{dataset}/tables/prevalence.csv",
        heuristics="results/{dataset}/tables/heuristics_summary.csv",
        agreement=agreement_table,
    output:
        **table("claims", "Claims"),
    log:
        "results/{dataset}/logs/check_claims.log",
    benchmark:
        "results/{dataset}/timings/check_claims.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        population=lambda wildcards: DATASETS[wildcards.dataset].population,
        note=note,
    script:
        "../../scripts/check_claims.py"


rule draw_taxonomy:
    input:
        records="results/{dataset}/records.parquet",
        prevalence="results/{dataset}/tables/prevalence.csv",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **figure("taxonomy_tree", "Prevalence"),
        **figure("category_shares", "Prevalence"),
        **figure("root_cause_shares", "Prevalence"),
        **figure("symptom_to_category", "Association"),
    log:
        "results/{dataset}/logs/draw_taxonomy.log",
    benchmark:
        "results/{dataset}/timings/draw_taxonomy.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        note=note,
    script:
        "../../scripts/draw_taxonomy.py"


rule draw_frameworks:
    input:
        records="results/{dataset}/records.parquet",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **figure("frameworks", "Prevalence"),
    log:
        "results/{dataset}/logs/draw_frameworks.log",
    benchmark:
        "results/{dataset}/timings/draw_frameworks.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        note=note,
    script:
        "../../scripts/draw_frameworks.py"


rule draw_associations:
    input:
        cells="results/{dataset}/tables/association_cells.csv",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **figure("symptom_by_root_cause", "Association"),
    log:
        "results/{dataset}/logs/draw_associations.log",
    benchmark:
        "results/{dataset}/timings/draw_associations.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        level=config["interval"]["level"],
        note=note,
    script:
        "../../scripts/draw_associations.py"


rule draw_heuristics:
    input:
        claims=shipped(config["claims"]),
        grid="results/{dataset}/tables/heuristics_grid.csv",
        summary="results/{dataset}/tables/heuristics_summary.csv",
    output:
        **figure("heuristics_coverage", "Heuristics"),
    log:
        "results/{dataset}/logs/draw_heuristics.log",
    benchmark:
        "results/{dataset}/timings/draw_heuristics.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        note=note,
    script:
        "../../scripts/draw_heuristics.py"


rule draw_agreement:
    input:
        agreement="results/{dataset}/tables/agreement.csv",
        confusion="results/{dataset}/tables/confusion.csv",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **figure("agreement_by_facet", "Agreement"),
        **figure("category_confusion", "Agreement"),
    log:
        "results/{dataset}/logs/draw_agreement.log",
    benchmark:
        "results/{dataset}/timings/draw_agreement.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        note=note,
    script:
        "../../scripts/draw_agreement.py"
