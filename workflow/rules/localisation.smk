# The verdict: which blocks each metric suspects, how often it is right, and what that says.

STAGE = study.END
MAIN_PROFILE = (study.MAIN, STAGE)
KEPT = """
verdict claims localisation localisation_by_group cost_accuracy gains moderators detection detection_by_group
generalisation robustness negative_control measured clean_accuracies mutation_scores plan
""".split()
PROTOCOL = hashlib.sha256(Path(shipped("docs/protocol.md")).read_bytes()).hexdigest()
EXAMPLE_OF = {"model": EXAMPLE.model, "series": EXAMPLE.name}


rule evaluate_localisation:
    input:
        **measured(study.MAIN),
        mutants=f"{CURVATURE}/tables/mutants.csv",
        protocol=shipped("docs/protocol.md"),
    output:
        **table("verdict", "Verdict", CURVATURE),
        **table("localisation", "Localisation", CURVATURE),
        **table("localisation_by_group", "Localisation", CURVATURE),
        **table("measured", "Localisation", CURVATURE),
        **table("cost_accuracy", "Localisation", CURVATURE),
        **table("gains", "Localisation", CURVATURE),
        **table("moderators", "Localisation", CURVATURE),
    log:
        f"{CURVATURE}/logs/evaluate_localisation.log",
    benchmark:
        f"{CURVATURE}/timings/evaluate_localisation.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(VERDICT_CODE, CODE),
        localisation={name: config["localisation"][name] for name in ("draws", "permutations")},
        level=config["interval"]["level"],
        stage=STAGE,
        seed=config["seed"],
        note=f"{CURVATURE_NOTE} Protocol: docs/protocol.md, sha256 {PROTOCOL}.",
    script:
        "../../scripts/evaluate_localisation.py"


rule evaluate_detection:
    input:
        **measured(study.MAIN),
        mutants=f"{CURVATURE}/tables/mutants.csv",
    output:
        **table("detection", "Detection", CURVATURE),
        **table("detection_by_group", "Detection", CURVATURE),
        **table("detection_curves", "Detection", CURVATURE),
    log:
        f"{CURVATURE}/logs/evaluate_detection.log",
    benchmark:
        f"{CURVATURE}/timings/evaluate_detection.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(VERDICT_CODE, CODE),
        draws=config["localisation"]["draws"],
        level=config["interval"]["level"],
        stage=STAGE,
        seed=config["seed"],
        note=CURVATURE_NOTE,
    script:
        "../../scripts/evaluate_detection.py"


rule evaluate_generalisation:
    input:
        **measured(study.MAIN),
    output:
        **table("generalisation", "Generalisation", CURVATURE),
    log:
        f"{CURVATURE}/logs/evaluate_generalisation.log",
    benchmark:
        f"{CURVATURE}/timings/evaluate_generalisation.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(VERDICT_CODE, CODE),
        draws=config["localisation"]["draws"],
        level=config["interval"]["level"],
        stage=STAGE,
        seed=config["seed"],
        note=CURVATURE_NOTE,
    script:
        "../../scripts/evaluate_generalisation.py"


rule evaluate_robustness:
    input:
        **measured(*VARIANTS),
    output:
        **table("robustness", "Robustness", CURVATURE),
        **table("negative_control", "Robustness", CURVATURE),
    log:
        f"{CURVATURE}/logs/evaluate_robustness.log",
    benchmark:
        f"{CURVATURE}/timings/evaluate_robustness.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(VERDICT_CODE, CODE),
        variants=list(VARIANTS),
        stages=config["profiling"]["stages"],
        main=MAIN_PROFILE,
        draws=config["localisation"]["draws"],
        level=config["interval"]["level"],
        seed=config["seed"],
        note=CURVATURE_NOTE,
    script:
        "../../scripts/evaluate_robustness.py"


rule check_curvature_claims:
    input:
        claims=shipped(config["claims"]),
        verdict=f"{CURVATURE}/tables/verdict.csv",
    output:
        **table("claims", "Verdict", CURVATURE),
    log:
        f"{CURVATURE}/logs/check_curvature_claims.log",
    benchmark:
        f"{CURVATURE}/timings/check_curvature_claims.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(VERDICT_CODE, CODE),
        note=CURVATURE_NOTE,
    script:
        "../../scripts/check_curvature_claims.py"


rule inspect_example:
    input:
        **measured(study.MAIN),
        checkpoints=f"{CURVATURE}/runs/{EXAMPLE.model}/{EXAMPLE.name}/checkpoints",
        matched=f"{CURVATURE}/runs/{EXAMPLE.model}/{campaign.MATCHED}/checkpoints",
    output:
        **table("example_scores", "Example", CURVATURE),
        **table("example_interactions", "Example", CURVATURE),
        **table("example_densities", "Example", CURVATURE),
    log:
        f"{CURVATURE}/logs/inspect_example.log",
    benchmark:
        f"{CURVATURE}/timings/inspect_example.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(PROFILE_CODE, VERDICT_CODE, CODE),
        example=EXAMPLE_OF,
        model=BUILT[EXAMPLE.model],
        series=SERIES_VALUES[EXAMPLE.model, EXAMPLE.name],
        matched=SERIES_VALUES[EXAMPLE.model, campaign.MATCHED],
        machine={name: config["curvature"][name] for name in ("device", "dtype", "threads")},
        how=VARIANTS[study.MAIN],
        stage=STAGE,
        seed=config["seed"],
        note=CURVATURE_NOTE,
    script:
        "../../scripts/inspect_example.py"


rule draw_localisation:
    input:
        **{
            name: f"{CURVATURE}/tables/{name}.csv"
            for name in ("localisation", "localisation_by_group", "cost_accuracy")
        },
    output:
        **figure("mrr_by_family", "Verdict", CURVATURE),
        **figure("cost_accuracy", "Localisation", CURVATURE),
        **figure("category_by_family", "Localisation", CURVATURE),
    log:
        f"{CURVATURE}/logs/draw_localisation.log",
    benchmark:
        f"{CURVATURE}/timings/draw_localisation.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(VERDICT_CODE, CODE),
        note=CURVATURE_NOTE,
    script:
        "../../scripts/draw_localisation.py"


rule draw_detection:
    input:
        **{name: f"{CURVATURE}/tables/{name}.csv" for name in ("detection", "detection_curves")},
    output:
        **figure("detection_roc", "Detection", CURVATURE),
    log:
        f"{CURVATURE}/logs/draw_detection.log",
    benchmark:
        f"{CURVATURE}/timings/draw_detection.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(VERDICT_CODE, CODE),
        note=CURVATURE_NOTE,
    script:
        "../../scripts/draw_detection.py"


rule draw_example:
    input:
        **{
            name: f"{CURVATURE}/tables/{name}.csv"
            for name in ("example_scores", "example_interactions", "example_densities")
        },
    output:
        **figure("example_scores", "Example", CURVATURE),
        **figure("example_interactions", "Example", CURVATURE),
        **figure("example_densities", "Example", CURVATURE),
    log:
        f"{CURVATURE}/logs/draw_example.log",
    benchmark:
        f"{CURVATURE}/timings/draw_example.tsv"
    conda:
        "../../environment.yml"
    params:
        code=(VERDICT_CODE, CODE),
        note=CURVATURE_NOTE,
        example=EXAMPLE_OF,
    script:
        "../../scripts/draw_example.py"


rule compare_reference_runs:
    input:
        verdict=f"{CURVATURE}/tables/verdict.csv",
        kept=REFERENCE_RUNS,
    output:
        **table("reference_runs", "Verdict", CURVATURE),
    log:
        f"{CURVATURE}/logs/compare_reference_runs.log",
    benchmark:
        f"{CURVATURE}/timings/compare_reference_runs.tsv"
    conda:
        "../../environment.yml"
    params:
        code=CODE,
        note=CURVATURE_NOTE,
    script:
        "../../scripts/compare_reference_runs.py"


rule keep_reference_run:
    input:
        **{name: f"{CURVATURE}/tables/{name}.csv" for name in KEPT},
        protocol=shipped("docs/protocol.md"),
    output:
        directory("data/reference_runs/{run}"),
    log:
        f"{CURVATURE}/logs/keep_reference_run/{{run}}.log",
    benchmark:
        f"{CURVATURE}/timings/keep_reference_run/{{run}}.tsv"
    conda:
        "../../environment.yml"
    params:
        timings=[
            f"{CURVATURE}/timings/{name}.tsv"
            for model, series in SERIES
            for name in (
                f"train_series/{model}/{series}",
                f"profile_series/{model}/{series}/{study.MAIN}",
            )
        ],
        kept=KEPT,
        configuration=config,
    script:
        "../../scripts/keep_reference_run.py"
