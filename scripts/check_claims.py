"""Set published claims beside our values."""

from pathlib import Path

import pandas as pd

from attention_faults import job
from attention_faults.reporting import tables
from attention_faults.taxonomy import claims

job.log_to(snakemake.log[0])
published = claims.load(Path(snakemake.input.claims))
ours = claims.measure(
    pd.read_parquet(snakemake.input.records),
    tables.read(snakemake.input.prevalence),
    tables.read(snakemake.input.heuristics),
    tables.read(snakemake.input.agreement) if snakemake.input.agreement else None,
)
tables.write(
    claims.judge(published[published["study"] == "taxonomy"], ours, snakemake.params.population),
    snakemake.output.claims,
    title="Published claims and our values",
    note=snakemake.params.note,
)
