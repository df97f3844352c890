"""Write the page on faults from the catalogue."""

from pathlib import Path

from attention_faults import job
from attention_faults.faults import campaign, operator, overview
from attention_faults.reporting import fault_docs
from attention_faults.study import Model

job.log_to(snakemake.log[0])
models = {
    name: campaign.network_of(name, Model(**model), snakemake.params.seed)
    for name, model in snakemake.params.models.items()
}
fault_docs.write(Path(snakemake.output[0]), overview.catalogue_table(models), models, operator.NOT_SHOWN)
