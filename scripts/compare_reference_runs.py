"""Set the verdicts of kept runs beside this study's."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import reference_runs, tables

job.log_to(snakemake.log[0])
tables.write(
    reference_runs.beside(tables.read(snakemake.input.verdict), map(Path, snakemake.input.kept)),
    snakemake.output.reference_runs,
    title="This study beside larger runs that are kept with the project",
    note=snakemake.params.note,
)
