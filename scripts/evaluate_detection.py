"""Tell faulty runs from clean ones."""

import pandas as pd

from attention_faults import job
from attention_faults.localisation import detection, evidence, rankers
from attention_faults.reporting import tables

job.log_to(snakemake.log[0])
evidences = evidence.read(evidence.files(snakemake.input), snakemake.params.stage)
scored = pd.concat(map(detection.anomalies, evidences), ignore_index=True)
tables.write(
    detection.detect(
        scored, draws=snakemake.params.draws, level=snakemake.params.level, seed=snakemake.params.seed
    ),
    snakemake.output.detection,
    title="How well every ranker tells faulty runs from clean ones, all models together",
    note=snakemake.params.note,
)
tables.write(
    detection.curves(scored, rankers.SHOWN),
    snakemake.output.detection_curves,
    title="Recall and false alarms at every threshold",
    note=snakemake.params.note,
)
