"""Extreme eigenvalues of a symmetric matrix: Lanczos with full reorthogonalisation (Parlett 1998, ch. 13)."""

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
    start = gaussian(matrix, 1, generator)[:, 0]
    return ends([lanczos(matrix, start, steps, generator)], tolerance)


def ends(runs: list[Ritz], tolerance: float = TOLERANCE) -> Extremes:
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
    matrix: Matrix, start: Tensor, steps: int, generator: torch.Generator, *, first: Tensor | None = None
) -> Ritz:
    """Run Lanczos from a start vector.

    Where the Krylov space is invariant it goes on with a new random direction, so that a start vector without
    a part in an eigenvector does not hide it. A product that is exactly zero ends the run: for a random
    start vector the matrix is then zero.

    Args:
        matrix: symmetric, shape (n, n).
        start: (n,), not zero.
        steps: products, at most n.
        generator: of new directions.
        first: the product with `start`, if it is known; it counts as a step.
    """
    size = matrix.shape[1]
    steps = min(steps, size)
    basis = torch.empty(size, steps, dtype=matrix.dtype, device=matrix.device)
    diagonal, beside = np.zeros(steps), np.zeros(steps)
    length = start.norm()
    vector = start / length
    scale = 0.0
    for step in range(steps):
        basis[:, step] = vector
        product = matrix @ vector if step or first is None else first / length
        if not step and not product.any():
            return Ritz(np.zeros(1), np.zeros(1), np.ones(1), 1)
        diagonal[step] = (vector @ product).item()
        rest = project_out(basis[:, : step + 1], product[:, None])[:, 0]
        beside[step] = rest.norm().item()
        scale = max(scale, abs(diagonal[step]), beside[step])
        if beside[step] > 10 * torch.finfo(matrix.dtype).eps * scale:
            vector = rest / beside[step]
        else:
            beside[step] = 0.0
            fresh = project_out(basis[:, : step + 1], gaussian(matrix, 1, generator))[:, 0]
            vector = fresh / fresh.norm() if step + 1 < size else vector
    last = 0.0 if steps == size else beside[-1]
    tridiagonal = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
    values, vectors = np.linalg.eigh(tridiagonal)
    return Ritz(values, np.abs(last * vectors[-1]), np.square(vectors[0]), steps)
