"""Draw what every metric finds, by model, cost and category of fault."""

from attention_faults import job
from attention_faults.reporting import figures, tables

job.log_to(snakemake.log[0])
note = snakemake.params.note
found, by_group, cost = (
    tables.read(snakemake.input[name]) for name in ("localisation", "localisation_by_group", "cost_accuracy")
)
figures.save(figures.mrr_by_family(found, note), snakemake.output.mrr_by_family)
figures.save(figures.cost_accuracy(cost, note), snakemake.output.cost_accuracy)
figures.save(figures.category_by_family(by_group, note), snakemake.output.category_by_family)
