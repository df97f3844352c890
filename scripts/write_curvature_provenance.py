"""Record where the results of the curvature study come from, and the configuration that repeats them."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import provenance

job.log_to(snakemake.log[0])
provenance.write_json(snakemake.params.configuration, Path(snakemake.output.configuration))
provenance.write(
    Path(snakemake.output.provenance),
    {"data": {file: provenance.sha256(Path(file)) for file in snakemake.params.data}},
    snakemake.params.configuration,
    Path(snakemake.input.protocol),
)
