"""Spectral density by stochastic Lanczos quadrature (Golub, Meurant 2010; Ghorbani et al. 2019)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from attention_faults.curvature.estimate import Estimate, Floats, Matrix, jackknife, standard_error
from attention_faults.curvature.lanczos import Ritz, dense_spectrum, lanczos
from attention_faults.curvature.probes import rademacher


@dataclass(frozen=True)
class SpectralDensity:
    """A spectrum as one weighted sum of points for each start vector.

    Attributes:
        size: number of eigenvalues, n.
        runs: one for each start vector; one, of all eigenvalues, where it is exact.
        exact: whether these are the eigenvalues themselves.
    """

    size: int
    runs: tuple[Ritz, ...]
    exact: bool

    @property
    def products(self) -> int:
        """Matrix-vector products spent."""
        return sum(run.products for run in self.runs)

    def sums(self, *functions: Callable[[Floats], Floats]) -> Floats:
        """Sum functions of the eigenvalues, as each start vector sees it: (starts, functions)."""
        return self.size * np.array(
            [[float(run.weights @ function(run.values)) for function in functions] for run in self.runs]
        )

    def sum_of(self, function: Callable[[Floats], Floats]) -> Estimate:
        """Estimate the sum of a function over all eigenvalues, which is the trace of f(A).

        The quadrature is exact for polynomials of degree 2k - 1 (k steps); for others it has a bias that
        falls with k and that no standard error shows.
        """
        samples = self.sums(function)[:, 0]
        value = float(samples.mean())
        if self.exact:
            return Estimate.exact(value, self.products)
        return Estimate.within(value, standard_error(samples), self.products)

    def curve(self, points: Floats, width: float) -> Floats:
        """Smooth by a Gaussian of this standard deviation: density at the points (p,), of integral 1."""
        nodes = np.concatenate([run.values for run in self.runs])
        weights = np.concatenate([run.weights for run in self.runs]) / len(self.runs)
        bumps = np.exp(-0.5 * np.square((points[:, None] - nodes) / width)) / (width * np.sqrt(2 * np.pi))
        return np.asarray(bumps @ weights)


def spectral_density(matrix: Matrix, starts: int, steps: int, generator: torch.Generator) -> SpectralDensity:
    """Run Lanczos from random start vectors; exact if n <= `steps`.

    Args:
        matrix: symmetric, shape (n, n).
        starts: number of start vectors.
        steps: products for each of them.
        generator: of the start vectors.

    Raises:
        ValueError: if there is no start or no step.
    """
    if min(starts, steps) < 1:
        raise ValueError(f"a density needs at least 1 start and 1 step, got {starts} and {steps}")
    size = matrix.shape[1]
    if size <= steps:
        return SpectralDensity(size, (dense_spectrum(matrix),), exact=True)
    vectors = rademacher(matrix, starts, generator)
    runs = tuple(lanczos(matrix, vectors, steps, generator))
    return SpectralDensity(size, runs, exact=is_zero(runs))


def is_zero(runs: tuple[Ritz, ...]) -> bool:
    """Tell whether every start vector was sent to zero exactly: then the matrix is zero."""
    return all(run.products == 1 and len(run.values) == 1 and not run.values.any() for run in runs)


def negative_share(density: SpectralDensity) -> Estimate:
    """Sum of |negative eigenvalues| over sum of |eigenvalues|; undefined (nan) for the zero matrix."""
    sums = density.sums(lambda values: np.abs(np.minimum(values, 0)), np.abs)
    return _ratio(lambda mean: np.divide(mean[0], mean[1]), sums, density)


def effective_rank(density: SpectralDensity) -> Estimate:
    """(sum |l|)^2 / sum l^2 over eigenvalues l, between 1 and n; undefined (nan) for the zero matrix."""
    sums = density.sums(np.abs, np.square)
    return _ratio(lambda mean: np.divide(mean[0] ** 2, mean[1]), sums, density)


def _ratio(function: Callable[[Floats], Floats], sums: Floats, density: SpectralDensity) -> Estimate:
    with np.errstate(invalid="ignore"):
        value, stderr = jackknife(function, sums)
    if density.exact:
        return Estimate.exact(float(value), density.products)
    return Estimate.within(float(value), float(stderr), density.products)
