"""Check the fault records of a dataset against its column map and codebook."""

from pathlib import Path

from attention_faults import job, settings
from attention_faults.reporting import tables
from attention_faults.taxonomy import codebook, dataset, register
from attention_faults.taxonomy.schema import Schema

job.log_to(snakemake.log[0])
register.check_sha256(Path(snakemake.input.source), snakemake.params.sha256)
schema = settings.read(Schema, Path(snakemake.input.schema))
records = dataset.load(Path(snakemake.input.source), schema, codebook.load(snakemake.input.codebook))
dataset.write(records, Path(snakemake.output.dataset))
# a table of a million rows opens nowhere
title = f"{schema.title}: {min(len(records), 1000)} of the {len(records)} records in records.parquet"
tables.write(records.head(1000), snakemake.output.records, title=title, note=snakemake.params.note)
