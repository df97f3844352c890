"""What an estimator returns, and the resampling behind the standard error of a ratio."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]

TOLERANCE = 0.1


class Matrix(Protocol):
    """A symmetric matrix (n, n) that is known by its products; a tensor is one."""

    @property
    def shape(self) -> Any:
        """Rows and columns."""

    @property
    def dtype(self) -> torch.dtype:
        """Precision."""

    @property
    def device(self) -> torch.device:
        """Where its vectors live."""

    def __matmul__(self, vector: Tensor, /) -> Tensor:
        """Multiply with a vector (n,) or vectors (n, p)."""


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty and its cost.

    Attributes:
        value: nan where the quantity is undefined (a share of nothing).
        stderr: standard error of `value`, same unit; 0 where it is exact, nan where one sample shows none.
        products: matrix-vector products spent.
        converged: whether the standard error is at most the tolerance (relative to `value`).
    """

    value: float
    stderr: float
    products: int
    converged: bool

    @classmethod
    def exact(cls, value: float, products: int) -> "Estimate":
        """Make an estimate without an error."""
        return cls(value, 0.0, products, converged=True)

    @classmethod
    def of_mean(
        cls, samples: Floats, products: int, *, offset: float = 0.0, tolerance: float = TOLERANCE
    ) -> "Estimate":
        """Make the estimate `offset` + mean of independent samples (m,)."""
        value = offset + float(np.mean(samples))
        return cls.within(value, standard_error(samples), products, tolerance)

    @classmethod
    def within(cls, value: float, stderr: float, products: int, tolerance: float = TOLERANCE) -> "Estimate":
        """Make an estimate that says itself whether its error is tolerable."""
        return cls(value, stderr, products, converged=stderr <= tolerance * abs(value))


def standard_error(samples: Floats) -> float:
    """Return the standard error of the mean of samples (m,), nan for one sample."""
    return float(np.std(samples, ddof=1) / math.sqrt(len(samples))) if len(samples) > 1 else math.nan


def jackknife(function: Callable[[Floats], Floats], samples: Floats) -> tuple[Floats, Floats]:
    """Apply a function to the mean of samples; its standard error is by leaving one out (Efron, Stein 1981).

    Args:
        function: of a mean, any shape to any shape.
        samples: independent, shape (m, ...).

    Returns:
        The function at the mean and its standard error, nan where there is one sample.
    """
    count = len(samples)
    mean = samples.mean(axis=0)
    value = np.asarray(function(mean))
    if count < 2:
        return value, np.full(value.shape, np.nan)
    left_out = np.stack([function(mean + (mean - sample) / (count - 1)) for sample in samples])
    deviation = left_out - left_out.mean(axis=0)
    return value, np.sqrt((count - 1) / count * np.square(deviation).sum(axis=0))
