"""Train all runs of one clean kind, or of one mutant, of a model."""

from pathlib import Path

from attention_faults import job
from attention_faults.faults import campaign, execution
from attention_faults.study import Model

job.log_to(snakemake.log[0])
series = campaign.Series(**snakemake.params.series)
model = Model(**snakemake.params.model)
subject = campaign.subject_of(series.model, model)
execution.execute(
    series,
    subject,
    campaign.task_of(subject, model, snakemake.params.seed),
    execution.Machine(**snakemake.params.machine),
    summary=Path(snakemake.output.summary),
    checkpoints=Path(snakemake.output.checkpoints),
)
