"""Rank the blocks of every faulty run, and answer whether the Hessian finds faults better than gradients."""

import pandas as pd

from attention_faults import job
from attention_faults.faults import operator
from attention_faults.localisation import cost, evaluation, evidence, moderators, rankers, verdict
from attention_faults.reporting import tables

job.log_to(snakemake.log[0])
level, note = snakemake.params.level, snakemake.params.note
study = snakemake.params.localisation
evidences = evidence.read(evidence.files(snakemake.input), snakemake.params.stage)
runs = pd.concat(map(evaluation.measure, evidences), ignore_index=True)
mutants = tables.read(snakemake.input.mutants)
runs = evaluation.described(runs, operator.catalogue(), mutants)
redrawn = [
    part
    for evidence_ in evidences
    if (part := evaluation.redraw(evidence_, draws=study["draws"], seed=snakemake.params.seed))
]
tables.write(
    verdict.judge(redrawn, permutations=study["permutations"], level=level, seed=snakemake.params.seed),
    snakemake.output.verdict,
    title="Does the Hessian find the blocks at fault better than gradients?",
    note=note,
)
tables.write(
    evaluation.with_intervals(evaluation.summarise(runs, ["model"]), redrawn, level),
    snakemake.output.localisation,
    title="How well every ranker finds the blocks at fault, by model",
    note=note,
)
tables.write(
    pd.concat(
        [
            *(evaluation.by(runs, label) for label in ("category", "level", "mutant")),
            evaluation.by(runs[runs["ranker"].isin([*rankers.SHOWN, rankers.RANDOM.name])], "operator"),
        ],
        ignore_index=True,
    ),
    snakemake.output.localisation_by_group,
    title="How well every ranker finds the blocks at fault, by kind of fault",
    note=note,
)
tables.write(
    evaluation.outcomes(evidence.files(snakemake.input), snakemake.params.stage),
    snakemake.output.measured,
    title="Which runs could be measured",
    note=note,
)
tables.write(
    cost.beside_accuracy(evidences, redrawn),
    snakemake.output.cost_accuracy,
    title="What every ranker costs, and what it finds",
    note=note,
)
gains = moderators.gains(evidences, redrawn, mutants)
tables.write(
    gains,
    snakemake.output.gains,
    title="What the Hessian aggregate gains on the gradient norm, by fault",
    note=note,
)
tables.write(
    moderators.correlate(gains, **study, level=level, seed=snakemake.params.seed),
    snakemake.output.moderators,
    title="What a gain of the Hessian on the gradient norm goes with (exploratory)",
    note=note,
)
