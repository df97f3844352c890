"""Count labels and estimate their shares."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import tables
from attention_faults.taxonomy import codebook, dataset, prevalence

job.log_to(snakemake.log[0])
book = codebook.load(snakemake.input.codebook)
records = dataset.read(Path(snakemake.input.records), book)
settings = {**snakemake.params.interval, "seed": snakemake.params.seed}
tables.write(
    prevalence.measure(records, book, **settings),
    snakemake.output.prevalence,
    title="Counts and shares of every label",
    note=snakemake.params.note,
)
tables.write(
    prevalence.scope_by_group(records, **settings),
    snakemake.output.scope_by_group,
    title="Share of attention-specific faults, by how the records were found",
    note=snakemake.params.note,
)
