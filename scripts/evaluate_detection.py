"""Tell faulty runs from clean ones."""

import pandas as pd

from attention_faults import job
from attention_faults.faults import operator
from attention_faults.localisation import detection, evaluation, evidence, rankers
from attention_faults.reporting import tables

job.log_to(snakemake.log[0])
evidences = evidence.read(evidence.files(snakemake.input), snakemake.params.stage)
scored = pd.concat(map(detection.anomalies, evidences), ignore_index=True)
tables.write(
    detection.detect(
        evidences, draws=snakemake.params.draws, level=snakemake.params.level, seed=snakemake.params.seed
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
shown = scored[scored["ranker"].isin(rankers.SHOWN)]
shown = evaluation.described(shown, operator.catalogue(), tables.read(snakemake.input.mutants))
tables.write(
    pd.concat([detection.by(shown, label) for label in ("category", "level", "mutant")], ignore_index=True),
    snakemake.output.detection_by_group,
    title="How well rankers tell faulty runs from clean ones, by kind of fault",
    note=snakemake.params.note,
)
