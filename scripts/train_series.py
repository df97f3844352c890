"""Train all runs of one clean kind, or of one mutant, of a model."""

from pathlib import Path

from attention_faults import job
from attention_faults.faults import campaign, execution

job.log_to(snakemake.log[0])
series = snakemake.params.series
subject = campaign.subject_of(series.model, snakemake.params.model)
data = Path(snakemake.input.data) if snakemake.input.get("data") else None
execution.execute(
    series,
    subject,
    execution.task_of(subject, data, snakemake.params.seed),
    execution.Machine(**snakemake.params.machine),
    summary=Path(snakemake.output.summary),
    checkpoints=Path(snakemake.output.checkpoints),
)
