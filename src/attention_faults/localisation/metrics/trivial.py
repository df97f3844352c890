"""What costs nothing: a metric that does not beat these is of no use."""

import pandas as pd

from attention_faults.localisation.metric import Measured, metric, values

FAMILY = "trivial"


@metric(FAMILY, scale="constant")
def parameter_count(run: Measured) -> pd.DataFrame:
    """Count of parameters."""
    return values({name: float(weights.numel()) for name, weights in run.weights.items()}, cost=0)


@metric(FAMILY, scale="positive", size_exponent=0.5)
def weight_norm(run: Measured) -> pd.DataFrame:
    """Euclidean norm of the weights."""
    return values({name: weights.norm().item() for name, weights in run.weights.items()}, cost=0)


@metric(FAMILY, scale="positive", size_exponent=0.5)
def weight_change(run: Measured) -> pd.DataFrame:
    """Euclidean distance of the weights from those at the start of training."""
    changes = {name: (weights - run.start[name]).norm().item() for name, weights in run.weights.items()}
    return values(changes, cost=0)
