"""Write the mined threads of one source, and how complete each query is."""

from pathlib import Path

from attention_faults import job, settings
from attention_faults.mining import mine
from attention_faults.mining.queries import Mining

job.log_to(snakemake.log[0])
mine.write_source(
    settings.parse(Mining, snakemake.params.settings, "configuration"),
    snakemake.wildcards.source,
    threads_to=Path(snakemake.output.threads),
    queries_to=Path(snakemake.output.queries),
)
