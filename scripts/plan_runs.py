"""Check that every model can be built and every chosen fault applies, and count the runs."""

from attention_faults import job
from attention_faults.faults import campaign
from attention_faults.reporting import tables
from attention_faults.study import Model

job.log_to(snakemake.log[0])
series = [campaign.Series(**one) for one in snakemake.params.series]
models = {name: Model(**model) for name, model in snakemake.params.models.items()}
campaign.check(models, series, snakemake.params.seed)
counts = campaign.counts(series)
print(counts.to_string(index=False))
tables.write(counts, snakemake.output.plan, title="Training runs", note=snakemake.params.note)
