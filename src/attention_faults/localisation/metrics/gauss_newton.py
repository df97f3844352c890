"""Curvature of the Gauss-Newton matrix, which has no negative eigenvalue."""

import pandas as pd

from attention_faults.localisation.metric import Measured, metric, of_curvature

FAMILY = "gauss_newton"


@metric(FAMILY, scale="positive", size_exponent=1)
def gauss_newton_trace(run: Measured) -> pd.DataFrame | None:
    """Trace of the block of the Gauss-Newton matrix."""
    return of_curvature(run.gauss_newton, "trace")


@metric(FAMILY, scale="positive", size_exponent=1)
def gauss_newton_frobenius(run: Measured) -> pd.DataFrame | None:
    """Frobenius norm of the block of the Gauss-Newton matrix."""
    return of_curvature(run.gauss_newton, "frobenius")


@metric(FAMILY, scale="positive")
def gauss_newton_largest(run: Measured) -> pd.DataFrame | None:
    """Largest eigenvalue of the block of the Gauss-Newton matrix."""
    return of_curvature(run.gauss_newton, "largest")
