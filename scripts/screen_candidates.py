"""Screen the threads of all sources into one table of candidates."""

from pathlib import Path

from attention_faults import job, settings
from attention_faults.mining import screening
from attention_faults.mining.criteria import Criteria

job.log_to(snakemake.log[0])
screening.screen(
    [Path(path) for path in snakemake.input],
    Path(snakemake.output.candidates),
    criteria=settings.parse(Criteria, snakemake.params.criteria, "configuration"),
    keywords=snakemake.params.keywords,
    folder=Path(snakemake.output.candidates).parent,
)
