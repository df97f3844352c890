"""Measure every metric of every block of all runs of a series."""

import json
from pathlib import Path

from attention_faults import job
from attention_faults.faults import campaign, execution
from attention_faults.localisation import measurement
from attention_faults.study import Measuring, Model

job.log_to(snakemake.log[0])
series = campaign.Series(**snakemake.params.series)
model = Model(**snakemake.params.model)
subject = campaign.subject_of(series.model, model)
profiled = measurement.measure_series(
    series,
    subject,
    campaign.task_of(subject, model, snakemake.params.seed),
    execution.Machine(**snakemake.params.machine),
    Measuring(**snakemake.params.how),
    stages=snakemake.params.stages,
    training=json.loads(Path(snakemake.input.summary).read_text(encoding="utf-8")),
    checkpoints=Path(snakemake.input.checkpoints),
    seed=snakemake.params.seed,
)
measurement.write(profiled, Path(snakemake.output.profile), Path(snakemake.output.outcomes))
