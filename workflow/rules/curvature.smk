# The curvature study: models trained clean and faulty, and which faults show in their task metric.

CURVATURE = "results/curvature"
MODELS = {name: STUDY.models[name] for name in STUDY.curvature.models}
DATA = {name: str(campaign.data_path(model.data)) for name, model in MODELS.items() if model.data}
CURVATURE_NOTE = " ".join(
    [f"Real data: {', '.join(DATA)}."] * bool(DATA)
    + [f"SYNTHETIC DATA: {', '.join(name for name in MODELS if name not in DATA)}."] * (len(DATA) < len(MODELS))
    + ["Verdicts screen each mutant alone, uncorrected for their number."]
)
CURVATURE_TABLES = ["catalogue", "runs", "clean_accuracies", "mutants", "mutation_scores"]
CURVATURE_FIGURES = ["accuracy_drops", "mutation_score_by_category"]
CURVATURE_RESULTS = expand(
    f"{CURVATURE}/tables/{{name}}{{format}}", name=CURVATURE_TABLES, format=TABLE_FORMATS
) + expand(f"{CURVATURE}/figures/{{name}}{{format}}", name=CURVATURE_FIGURES, format=FIGURE_FORMATS)


wildcard_constraints:
    model="|".join(map(re.escape, MODELS)),
    series="[^/]+",


rule curvature:
    input:
        CURVATURE_RESULTS,
        f"{CURVATURE}/provenance.json",


rule train_series:
    input:
        data=lambda wildcards: DATA.get(wildcards.model, []),
    output:
        summary=f"{CURVATURE}/runs/{{model}}/{{series}}/train.json",
        checkpoints=directory(f"{CURVATURE}/runs/{{model}}/{{series}}/checkpoints"),
    log:
        f"{CURVATURE}/logs/train_series/{{model}}/{{series}}.log",
    benchmark:
        f"{CURVATURE}/timings/train_series/{{model}}/{{series}}.tsv"
    threads: STUDY.curvature.threads
    resources:
        gpu=int(STUDY.curvature.device != "cpu"),
    conda:
        "../../environment.yml"
    params:
        code=MODEL_CODE,
        series=lambda wildcards: SERIES[wildcards.model, wildcards.series],
        model=lambda wildcards: MODELS[wildcards.model],
        machine={name: config["curvature"][name] for name in ("device", "dtype", "threads")},
        seed=config["seed"],
    script:
        "../../scripts/train_series.py"


rule describe_faults:
    output:
        **table("catalogue", "Faults", CURVATURE),
    log:
        f"{CURVATURE}/logs/describe_faults.log",
    benchmark:
        f"{CURVATURE}/timings/describe_faults.tsv"
    conda:
        "../../environment.yml"
    params:
        code=MODEL_CODE,
        models=MODELS,
    script:
        "../../scripts/describe_faults.py"


rule screen_mutants:
    input:
        [f"{CURVATURE}/runs/{model}/{name}/train.json" for model, name in SERIES],
    output:
        **table("runs", "Models", CURVATURE),
        **table("clean_accuracies", "Models", CURVATURE),
        **table("mutants", "Mutants", CURVATURE),
        **table("mutation_scores", "Mutants", CURVATURE),
    log:
        f"{CURVATURE}/logs/screen_mutants.log",
    benchmark:
        f"{CURVATURE}/timings/screen_mutants.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(MODEL_CODE, CODE),
        seed=config["seed"],
        note=CURVATURE_NOTE,
    script:
        "../../scripts/screen_mutants.py"


rule draw_mutants:
    input:
        **{name: f"{CURVATURE}/tables/{name}.csv" for name in ("mutants", "mutation_scores", "runs")},
    output:
        **figure("accuracy_drops", "Mutants", CURVATURE),
        **figure("mutation_score_by_category", "Mutants", CURVATURE),
    log:
        f"{CURVATURE}/logs/draw_mutants.log",
    benchmark:
        f"{CURVATURE}/timings/draw_mutants.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(MODEL_CODE, CODE),
        note=CURVATURE_NOTE,
    script:
        "../../scripts/draw_mutants.py"
