"""Curvature of the empirical Fisher matrix, which has no negative eigenvalue."""

import pandas as pd

from attention_faults.localisation.metric import Measured, metric, of_curvature

FAMILY = "fisher"


@metric(FAMILY, scale="positive", size_exponent=1)
def fisher_trace(run: Measured) -> pd.DataFrame | None:
    """Trace of the block of the empirical Fisher matrix."""
    return of_curvature(run.fisher, "trace")


@metric(FAMILY, scale="positive", size_exponent=1)
def fisher_frobenius(run: Measured) -> pd.DataFrame | None:
    """Frobenius norm of the block of the empirical Fisher matrix."""
    return of_curvature(run.fisher, "frobenius")


@metric(FAMILY, scale="positive")
def fisher_largest(run: Measured) -> pd.DataFrame | None:
    """Largest eigenvalue of the block of the empirical Fisher matrix."""
    return of_curvature(run.fisher, "largest")
