"""Random vectors, each from an explicit generator, and bases made of products."""

import torch
from torch import Tensor

from attention_faults.curvature.estimate import Matrix

PIECE = 2**20


def rademacher(like: Matrix, count: int, generator: torch.Generator, *, size: int | None = None) -> Tensor:
    """Draw vectors of independent signs: (n, count), or (size, count).

    Drawn on the CPU, so that one seed gives the same probes on every device.
    """
    shape = (count, like.shape[1] if size is None else size)
    bits = torch.randint(2, shape, generator=generator, dtype=torch.int8)
    return bits.to(device=like.device, dtype=like.dtype).mul_(2).sub_(1).T


def gaussian(like: Matrix, count: int, generator: torch.Generator) -> Tensor:
    """Draw vectors of independent standard normal numbers: (n, count)."""
    drawn = torch.randn((count, like.shape[1]), generator=generator, dtype=like.dtype)
    return drawn.to(like.device).T


def orthonormal(vectors: Tensor) -> Tensor:
    """Return an orthonormal basis (n, r) of what vectors (n, k) span up to rounding, k at most n."""
    if len(vectors) > PIECE:
        return _orthonormal_in_pieces(vectors)
    norms = vectors.norm(dim=0)
    scaled = vectors / torch.where(norms > 0, norms, 1)
    left: Tensor
    left, values, _ = torch.linalg.svd(scaled, full_matrices=False)
    threshold: float = 10 * torch.finfo(vectors.dtype).eps * len(values) ** 0.5
    return left[:, values > threshold * values.max()] if len(values) and values.max() > 0 else left[:, :0]


def _orthonormal_in_pieces(vectors: Tensor) -> Tensor:
    """Orthonormalise by Gram matrices, with one copy where a decomposition makes three.

    What is less than a thousandth of the largest direction is left out, so that the second of the two passes
    is orthonormal up to rounding.
    """
    for _ in range(2):
        count = vectors.shape[1]
        gram = torch.zeros(count, count, dtype=torch.float64, device=vectors.device)
        for piece in torch.split(vectors, PIECE):
            gram += piece.double().T @ piece.double()
        lengths = gram.diagonal().sqrt()
        lengths = torch.where(lengths > 0, lengths, 1)
        values, turn = torch.linalg.eigh(gram / torch.outer(lengths, lengths))
        kept = values > 1e-6 * max(values.tolist(), default=0.0)
        turn = turn[:, kept] / values[kept].sqrt() / lengths[:, None]
        basis = torch.empty(len(vectors), turn.shape[1], dtype=vectors.dtype, device=vectors.device)
        for place in range(0, len(vectors), PIECE):
            piece = vectors[place : place + PIECE]
            basis[place : place + PIECE] = (piece.double() @ turn).to(vectors.dtype)
        vectors = basis
    return vectors


def project_out(basis: Tensor, vectors: Tensor) -> Tensor:
    """Return the part of vectors (n, p) orthogonal to a basis (n, k); twice, for the sake of rounding."""
    for _ in range(2):
        vectors = vectors - basis @ (basis.T @ vectors)
    return vectors


def squares(vectors: Tensor) -> Tensor:
    """Return squared norms of vectors (n, p), (p,) in double precision, but for no copy of all of them."""
    return dots(vectors, vectors)


def dots(one: Tensor, other: Tensor) -> Tensor:
    """Return products of vectors (n, p) with those of the same column, (p,) in double precision, likewise."""
    total = torch.zeros(one.shape[1], dtype=torch.float64, device=one.device)
    for a, b in zip(torch.split(one, PIECE), torch.split(other, PIECE), strict=True):
        total += (a.double() * b.double()).sum(dim=0)
    return total
