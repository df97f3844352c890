"""Describe every fault operator, and where in each model it applies."""

from attention_faults import job
from attention_faults.faults import campaign, overview
from attention_faults.reporting import tables
from attention_faults.study import Model

job.log_to(snakemake.log[0])
models = {
    name: campaign.network_of(name, Model(**model), snakemake.params.seed)
    for name, model in snakemake.params.models.items()
}
tables.write(
    overview.catalogue_table(models),
    snakemake.output.catalogue,
    title="Catalogue of fault operators",
    note="",
)
