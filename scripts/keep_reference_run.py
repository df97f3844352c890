"""Keep the tables of this run with the project."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import reference_runs

job.log_to(snakemake.log[0])
reference_runs.keep(
    {name: Path(snakemake.input[name]) for name in snakemake.params.kept},
    map(Path, snakemake.params.timings),
    snakemake.params.configuration,
    Path(snakemake.input.protocol),
    Path(snakemake.output[0]),
)
