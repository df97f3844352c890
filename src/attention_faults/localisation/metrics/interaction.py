"""Curvature between blocks: how the gradient of one changes when another is moved."""

import pandas as pd

from attention_faults.localisation.metric import Measured, by_block, metric, of_pairs

FAMILY = "interaction"


def _sum(row: pd.DataFrame) -> tuple[float, float]:
    # a bound on the standard error: the estimates of a row share probes
    return row["estimate"].sum(), row["stderr"].sum()


def _largest(row: pd.DataFrame) -> tuple[float, float]:
    strongest = row.nlargest(1, "estimate")
    return strongest["estimate"].item(), strongest["stderr"].item()


@metric(FAMILY, scale="positive")
def interaction_sum(run: Measured) -> pd.DataFrame | None:
    """Sum of the block's normalised interactions with all others."""
    return by_block(of_pairs(run.hessian), _sum)


@metric(FAMILY, scale="positive")
def interaction_strongest(run: Measured) -> pd.DataFrame | None:
    """Normalised interaction of the block with its strongest partner."""
    return by_block(of_pairs(run.hessian), _largest)


@metric(FAMILY, scale="positive")
def interaction_change(run: Measured) -> pd.DataFrame | None:
    """Row of normalised interactions of the block, to be compared entry by entry."""
    return of_pairs(run.hessian)
