"""Trace of a symmetric matrix by random probes."""

import torch

from attention_faults.curvature.estimate import Estimate, Matrix
from attention_faults.curvature.probes import orthonormal, project_out, rademacher


def hutchinson(matrix: Matrix, probes: int, generator: torch.Generator) -> Estimate:
    """Trace by Rademacher probes (Hutchinson 1990): the mean of z^T A z.

    Args:
        matrix: symmetric, shape (n, n).
        probes: number of products, at least 2 (the standard error needs a variance).
        generator: of the probes.

    Raises:
        ValueError: if `probes` < 2 or the matrix is not square.
    """
    _refuse(matrix, probes, 2)
    vectors = rademacher(matrix, probes, generator)
    quadratic = (vectors * (matrix @ vectors)).sum(dim=0)
    return Estimate.of_mean(quadratic.double().cpu().numpy(), probes)


def hutch_plus_plus(matrix: Matrix, products: int, generator: torch.Generator) -> Estimate:
    """Trace, exact on a subspace that holds most of the matrix, by probes on the rest (Meyer et al. 2021).

    With Q an orthonormal basis of A S for a random S, and P = I - Q Q^T, it is tr(Q^T A Q) + E[z^T P A P z].

    Args:
        matrix: symmetric, shape (n, n).
        products: a third for the subspace, a third to be exact on it, the rest for probes; at least 6.
        generator: of the probes.

    Raises:
        ValueError: if `products` < 6 or the matrix is not square.
    """
    _refuse(matrix, products, 6)
    size, third = matrix.shape[1], products // 3
    if size <= third:
        columns = matrix @ torch.eye(size, dtype=matrix.dtype, device=matrix.device)
        return Estimate.exact(columns.diagonal().double().sum().item(), size)
    basis = orthonormal(matrix @ rademacher(matrix, third, generator))
    captured = (basis * (matrix @ basis)).double().sum().item() if basis.shape[1] else 0.0
    probes = products - 2 * third
    vectors = project_out(basis, rademacher(matrix, probes, generator))
    rest = (vectors * (matrix @ vectors)).sum(dim=0)
    spent = third + basis.shape[1] + probes
    return Estimate.of_mean(rest.double().cpu().numpy(), spent, offset=captured)


def _refuse(matrix: Matrix, products: int, least: int) -> None:
    if products < least:
        raise ValueError(f"a trace needs at least {least} products for its standard error, got {products}")
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"only a square matrix has a trace, this one is {tuple(matrix.shape)}")
