# From candidates to an agreed dataset. All but the evaluation of triage and the saturation is opt-in.

from attention_faults.labelling import importing, protocol

LABELLING = "results/labelling"
try:
    STUDY_FILE = shipped(config["labelling"])
    PROTOCOL = protocol.load(Path(STUDY_FILE))
except InputError as error:
    raise WorkflowError(str(error)) from None

STUDY_FILES = {
    "study": STUDY_FILE,
    "candidates": [str(path) for path in PROTOCOL.candidates],
    "codebooks": [str(path) for path in PROTOCOL.codebook_files],
    "migrations": [str(path) for path in PROTOCOL.migration_files],
}
LABELLING_NOTE = PROTOCOL.release.summary
RELEASED = [name for name in RATED if DATASETS[name].schema.with_name("release.yaml").exists()]


rule label_import:
    input:
        **STUDY_FILES,
        returned=[str(path) for path in importing.returned_files(PROTOCOL.returned)],
    output:
        f"{LABELLING}/ratings.csv",
    log:
        f"{LABELLING}/logs/label_import.log",
    benchmark:
        f"{LABELLING}/timings/label_import.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
    script:
        "../../scripts/label_import.py"


rule label_tasks:
    input:
        **STUDY_FILES,
        ratings=f"{LABELLING}/ratings.csv",
    output:
        directory(f"{LABELLING}/tasks"),
    log:
        f"{LABELLING}/logs/label_tasks.log",
    benchmark:
        f"{LABELLING}/timings/label_tasks.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
    script:
        "../../scripts/label_tasks.py"


rule label_status:
    input:
        **STUDY_FILES,
        ratings=f"{LABELLING}/ratings.csv",
    output:
        **table("label_status", "Labelling", LABELLING),
        **table("label_agreement", "Labelling", LABELLING),
        **table("confused_labels", "Labelling", LABELLING),
        **table("discuss_first", "Labelling", LABELLING),
        **table("final_labels", "Labelling", LABELLING),
        page=f"{LABELLING}/status.html",
    log:
        f"{LABELLING}/logs/label_status.log",
    benchmark:
        f"{LABELLING}/timings/label_status.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        interval=config["interval"],
        seed=config["seed"],
        note=LABELLING_NOTE,
    script:
        "../../scripts/label_status.py"


rule label_triage:
    input:
        **STUDY_FILES,
        ratings=f"{LABELLING}/ratings.csv",
        records=f"results/{config['datasets'][0]}/records.parquet",
        codebook=DATASETS[config["datasets"][0]].codebook,
        pool=str(PROTOCOL.triage.pool) if PROTOCOL.triage else [],
    output:
        ranking=f"{LABELLING}/triage/ranking.csv",
        batch=f"{LABELLING}/triage/batch.csv",
        recall=f"{LABELLING}/triage/recall.csv",
    log:
        f"{LABELLING}/logs/label_triage.log",
    benchmark:
        f"{LABELLING}/timings/label_triage.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        wanted=config["triage"]["recall"],
        level=config["interval"]["level"],
    script:
        "../../scripts/label_triage.py"


rule label_release:
    input:
        **STUDY_FILES,
        ratings=f"{LABELLING}/ratings.csv",
    output:
        directory(f"{LABELLING}/release"),
    log:
        f"{LABELLING}/logs/label_release.log",
    benchmark:
        f"{LABELLING}/timings/label_release.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        interval=config["interval"],
        seed=config["seed"],
    script:
        "../../scripts/label_release.py"


rule release_dataset:
    input:
        ratings=lambda wildcards: DATASETS[wildcards.dataset].ratings,
        records="results/{dataset}/records.parquet",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
        release=lambda wildcards: DATASETS[wildcards.dataset].schema.with_name("release.yaml"),
    output:
        directory("results/{dataset}/release"),
    log:
        "results/{dataset}/logs/release_dataset.log",
    benchmark:
        "results/{dataset}/timings/release_dataset.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        interval=config["interval"],
        seed=config["seed"],
    script:
        "../../scripts/release_dataset.py"


rule dataset:
    input:
        expand("results/{dataset}/release", dataset=RELEASED),
        # a study that nobody has rated yet has nothing to release
        f"{LABELLING}/release" if rules.label_import.input.returned else [],


rule evaluate_triage:
    input:
        records="results/{dataset}/records.parquet",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **table("triage", "Labelling"),
    log:
        "results/{dataset}/logs/evaluate_triage.log",
    benchmark:
        "results/{dataset}/timings/evaluate_triage.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        triage=config["triage"],
        interval=config["interval"],
        seed=config["seed"],
        note=note,
    script:
        "../../scripts/evaluate_triage.py"


rule measure_saturation:
    input:
        records="results/{dataset}/records.parquet",
        codebook=lambda wildcards: DATASETS[wildcards.dataset].codebook,
    output:
        **table("saturation", "Labelling"),
        **table("accumulation", "Labelling"),
        **figure("accumulation_curve", "Labelling"),
    log:
        "results/{dataset}/logs/measure_saturation.log",
    benchmark:
        "results/{dataset}/timings/measure_saturation.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        orders=config["saturation"]["orders"],
        level=config["interval"]["level"],
        seed=config["seed"],
        note=note,
    script:
        "../../scripts/measure_saturation.py"
