"""What the gradient says at the cost of the Hessian: of as many batches, or of all training samples."""

import pandas as pd

from attention_faults.localisation.metric import Measured, metric, of_gradient

FAMILY = "gradient_equal_cost"


@metric(FAMILY, scale="positive", size_exponent=0.5)
def batches_norm(run: Measured) -> pd.DataFrame:
    """Euclidean norm of the mean gradient of the batches."""
    return of_gradient(run.batches, "norm")


@metric(FAMILY, scale="positive")
def batches_max(run: Measured) -> pd.DataFrame:
    """Largest element of the mean gradient of the batches, in absolute value."""
    return of_gradient(run.batches, "max")


@metric(FAMILY, scale="positive", size_exponent=1)
def batches_x_weight(run: Measured) -> pd.DataFrame:
    """Sum of |mean gradient of the batches x weight|."""
    return of_gradient(run.batches, "gradient_x_weight")


@metric(FAMILY, scale="positive", size_exponent=1)
def batches_variance(run: Measured) -> pd.DataFrame:
    """Trace of the covariance of the gradients of batches."""
    return of_gradient(run.batches, "variance")
