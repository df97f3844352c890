"""What a metric of blocks is, and what it may be computed from."""

import importlib
import math
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from torch import Tensor, nn

from attention_faults.curvature import GradientProfile, Profile
from attention_faults.subjects.subject import Batch, Subject

Scale = Literal["positive", "signed", "share", "constant"]
WEIGHT_OF_PRODUCT = 2  # a product with the Hessian costs two gradients


@dataclass(frozen=True)
class Measured:
    """A model at a checkpoint, and what has been measured of it.

    Attributes:
        subject, model, batch: the model with its fault, if it has one, and the samples of the loss.
        blocks: its parameters by block.
        weights: flat, by block: now, at the checkpoint before, if there is one, and at the start.
        gradient: of the batch.
        batches: the gradient over as many batches as the Hessian's cost buys.
        hessian, gauss_newton, fisher: curvature, where it was wanted and the loss has passed the checks.
    """

    subject: Subject
    model: nn.Module
    batch: Batch
    blocks: Mapping[str, list[nn.Parameter]]
    weights: Mapping[str, Tensor]
    before: Mapping[str, Tensor] | None
    start: Mapping[str, Tensor]
    gradient: GradientProfile
    batches: GradientProfile
    hessian: Profile | None
    gauss_newton: Profile | None
    fisher: Profile | None


@dataclass(frozen=True)
class Metric:
    """A number of each block, or, of pairs, of each block and partner.

    Attributes:
        name: in tables.
        family: metrics of one source and cost.
        meaning: in a sentence.
        scale: `positive` (compared as logarithm), `signed` (as inverse hyperbolic sine), `share` (as it is),
            or `constant`, which no fault changes and which is ranked by value.
        size_exponent: value / n^exponent does not grow with the n parameters of a block.
        compute: from what was measured to a frame of `values`; None if that was not measured.
    """

    name: str
    family: str
    meaning: str
    scale: Scale
    size_exponent: float
    compute: Callable[[Measured], pd.DataFrame | None]


CATALOGUE: dict[str, Metric] = {}


def metric(
    family: str, *, scale: Scale, size_exponent: float = 0.0
) -> Callable[[Callable[[Measured], pd.DataFrame | None]], Callable[[Measured], pd.DataFrame | None]]:
    """Put a function into the catalogue of metrics; its name is the metric's, its docstring the meaning."""

    def register(
        compute: Callable[[Measured], pd.DataFrame | None],
    ) -> Callable[[Measured], pd.DataFrame | None]:
        name = compute.__name__
        if name in CATALOGUE:
            raise ValueError(f"metric `{name}` is in the catalogue already")
        meaning = (compute.__doc__ or "").strip().splitlines()[0]
        CATALOGUE[name] = Metric(name, family, meaning, scale, size_exponent, compute)
        return compute

    return register


def catalogue() -> dict[str, Metric]:
    """Return every metric, by files, then lines; a new file in `metrics` is found by itself."""
    package = importlib.import_module("attention_faults.localisation.metrics")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return CATALOGUE


def values(estimates: Mapping[str, float], *, cost: float) -> pd.DataFrame:
    """Make the result of a metric that is exact.

    Args:
        estimates: by block.
        cost: of all blocks together, in gradients.
    """
    blocks = list(estimates)
    return pd.DataFrame(
        {"block": blocks, "partner": "", "estimate": list(estimates.values()), "stderr": 0.0, "cost": cost}
    )


def of_gradient(profile: GradientProfile, name: str) -> pd.DataFrame:
    """Take one metric out of a gradient profile."""
    rows = profile.table[profile.table["metric"] == name]
    return _framed(rows, float(rows["gradients"].iloc[0]))


def of_curvature(profile: Profile | None, name: str) -> pd.DataFrame | None:
    """Take one metric out of a curvature profile, if there is one."""
    if profile is None:
        return None
    rows = profile.table[profile.table["metric"] == name]
    return _framed(rows, WEIGHT_OF_PRODUCT * float(rows["products"].sum()))


def of_pairs(profile: Profile | None) -> pd.DataFrame | None:
    """List the normalised interactions of all ordered pairs of different blocks, if there is a profile."""
    if profile is None:
        return None
    found = profile.interactions
    rows = [
        (block, partner, found.values[i, j], found.stderr[i, j])
        for i, block in enumerate(found.names)
        for j, partner in enumerate(found.names)
        if i != j
    ]
    frame = pd.DataFrame(rows, columns=["block", "partner", "estimate", "stderr"])
    return frame.assign(cost=float(WEIGHT_OF_PRODUCT * found.products))


def by_block(
    pairs: pd.DataFrame | None, summary: Callable[[pd.DataFrame], tuple[float, float]]
) -> pd.DataFrame | None:
    """Reduce pairs to blocks.

    Args:
        pairs: as from `of_pairs`.
        summary: from the defined pairs of a block to an estimate and its standard error.
    """
    if pairs is None:
        return None
    rows = []
    for block, row in pairs.groupby("block", sort=False):
        defined = row.dropna(subset="estimate")
        rows.append((block, "", *(summary(defined) if len(defined) else (math.nan, math.nan))))
    frame = pd.DataFrame(rows, columns=["block", "partner", "estimate", "stderr"])
    return frame.assign(cost=pairs["cost"].iloc[0])


def _framed(rows: pd.DataFrame, cost: float) -> pd.DataFrame:
    frame = rows[["block", "estimate", "stderr"]].reset_index(drop=True)
    frame.insert(1, "partner", "")
    return frame.assign(cost=cost)
