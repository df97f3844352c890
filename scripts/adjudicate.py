"""Derive final labels from ratings and compare them with those of the records."""

from pathlib import Path

from attention_faults import job
from attention_faults.labelling import adjudication
from attention_faults.reporting import tables
from attention_faults.taxonomy import codebook, dataset

job.log_to(snakemake.log[0])
book = codebook.load(snakemake.input.codebook)
records = dataset.read(Path(snakemake.input.records), book)
ratings = adjudication.load(Path(snakemake.input.ratings), book, records["record_id"])
labels = adjudication.adjudicate(ratings)
tables.write_csv(labels, snakemake.output.labels)
tables.write(
    adjudication.compare(ratings, records),
    snakemake.output.adjudication,
    title="How labels were decided",
    note=snakemake.params.note,
)
