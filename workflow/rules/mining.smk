# Candidate threads: fetched on demand only, then screened. The default target never comes here.

MINED = "results/mining"


MINING_CODE = code_of("mining")
# the same names below threads/ and queries/
PARTS = [*STUDY.mining.sources, *(f"dump/{site}" for site in STUDY.mining.stackexchange.dumps)]


COMPLETENESS = [f"{MINED}/queries/{part}.csv" for part in PARTS]


rule mine:
    input:
        COMPLETENESS,
        expand(
            f"{MINED}/tables/{{name}}{{format}}", name=["funnel", "queries", "sample"], format=TABLE_FORMATS
        ),
        expand(f"{MINED}/figures/funnel_bars{{format}}", format=FIGURE_FORMATS),
        f"{MINED}/sample.parquet",


rule mine_source:
    input:
        # what was fetched, or fetched again, since the table was made
        lambda wildcards: sorted(STUDY.mining.archive.glob(f"{wildcards.source}/*/manifest.jsonl")),
    output:
        threads=f"{MINED}/threads/{{source}}.parquet",
        queries=f"{MINED}/queries/{{source}}.csv",
    log:
        f"{MINED}/logs/mine_source/{{source}}.log",
    benchmark:
        f"{MINED}/timings/mine_source/{{source}}.tsv"
    wildcard_constraints:
        source="|".join(STUDY.mining.sources),
    conda:
        "../../environment.yml"
    params:
        code=MINING_CODE,
        settings=config["mining"],
    script:
        "../../scripts/mine_source.py"


rule read_dump:
    input:
        dump=lambda wildcards: STUDY.mining.stackexchange.dumps[wildcards.site],
    output:
        threads=f"{MINED}/threads/dump/{{site}}.parquet",
        queries=f"{MINED}/queries/dump/{{site}}.csv",
    log:
        f"{MINED}/logs/read_dump/{{site}}.log",
    benchmark:
        f"{MINED}/timings/read_dump/{{site}}.tsv"
    conda:
        "../../environment.yml"
    params:
        code=MINING_CODE,
        settings=config["mining"],
    script:
        "../../scripts/read_dump.py"


rule screen_candidates:
    input:
        [f"{MINED}/threads/{part}.parquet" for part in PARTS],
    output:
        candidates=f"{MINED}/candidates.parquet",
    log:
        f"{MINED}/logs/screen_candidates.log",
    benchmark:
        f"{MINED}/timings/screen_candidates.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    params:
        code=MINING_CODE,
        criteria=config["screening"],
        keywords=STUDY.mining.phrases,
    script:
        "../../scripts/screen_candidates.py"


rule sample_candidates:
    input:
        candidates=f"{MINED}/candidates.parquet",
        queries=COMPLETENESS,
    output:
        **table("sample", "Mining", MINED),
        drawn=f"{MINED}/sample.parquet",
    log:
        f"{MINED}/logs/sample_candidates.log",
    benchmark:
        f"{MINED}/timings/sample_candidates.tsv"
    conda:
        "../../environment.yml"
    params:
        code=MINING_CODE,
        sample=config["sampling"],
        seed=config["seed"],
    script:
        "../../scripts/sample_candidates.py"


rule draw_funnel:
    input:
        candidates=f"{MINED}/candidates.parquet",
        drawn=f"{MINED}/sample.parquet",
        queries=COMPLETENESS,
    output:
        **table("funnel", "Mining", MINED),
        **table("queries", "Mining", MINED),
        **figure("funnel_bars", "Mining", MINED),
    log:
        f"{MINED}/logs/draw_funnel.log",
    benchmark:
        f"{MINED}/timings/draw_funnel.tsv"
    conda:
        "../../environment.yml"
    params:
        code=MINING_CODE,
    script:
        "../../scripts/draw_funnel.py"
