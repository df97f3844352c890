"""Curvature of single blocks."""

import pandas as pd

from attention_faults.localisation.metric import Measured, metric, of_curvature

FAMILY = "hessian"


@metric(FAMILY, scale="signed", size_exponent=1)
def hessian_trace(run: Measured) -> pd.DataFrame | None:
    """Trace of the block: the sum of its eigenvalues."""
    return of_curvature(run.hessian, "trace")


@metric(FAMILY, scale="positive", size_exponent=1)
def hessian_frobenius(run: Measured) -> pd.DataFrame | None:
    """Frobenius norm of the block: the root of the sum of squared eigenvalues."""
    return of_curvature(run.hessian, "frobenius")


@metric(FAMILY, scale="signed")
def hessian_largest(run: Measured) -> pd.DataFrame | None:
    """Largest eigenvalue: the sharpest direction."""
    return of_curvature(run.hessian, "largest")


@metric(FAMILY, scale="signed")
def hessian_smallest(run: Measured) -> pd.DataFrame | None:
    """Smallest eigenvalue: negative in a direction that leads downhill."""
    return of_curvature(run.hessian, "smallest")


@metric(FAMILY, scale="share")
def hessian_negative_share(run: Measured) -> pd.DataFrame | None:
    """Share of negative eigenvalues in the sum of all absolute ones."""
    return of_curvature(run.hessian, "negative_share")


@metric(FAMILY, scale="positive")
def hessian_stable_rank(run: Measured) -> pd.DataFrame | None:
    """Squared Frobenius norm over the squared largest eigenvalue: how many directions share the curvature."""
    return of_curvature(run.hessian, "stable_rank")
