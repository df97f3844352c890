"""Write the questions of a Stack Exchange dump that the settings ask for."""

from pathlib import Path

from attention_faults import job, settings
from attention_faults.mining import dump
from attention_faults.mining.queries import Mining

job.log_to(snakemake.log[0])
dump.write_site(
    settings.parse(Mining, snakemake.params.settings, "configuration"),
    snakemake.wildcards.site,
    threads_to=Path(snakemake.output.threads),
    queries_to=Path(snakemake.output.queries),
)
