"""Write the page on faults from the catalogue."""

from pathlib import Path

from attention_faults import job
from attention_faults.faults import campaign, operator, overview
from attention_faults.reporting import fault_docs

job.log_to(snakemake.log[0])
subjects = {name: campaign.subject_of(name, model) for name, model in snakemake.params.models.items()}
fault_docs.write(Path(snakemake.output[0]), overview.catalogue_table(subjects), subjects, operator.NOT_SHOWN)
