"""Measure the agreement of first and second ratings, by phase and facet."""

from pathlib import Path

import pandas as pd

from attention_faults import job
from attention_faults.labelling import adjudication
from attention_faults.reporting import tables
from attention_faults.taxonomy import agreement, codebook

job.log_to(snakemake.log[0])
projects = pd.read_parquet(snakemake.input.records).set_index("record_id")["project"]
book = codebook.load(snakemake.input.codebook)
ratings = adjudication.load(Path(snakemake.input.ratings), book, projects.index)
tables.write(
    agreement.measure(ratings, projects, **snakemake.params.interval, seed=snakemake.params.seed),
    snakemake.output.agreement,
    title="Agreement of first and second rating",
    note=snakemake.params.note,
)
tables.write(
    agreement.confusion(ratings),
    snakemake.output.confusion,
    title="Pairs of labels given by first and second rating",
    note=snakemake.params.note,
)
