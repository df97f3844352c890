"""Record where the results of a dataset come from, and the configuration that repeats them."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import provenance

job.log_to(snakemake.log[0])
provenance.write_json(snakemake.params.configuration, Path(snakemake.output.configuration))
provenance.write(
    Path(snakemake.output.provenance),
    {"dataset": {**snakemake.params.dataset, "sha256": provenance.sha256(Path(snakemake.input.records))}},
    snakemake.params.configuration,
    Path(snakemake.input.protocol),
)
