"""Draw how many mutants of each category are killed."""

from attention_faults import job
from attention_faults.reporting import figures, tables

job.log_to(snakemake.log[0])
figures.save(
    figures.mutation_score_bars(tables.read(snakemake.input[0]), snakemake.params.note),
    snakemake.output.mutation_score_by_category,
)
