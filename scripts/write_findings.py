"""Write the page on what was found, its numbers taken from the runs that are kept with the project."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import findings

job.log_to(snakemake.log[0])
findings.write(Path(snakemake.output[0]), [Path(folder) for folder in snakemake.input])
