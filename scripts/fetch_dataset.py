"""Download the records of a dataset and check them against the registered checksum."""

from pathlib import Path

from attention_faults import job
from attention_faults.taxonomy import register

job.log_to(snakemake.log[0])
register.fetch(snakemake.params.url, snakemake.params.sha256, Path(snakemake.output[0]))
