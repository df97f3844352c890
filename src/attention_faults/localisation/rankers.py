"""What ranks blocks: single metrics, aggregates of several, and baselines that measure nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attention_faults.localisation.metric import catalogue
from attention_faults.localisation.ranking import Bools, Floats, mean_rank, without_gaps

TRIVIAL = "trivial"


@dataclass(frozen=True)
class Ranker:
    """A way to rank blocks.

    Attributes:
        name: in tables.
        family: of its metrics.
        members: metrics whose ranks are added up; none for a baseline that measures nothing.
    """

    name: str
    family: str
    members: tuple[str, ...]


HESSIAN = Ranker(
    "hessian_aggregate",
    "hessian",
    ("hessian_trace", "hessian_frobenius", "hessian_largest", "interaction_sum"),
)
GRADIENT = Ranker(
    "gradient_aggregate",
    "gradient",
    ("gradient_norm", "gradient_max", "gradient_x_weight", "gradient_variance"),
)
EQUAL_COST = Ranker(
    "equal_cost_aggregate",
    "gradient_equal_cost",
    ("batches_norm", "batches_max", "batches_x_weight", "batches_variance"),
)
RANDOM = Ranker("random", TRIVIAL, ())
FREQUENCY = Ranker("fault_frequency", TRIVIAL, ())
GRADIENT_NORM = Ranker("gradient_norm", "gradient", ("gradient_norm",))
SHOWN = (HESSIAN.name, GRADIENT.name, GRADIENT_NORM.name, "weight_norm", "weight_change")  # where few must do


def rankers(metrics: Iterable[str]) -> list[Ranker]:
    """List the aggregates, then every metric that was measured, then the baselines."""
    found = [Ranker(name, metric.family, (name,)) for name, metric in catalogue().items() if name in metrics]
    aggregates = [ranker for ranker in (HESSIAN, GRADIENT, EQUAL_COST) if set(ranker.members) <= set(metrics)]
    return [*aggregates, *found, RANDOM, FREQUENCY]


def score(ranker: Ranker, by_metric: Mapping[str, Floats], frequency: Floats) -> Floats:
    """Score blocks.

    Args:
        ranker: by which.
        by_metric: scores of each metric, (draws, runs, blocks), nan where undefined.
        frequency: as from `fault_frequency`, (runs, blocks).

    Returns:
        (draws, runs, blocks), all defined; one draw for the baselines.
    """
    if ranker == RANDOM:
        return np.zeros((1, *frequency.shape))
    if ranker == FREQUENCY:
        return frequency[np.newaxis]
    held = [without_gaps(by_metric[name]) for name in ranker.members]
    return held[0] if len(held) == 1 else mean_rank(held)


def fault_frequency(runs: pd.DataFrame, truth: Bools) -> Floats:
    """Count how often each block is at fault in the model's other faults, (runs, blocks).

    Args:
        runs: with columns operator and place; an operator at a place counts once.
        truth: (runs, blocks).
    """
    first = ~runs.duplicated(["operator", "place"]).to_numpy()
    operators = runs["operator"].to_numpy()
    others = first & (operators != operators[:, np.newaxis])
    return np.asarray(others.astype(float) @ truth.astype(float))
