"""Describe every fault operator, and where in each model it applies."""

from attention_faults import job
from attention_faults.faults import campaign, overview
from attention_faults.reporting import tables

job.log_to(snakemake.log[0])
subjects = {name: campaign.subject_of(name, model) for name, model in snakemake.params.models.items()}
tables.write(
    overview.catalogue_table(subjects),
    snakemake.output.catalogue,
    title="Catalogue of fault operators",
    note="",
)
