# Candidate threads: fetched on demand only, then screened. The default target never comes here.

MINED = "results/mining"


rule mine:
    input:
        expand(f"{MINED}/queries/{{source}}.csv", source=STUDY.mining.sources),


rule mine_source:
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
        settings=config["mining"],
    script:
        "../../scripts/mine_source.py"
