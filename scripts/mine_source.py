"""Fetch what is missing of one source's threads, and write them, and how complete each query is."""

from pathlib import Path

from attention_faults import job, settings
from attention_faults.mining import mine
from attention_faults.mining.queries import Mining

job.log_to(snakemake.log[0])
mine.write_source(
    settings.parse(Mining, snakemake.params.settings, "configuration"),
    snakemake.wildcards.source,
    threads=Path(snakemake.output.threads),
    queries=Path(snakemake.output.queries),
)
