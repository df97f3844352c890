# The curvature study: models trained clean and faulty, and which faults show in their task metric.

import shutil
from dataclasses import asdict

MODELS = {name: STUDY.models[name] for name in STUDY.curvature.models}
# what a model is, without its faults: plain values, since Snakemake compares no others
BUILT = {name: model.model_dump(mode="json", exclude={"faults"}) for name, model in STUDY.models.items()}
SERIES_VALUES = {key: asdict(series) for key, series in SERIES.items()}
ON_GPU = STUDY.curvature.device == "cuda" or (STUDY.curvature.device == "auto" and shutil.which("nvidia-smi"))
VARIANTS = config["profiling"]["variants"]
DATA = {name: str(campaign.data_path(model.data)) for name, model in MODELS.items() if model.data}
CURVATURE_NOTE = " ".join(
    [f"Real data: {', '.join(DATA)}."] * bool(DATA)
    + [f"SYNTHETIC DATA: {', '.join(name for name in MODELS if name not in DATA)}."]
    * (len(DATA) < len(MODELS))
    + ["Verdicts screen each mutant alone, uncorrected for their number."]
)
CURVATURE_TABLES = """
catalogue plan runs clean_accuracies mutants surviving_mutants mutation_scores
""".split()
CURVATURE_FIGURES = [f"accuracy_drops_{model}" for model in MODELS] + ["mutation_score_by_category"]
if EXAMPLE:  # there is something to locate
    CURVATURE_TABLES += """
verdict claims reference_runs localisation localisation_by_group measured cost_accuracy gains moderators detection
detection_by_group detection_curves generalisation robustness negative_control example_scores example_interactions
example_densities
""".split()
    CURVATURE_FIGURES += """
mrr_by_family cost_accuracy category_by_family detection_roc example_scores example_interactions example_densities
""".split()
CURVATURE_RESULTS = expand(
    f"{CURVATURE}/tables/{{name}}{{format}}", name=CURVATURE_TABLES, format=TABLE_FORMATS
) + expand(f"{CURVATURE}/figures/{{name}}{{format}}", name=CURVATURE_FIGURES, format=FIGURE_FORMATS)


wildcard_constraints:
    model="|".join(map(re.escape, MODELS)),
    series="[^/]+",
    variant="|".join(map(re.escape, VARIANTS)),


rule curvature:
    input:
        CURVATURE_RESULTS,
        f"{CURVATURE}/provenance.json",


rule plan_runs:
    output:
        **table("plan", "Models", CURVATURE),
    log:
        f"{CURVATURE}/logs/plan_runs.log",
    benchmark:
        f"{CURVATURE}/timings/plan_runs.tsv"
    priority: 100  # mistakes in the configuration come out first
    conda:
        "../../environment.yml"
    params:
        code=MODEL_CODE,
        series=list(SERIES_VALUES.values()),
        models={name: BUILT[name] for name in MODELS},
        seed=config["seed"],
        note=CURVATURE_NOTE,
    script:
        "../../scripts/plan_runs.py"


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
    conda:
        "../../environment.yml"
    threads: STUDY.curvature.threads
    resources:
        gpu=int(bool(ON_GPU)),
    params:
        code=MODEL_CODE,
        series=lambda wildcards: SERIES_VALUES[wildcards.model, wildcards.series],
        model=lambda wildcards: BUILT[wildcards.model],
        machine={name: config["curvature"][name] for name in ("device", "dtype", "threads")},
        seed=config["seed"],
    script:
        "../../scripts/train_series.py"


rule profile_series:
    input:
        summary=rules.train_series.output.summary,
        checkpoints=rules.train_series.output.checkpoints,
        data=lambda wildcards: DATA.get(wildcards.model, []),
    output:
        profile=f"{CURVATURE}/runs/{{model}}/{{series}}/profiles/{{variant}}.parquet",
        outcomes=f"{CURVATURE}/runs/{{model}}/{{series}}/profiles/{{variant}}.outcomes.parquet",
    log:
        f"{CURVATURE}/logs/profile_series/{{model}}/{{series}}/{{variant}}.log",
    benchmark:
        f"{CURVATURE}/timings/profile_series/{{model}}/{{series}}/{{variant}}.tsv"
    conda:
        "../../environment.yml"
    threads: STUDY.curvature.threads
    resources:
        gpu=int(bool(ON_GPU)),
    params:
        code=PROFILE_CODE,
        series=lambda wildcards: SERIES_VALUES[wildcards.model, wildcards.series],
        model=lambda wildcards: BUILT[wildcards.model],
        machine={name: config["curvature"][name] for name in ("device", "dtype", "threads")},
        how=lambda wildcards: VARIANTS[wildcards.variant],
        stages=config["profiling"]["stages"],
        seed=config["seed"],
    script:
        "../../scripts/profile_series.py"


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
        models={name: BUILT[name] for name in MODELS},
        seed=config["seed"],
    script:
        "../../scripts/describe_faults.py"


rule screen_mutants:
    input:
        [f"{CURVATURE}/runs/{model}/{name}/train.json" for model, name in SERIES],
    output:
        **table("runs", "Models", CURVATURE),
        **table("clean_accuracies", "Models", CURVATURE),
        **table("mutants", "Mutants", CURVATURE),
        **table("surviving_mutants", "Mutants", CURVATURE),
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


rule draw_drops:
    input:
        **{name: f"{CURVATURE}/tables/{name}.csv" for name in ("mutants", "runs")},
    output:
        **figure("accuracy_drops_{model}", "Mutants", CURVATURE, caption="accuracy_drops"),
    log:
        f"{CURVATURE}/logs/draw_drops/{{model}}.log",
    benchmark:
        f"{CURVATURE}/timings/draw_drops/{{model}}.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(MODEL_CODE, CODE),
        note=CURVATURE_NOTE,
    script:
        "../../scripts/draw_drops.py"


rule draw_mutation_scores:
    input:
        f"{CURVATURE}/tables/mutation_scores.csv",
    output:
        **figure("mutation_score_by_category", "Mutants", CURVATURE),
    log:
        f"{CURVATURE}/logs/draw_mutation_scores.log",
    benchmark:
        f"{CURVATURE}/timings/draw_mutation_scores.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(MODEL_CODE, CODE),
        note=CURVATURE_NOTE,
    script:
        "../../scripts/draw_mutation_scores.py"
