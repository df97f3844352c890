"""Extreme eigenvalues of a symmetric matrix: Lanczos with full reorthogonalisation (Parlett 1998, ch. 13)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attention_faults.curvature.estimate import Floats, Matrix
from attention_faults.curvature.probes import gaussian, project_out

TOLERANCE = 1e-3


@dataclass(frozen=True)
class Eigenvalue:
    """An eigenvalue with a bound on its error.

    Attributes:
        value: Ritz value.
        residual: ||A x - value x|| for its unit Ritz vector x: some eigenvalue is this near. That it is the
            extreme one is what a random start makes likely, and nothing proves.
        products: matrix-vector products spent; eigenvalues of one run share them.
        converged: whether the residual is at most the tolerance, relative to the largest |value| found.
    """

    value: float
    residual: float
    products: int
    converged: bool


@dataclass(frozen=True)
class Extremes:
    """The algebraically largest and smallest eigenvalue, and the one largest in magnitude."""

    largest: Eigenvalue
    smallest: Eigenvalue
    magnitude: Eigenvalue


@dataclass(frozen=True)
class Ritz:
    """What a Krylov space knows of the spectrum.

    Attributes:
        values: Ritz values (k,), ascending.
        residuals: of each, (k,).
        weights: squared part of each Ritz vector in the start vector, (k,); they sum to 1.
        products: matrix-vector products spent.
    """

    values: Floats
    residuals: Floats
    weights: Floats
    products: int


def extremes(
    matrix: Matrix, steps: int, generator: torch.Generator, *, tolerance: float = TOLERANCE
) -> Extremes:
    """Find the ends of the spectrum with a fixed number of products; exact if n <= `steps`.

    Args:
        matrix: symmetric, shape (n, n).
        steps: products, at least 1; a basis of that many vectors is held.
        generator: of the start vector.
        tolerance: of `converged`, relative.

    Raises:
        ValueError: if `steps` < 1.
    """
    if steps < 1:
        raise ValueError(f"Lanczos needs at least 1 step, got {steps}")
    if matrix.shape[1] <= steps:
        return ends([dense_spectrum(matrix)], tolerance)
    return ends(lanczos(matrix, gaussian(matrix, 1, generator), steps, generator), tolerance)


def ends(runs: Sequence[Ritz], tolerance: float = TOLERANCE) -> Extremes:
    """Read the extreme Ritz values off one or more runs on the same matrix: the outermost of all runs."""
    values = np.concatenate([run.values for run in runs])
    residuals = np.concatenate([run.residuals for run in runs])
    products = sum(run.products for run in runs)
    scale = np.abs(values).max()

    def at(place: np.intp) -> Eigenvalue:
        value, residual = float(values[place]), float(residuals[place])
        return Eigenvalue(value, residual, products, converged=bool(residual <= tolerance * scale))

    return Extremes(at(values.argmax()), at(values.argmin()), at(np.abs(values).argmax()))


def dense_spectrum(matrix: Matrix) -> Ritz:
    """Form a small matrix by n products, and solve it."""
    size = matrix.shape[1]
    columns = (matrix @ torch.eye(size, dtype=matrix.dtype, device=matrix.device)).double().cpu().numpy()
    return spectrum_of(columns, size)


def spectrum_of(columns: Floats, products: int) -> Ritz:
    """Solve a small matrix (n, n) that is known."""
    values = np.linalg.eigvalsh((columns + columns.T) / 2).astype(np.float64)
    return Ritz(values, np.zeros(len(values)), np.full(len(values), 1 / len(values)), products)


def lanczos(
    matrix: Matrix, starts: Tensor, steps: int, generator: torch.Generator, *, first: Tensor | None = None
) -> list[Ritz]:
    """Run Lanczos from each of some start vectors, in step, so that their products can be batched.

    Where a Krylov space is invariant the run goes on with a new random direction, so that a start vector
    without a part in an eigenvector does not hide it. A first product that is exactly zero ends a run: for a
    random start vector the matrix is then zero.

    Args:
        matrix: symmetric, shape (n, n).
        starts: (n, s), none of them zero.
        steps: products for each start.
        generator: of new directions.
        first: the products with the starts, (n, s), if they are known; they count as a step.
    """
    runs = [_Run(matrix, start, min(steps, matrix.shape[1]), generator) for start in starts.T]
    if first is not None:
        for run, product in zip(runs, first.T, strict=True):
            run.take(product / run.length)
    while open_runs := [run for run in runs if not run.done]:
        products = matrix @ torch.stack([run.vector for run in open_runs], dim=1)
        for run, product in zip(open_runs, products.T, strict=True):
            run.take(product)
    return [run.ritz() for run in runs]


class _Run:
    """One Krylov space while it grows."""

    def __init__(self, matrix: Matrix, start: Tensor, steps: int, generator: torch.Generator) -> None:
        self.matrix, self.generator, self.steps = matrix, generator, steps
        self.length = start.norm()
        self.vector = start / self.length
        self.basis = torch.empty(steps, len(start), dtype=matrix.dtype, device=matrix.device).T
        self.diagonal, self.beside = np.zeros(steps), np.zeros(steps)
        self.step, self.done = 0, False

    def take(self, product: Tensor) -> None:
        """Grow by the product with `vector`."""
        step, size = self.step, len(self.vector)
        if not step and not product.any():
            self.step, self.steps, self.done = 1, 1, True
            return
        self.basis[:, step] = self.vector
        self.diagonal[step] = (self.vector @ product).item()
        known = self.basis[:, : step + 1]
        rest = project_out(known, product[:, None])[:, 0]
        length = rest.norm().item()
        scale = max(np.abs(self.diagonal).max(), self.beside.max(), length)
        if length > 10 * torch.finfo(self.matrix.dtype).eps * scale:
            self.beside[step], self.vector = length, rest / length
        elif step + 1 < size:
            fresh = project_out(known, gaussian(self.matrix, 1, self.generator))[:, 0]
            self.vector = fresh / fresh.norm()
        if step + 1 == size:
            self.beside[step] = 0.0  # nothing is left but rounding
        self.step = step + 1
        self.done = self.step == self.steps

    def ritz(self) -> Ritz:
        beside = self.beside[: self.steps - 1]
        tridiagonal = np.diag(self.diagonal[: self.steps]) + np.diag(beside, 1) + np.diag(beside, -1)
        values, vectors = np.linalg.eigh(tridiagonal)
        residuals = np.abs(self.beside[self.steps - 1] * vectors[-1])
        return Ritz(values, residuals, np.square(vectors[0]), self.steps)
