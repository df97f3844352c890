"""What the gradient of one batch says: the baseline of the paper is its norm."""

import pandas as pd

from attention_faults.localisation.metric import Measured, metric, of_gradient, values

FAMILY = "gradient"


@metric(FAMILY, scale="positive", size_exponent=0.5)
def gradient_norm(run: Measured) -> pd.DataFrame:
    """Euclidean norm of the gradient."""
    return of_gradient(run.gradient, "norm")


@metric(FAMILY, scale="positive")
def gradient_max(run: Measured) -> pd.DataFrame:
    """Largest element of the gradient, in absolute value."""
    return of_gradient(run.gradient, "max")


@metric(FAMILY, scale="positive", size_exponent=1)
def gradient_x_weight(run: Measured) -> pd.DataFrame:
    """Sum of |gradient x weight|: what setting weights to zero would change, to first order."""
    return of_gradient(run.gradient, "gradient_x_weight")


@metric(FAMILY, scale="positive", size_exponent=1)
def gradient_variance(run: Measured) -> pd.DataFrame:
    """Trace of the covariance of the gradients of samples."""
    return of_gradient(run.gradient, "variance")


@metric(FAMILY, scale="positive")
def gradient_signal_to_noise(run: Measured) -> pd.DataFrame:
    """Norm of the gradient over the standard deviation of samples' gradients."""
    return of_gradient(run.gradient, "signal_to_noise")


@metric(FAMILY, scale="positive")
def gradient_noise_scale(run: Measured) -> pd.DataFrame:
    """Batch size at which noise equals signal (McCandlish et al. 2018)."""
    return of_gradient(run.gradient, "noise_scale")


@metric(FAMILY, scale="positive")
def update_to_weight(run: Measured) -> pd.DataFrame | None:
    """Norm of the change since the checkpoint before, over the norm of the weights."""
    if run.before is None:
        return None
    before = run.before
    ratios = {
        name: ((weights - before[name]).norm() / weights.norm()).item()
        for name, weights in run.weights.items()
    }
    return values(ratios, cost=0)
