"""Draw one faulty run in detail."""

from attention_faults import job
from attention_faults.reporting import figures, tables

job.log_to(snakemake.log[0])
note = snakemake.params.note
scores, interactions, densities = (
    tables.read(snakemake.input[name])
    for name in ("example_scores", "example_interactions", "example_densities")
)
figures.save(figures.example_scores(scores, note), snakemake.output.example_scores)
figures.save(figures.example_interactions(interactions, note), snakemake.output.example_interactions)
figures.save(figures.example_densities(densities, note), snakemake.output.example_densities)
