"""How time and memory of the taxonomy study grow with the number of records.

Usage: python benchmarks/scale.py [ROWS ...]       (default: 10000 100000 1000000)

Each size is a SYNTHETIC dataset that goes through the real workflow with the default configuration, on two
cores: validation, prevalence, association and heuristics, with bootstrap intervals and permutations. Seconds
and peak memory of a rule are what Snakemake measured; the wall time is of the whole run.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
TABLES = ["prevalence", "association", "heuristics_summary"]
RULES = ["validate_dataset", "measure_prevalence", "test_associations", "derive_heuristics"]
REGISTER = """name,version,path,sha256,licence,population,synthetic,schema,codebook,ratings
synthetic,1,records.csv,,CC0,independent,yes,{data}/faults/github_2026/schema.yaml,{data}/codebook.yaml,
"""


def measure(rows: int, folder: Path) -> pd.DataFrame:
    """Run the study on `rows` synthetic records and return seconds and peak MiB of each rule."""
    generator = [sys.executable, str(ROOT / "benchmarks/synthetic_faults.py"), str(rows), "records.csv"]
    subprocess.run(generator, cwd=folder, check=True)
    (folder / "datasets.csv").write_text(REGISTER.format(data=ROOT / "data"))
    targets = [f"results/synthetic/tables/{name}.csv" for name in TABLES]
    command = [
        "snakemake",
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--directory",
        str(folder),
        "--cores",
        "2",
    ]
    command += ["--configfile", str(ROOT / "config.yaml"), "--config", f"registers=[{folder}/datasets.csv]"]
    command += ["datasets=[synthetic]", f"claims={ROOT}/data/published/claims.csv", "--", *targets]
    started = time.perf_counter()
    finished = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if finished.returncode:
        sys.exit(finished.stdout)
    wall = time.perf_counter() - started
    timings = [pd.read_csv(folder / f"results/synthetic/timings/{rule}.tsv", sep="\t") for rule in RULES]
    table = pd.concat(timings, keys=RULES, names=["rule"]).reset_index()
    table = table[["rule", "s", "max_rss"]].rename(columns={"s": "seconds", "max_rss": "peak_mib"})
    whole = pd.DataFrame(
        {"rule": ["whole run (wall)"], "seconds": [wall], "peak_mib": [table["peak_mib"].max()]}
    )
    return pd.concat([table, whole]).assign(rows=rows)


def main() -> None:
    """Print one row a rule, one column a size."""
    sizes = [int(size) for size in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    measured = []
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            measured.append(measure(rows, Path(folder)))
    table = pd.concat(measured).pivot(index="rule", columns="rows", values=["seconds", "peak_mib"])
    print("synthetic records; peak_mib of the whole run is that of its largest rule")
    print(table.loc[[*RULES, "whole run (wall)"]].round(1).to_string())


if __name__ == "__main__":
    main()
