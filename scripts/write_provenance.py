"""Record where the results of a dataset come from."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import provenance

job.log_to(snakemake.log[0])
provenance.write(
    Path(snakemake.output[0]),
    snakemake.params.entry,
    Path(snakemake.input.records),
    snakemake.params.configuration,
    Path(snakemake.input.protocol),
)
