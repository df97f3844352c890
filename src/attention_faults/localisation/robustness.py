"""Whether the answer hangs on a choice: the endpoint again, with one choice changed at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attention_faults.localisation import ranking
from attention_faults.localisation.evaluation import Redrawn, located, redraw
from attention_faults.localisation.evidence import REFERENCE_RUNS, Evidence, with_reference
from attention_faults.localisation.rankers import (
    GRADIENT,
    GRADIENT_NORM,
    HESSIAN,
    Ranker,
    fault_frequency,
    score,
)
from attention_faults.localisation.ranking import Floats
from attention_faults.localisation.verdict import PRIMARY
from attention_faults.taxonomy.resampling import percentile_interval

REFERENCES = (5, 10, 20)
CONTROLS = 200  # draws of blocks at fault


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
        One row a choice: choice, value, models (the protocol's that are in the study, else all), hessian_mrr
        and gradient_mrr (aggregates), gradient_norm_mrr, difference (of the Hessian aggregate from the
        gradient norm) with its interval.
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
    return pd.DataFrame([_row(choice, draws=draws, level=level, seed=seed) for choice in choices])


@dataclass(frozen=True)
class _Choice:
    """The endpoint's choices, of which one is not that of the protocol."""

    choice: str
    value: str
    evidences: Sequence[Evidence]
    hessian: Ranker = HESSIAN
    gradient: Ranker = GRADIENT
    references: int = REFERENCE_RUNS


def _row(choice: _Choice, *, draws: int, level: float, seed: int) -> dict[str, object]:
    rankers = (choice.hessian, choice.gradient, GRADIENT_NORM)
    redrawn = (
        redraw(
            evidence,
            draws=draws,
            seed=seed,
            chosen=rankers,
            reference=evidence.reference(choice.references),
        )
        for evidence in choice.evidences
    )
    parts = [part for part in redrawn if part]
    about = {"choice": choice.choice, "value": choice.value}
    return {**about, **_endpoint(parts, choice.hessian, choice.gradient, level)}


def chosen(evidences: Sequence[Evidence]) -> list[Evidence]:
    """Take the protocol's models, if they are all there, else all; those that have something to locate."""
    able = [evidence for evidence in evidences if located(evidence)]
    primary = [evidence for evidence in able if evidence.model in PRIMARY]
    return primary if len(primary) == len(PRIMARY) else able


def _without(ranker: Ranker, member: str) -> Ranker:
    members = tuple(name for name in ranker.members if name != member)
    return Ranker(f"{ranker.name} without {member}", ranker.family, members)


def _endpoint(parts: Sequence[Redrawn], hessian: Ranker, gradient: Ranker, level: float) -> dict[str, object]:
    means = {
        ranker: np.mean([part.mean(ranker.name) for part in parts])
        for ranker in (hessian, gradient, GRADIENT_NORM)
    }
    differences = np.mean(
        [part.means(hessian.name) - part.means(GRADIENT_NORM.name) for part in parts], axis=0
    )
    (low,), (high,) = percentile_interval(differences[:, np.newaxis], level)
    return {
        "models": ", ".join(part.model for part in parts),
        "hessian_mrr": means[hessian],
        "gradient_mrr": means[gradient],
        "gradient_norm_mrr": means[GRADIENT_NORM],
        "difference": means[hessian] - means[GRADIENT_NORM],
        "low": low,
        "high": high,
    }


def control(evidences: Sequence[Evidence], *, level: float, seed: int) -> pd.DataFrame:
    """Rank blocks at fault that are drawn at random: every ranker must be at chance.

    Returns:
        One row a ranker: ranker, draws, mean_mrr with the range that holds `level` of the draws, chance_mrr,
        and at_chance, whether chance is in that range.
    """
    generator = np.random.default_rng(seed)
    found: dict[str, list[Floats]] = {ranker.name: [] for ranker in (HESSIAN, GRADIENT, GRADIENT_NORM)}
    chances = []
    for evidence in chosen(evidences):
        runs = located(evidence)
        about = evidence.runs.loc[runs].reset_index(drop=True)
        truth = evidence.truth[runs]
        unit = about.groupby(["operator", "place"], sort=False).ngroup().to_numpy(dtype=np.int64)
        by_metric = with_reference(evidence, evidence.reference(), runs)
        orders = [
            generator.permuted(np.tile(np.arange(truth.shape[1]), (unit.max() + 1, 1)), axis=1)
            for _ in range(CONTROLS)
        ]
        drawn = np.stack([np.take_along_axis(truth, order[unit], axis=1) for order in orders])
        for ranker in (HESSIAN, GRADIENT, GRADIENT_NORM):
            scores = score(ranker, by_metric, fault_frequency(about, truth))
            ranks = ranking.reciprocal_rank(np.broadcast_to(scores, drawn.shape), drawn)
            found[ranker.name].append(_over_units(ranks, unit))
        chances.append(
            _over_units(ranking.reciprocal_rank(np.zeros(truth.shape), truth)[np.newaxis], unit)[0]
        )
    rows = []
    for name, parts in found.items():
        if not parts:
            continue
        means = np.mean(parts, axis=0)
        (low,), (high,) = percentile_interval(means[:, np.newaxis], level)
        chance = float(np.mean(chances))
        rows.append([name, CONTROLS, means.mean(), low, high, chance, bool(low <= chance <= high)])
    columns = ["ranker", "draws", "mean_mrr", "low", "high", "chance_mrr", "at_chance"]
    return pd.DataFrame(rows, columns=columns)


def _over_units(ranks: Floats, unit: NDArray[np.integer]) -> Floats:
    """Average over seeds, then units: from (draws, runs) to (draws,)."""
    means = [ranks[:, unit == number].mean(axis=1) for number in range(int(unit.max()) + 1)]
    return np.asarray(np.mean(means, axis=0))
