"""Whether the answer hangs on a choice: the endpoint again, with one choice changed at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm, sem

from attention_faults.localisation import ranking
from attention_faults.localisation.evaluation import UNIT, located, redraw
from attention_faults.localisation.evidence import REFERENCE_RUNS, Evidence, with_reference
from attention_faults.localisation.rankers import (
    FREQUENCY,
    GRADIENT,
    GRADIENT_NORM,
    HESSIAN,
    Ranker,
    fault_frequency,
    rankers,
    score,
)
from attention_faults.localisation.ranking import Floats
from attention_faults.localisation.verdict import BEST_TRIVIAL, PRIMARY, TRIVIAL, answer, compare

REFERENCES = (5, 20)  # beside the 10 of the protocol
COMPARATORS = (GRADIENT_NORM.name, GRADIENT.name, BEST_TRIVIAL)
COLUMNS = [
    "choice",
    "value",
    "models",
    "comparator",
    "hessian_mrr",
    "comparator_mrr",
    "difference",
    "low",
    "high",
    "verdict",
]
CONTROLS = 200  # draws of blocks at fault
LUCK = 0.01
ROUNDING = 1e-9  # of a mean that does not vary: a random order


def vary(
    measured: Mapping[tuple[str, str], Sequence[Evidence]],
    main: tuple[str, str],
    *,
    draws: int,
    level: float,
    seed: int,
) -> pd.DataFrame:
    """Repeat the endpoint with one choice changed at a time.

    Args:
        measured: evidence of all models by variant and stage.
        main: the variant and stage of the protocol.
        draws: of the bootstrap.
        level: of the intervals.
        seed: of the draws.

    Returns:
        One row a choice and comparator (gradient norm, gradient aggregate, best trivial baseline): choice,
        value, models (the protocol's that are in the study, else all), comparator, hessian_mrr,
        comparator_mrr, difference with its interval, and verdict, which all comparators of a choice share.
    """
    usual = chosen(measured[main])
    choices = [_Choice("protocol", "as it is", usual)]
    choices += [
        _Choice("left out of the Hessian aggregate", name, usual, hessian=_without(HESSIAN, name))
        for name in HESSIAN.members
    ]
    choices += [
        _Choice("left out of the gradient aggregate", name, usual, gradient=_without(GRADIENT, name))
        for name in GRADIENT.members
    ]
    choices += [
        _Choice("reference runs", str(count), usual, references=count)
        for count in REFERENCES
        if all(len(evidence.reference(count)) == count for evidence in usual)
    ]
    choices += [
        _Choice("measured", f"{variant}, {stage}", chosen(evidences))
        for (variant, stage), evidences in measured.items()
        if (variant, stage) != main
    ]
    others = [e for e in measured[main] if e.model not in PRIMARY and e.subject in PRIMARY and located(e)]
    if {evidence.subject for evidence in others} == set(PRIMARY):
        choices.append(_Choice("models", "other instances of the same subjects", others))
    parts = [_rows(choice, draws=draws, level=level, seed=seed) for choice in choices]
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


@dataclass(frozen=True)
class _Choice:
    """The endpoint's choices, of which one is not that of the protocol."""

    choice: str
    value: str
    evidences: Sequence[Evidence]
    hessian: Ranker = HESSIAN
    gradient: Ranker = GRADIENT
    references: int = REFERENCE_RUNS


def _rows(choice: _Choice, *, draws: int, level: float, seed: int) -> pd.DataFrame:
    redrawn = (
        redraw(
            evidence,
            draws=draws,
            seed=seed,
            chosen=[
                choice.hessian,
                choice.gradient,
                *(
                    ranker
                    for ranker in rankers(evidence.values)
                    if ranker.name in (GRADIENT_NORM.name, *TRIVIAL)
                ),
            ],
            reference=evidence.reference(choice.references),
        )
        for evidence in choice.evidences
    )
    parts = [part for part in redrawn if part and HESSIAN.name in part.point]
    if not parts:
        return pd.DataFrame()
    about = {
        "choice": choice.choice,
        "value": choice.value,
        "models": ", ".join(part.model for part in parts),
    }
    columns = ["comparator", "hessian_mrr", "comparator_mrr", "difference", "low", "high", "p"]
    table = pd.DataFrame(
        [compare(parts, name, permutations=draws, level=level, seed=seed) for name in COMPARATORS]
    )[columns]
    return table.drop(columns="p").assign(**about, verdict=answer(table))


def chosen(evidences: Sequence[Evidence]) -> list[Evidence]:
    """Take the protocol's models, if they are all there, else all; those that have something to locate."""
    able = [evidence for evidence in evidences if located(evidence)]
    primary = [evidence for evidence in able if evidence.model in PRIMARY]
    return primary if len(primary) == len(PRIMARY) else able


def _without(ranker: Ranker, member: str) -> Ranker:
    return replace(ranker, members=tuple(name for name in ranker.members if name != member))


def control(evidences: Sequence[Evidence], *, seed: int) -> pd.DataFrame:
    """Rank blocks at fault that are drawn at random: every ranker must be at chance.

    Returns:
        One row a ranker: ranker, draws, mean_mrr with its standard error, chance_mrr, z = (mean - chance) /
        standard error, and at_chance: |z| is below what the largest of so many rankers exceeds by luck once
        in a hundred times (Bonferroni).
    """
    generator = np.random.default_rng(seed)
    found: dict[str, list[Floats]] = {}
    chances = []
    for evidence in chosen(evidences):
        runs = located(evidence)
        about = evidence.runs.loc[runs].reset_index(drop=True)
        truth = evidence.truth[runs]
        unit = about.groupby(UNIT, sort=False).ngroup().to_numpy(dtype=np.int64)
        by_metric = with_reference(evidence, evidence.reference(), runs)
        orders = [
            generator.permuted(np.tile(np.arange(truth.shape[1]), (unit.max() + 1, 1)), axis=1)
            for _ in range(CONTROLS)
        ]
        drawn = np.stack([np.take_along_axis(truth, order[unit], axis=1) for order in orders])
        frequency = np.stack([fault_frequency(about, faulty) for faulty in drawn])
        for ranker in rankers(by_metric):
            scores = frequency if ranker == FREQUENCY else score(ranker, by_metric, frequency[0])
            ranks = ranking.reciprocal_rank(np.broadcast_to(scores, drawn.shape), drawn)
            found.setdefault(ranker.name, []).append(_over_units(ranks, unit))
        chances.append(
            _over_units(ranking.reciprocal_rank(np.zeros(truth.shape), truth)[np.newaxis], unit)[0]
        )
    everywhere = {name: parts for name, parts in found.items() if len(parts) == len(chances)}
    limit = norm.isf(LUCK / 2 / max(len(everywhere), 1))
    rows = []
    for name, parts in everywhere.items():
        means = np.mean(parts, axis=0)
        chance, error = float(np.mean(chances)), float(sem(means))
        distance = (means.mean() - chance) / max(error, ROUNDING)
        rows.append([name, CONTROLS, means.mean(), error, chance, distance, bool(abs(distance) <= limit)])
    columns = ["ranker", "draws", "mean_mrr", "stderr", "chance_mrr", "z", "at_chance"]
    return pd.DataFrame(rows, columns=columns)


def _over_units(ranks: Floats, unit: NDArray[np.integer]) -> Floats:
    """Average over seeds, then units: from (draws, runs) to (draws,)."""
    means = [ranks[:, unit == number].mean(axis=1) for number in range(int(unit.max()) + 1)]
    return np.asarray(np.mean(means, axis=0))
