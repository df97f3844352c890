"""Squared Frobenius norms of all blocks and pairs of blocks, with the traces, from the same products.

For a probe z of random signs on block j, E||H_ij z||^2 = ||H_ij||_F^2, for every row i of the one product
with column j. The variance is in the large singular values, so these are taken out first, as Hutch++ does
for a trace (Meyer et al. 2021): with Q an orthonormal basis in block j and P = I - Q Q^T,

    ||H_ij||_F^2 = ||H_ij Q||_F^2 + E||H_ij P z||^2,    tr H_jj = tr(Q^T H_jj Q) + E[z^T P H_jj P z].

H is symmetric. So the rows j of products with probes on all blocks at once lie in the row spaces of all
H_ij: k such products give a basis of k vectors for every block. And what is known of H_ji Q_i takes part of
the variance out of column j as well:

    ||H_ij||_F^2 = ||H_ij Q_j||_F^2 + ||P_j H_ji Q_i||_F^2 + E||P_i H_ij P_j z||^2.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attention_faults.curvature.estimate import Estimate, Floats, Matrix, jackknife, standard_error
from attention_faults.curvature.operators import BlockOperator
from attention_faults.curvature.probes import dots, orthonormal, project_out, rademacher, squares


def squared_norm(matrix: Matrix, probes: int, generator: torch.Generator) -> Estimate:
    """Squared Frobenius norm of one matrix (n, m), the mean of ||A z||^2 over Rademacher probes.

    Raises:
        ValueError: if `probes` < 2.
    """
    if probes < 2:
        raise ValueError(f"a norm needs at least 2 probes for its standard error, got {probes}")
    products = matrix @ rademacher(matrix, probes, generator)
    return Estimate.of_mean(products.double().square().sum(dim=0).cpu().numpy(), probes)


@dataclass(frozen=True)
class ColumnSamples:
    """What the products with one block column say; B blocks, m probes.

    Attributes:
        captured_norms: ||H_ij Q_j||_F^2 for each row i, shape (B,).
        left_norms: ||P_i H_ij Q_j||_F^2, shape (B,); 0 for a row whose basis is not at hand.
        norms: ||P_i H_ij P_j z||^2, shape (m, B); without P_i for such a row.
        captured_trace: tr(Q^T H_jj Q).
        traces: z^T P H_jj P z, shape (m,).
        products: spent on this column.
        diagonal: H_jj itself (n_j, n_j) where the basis is the whole block and nothing is left to chance.
        starts: the first probes (n_j, s) before projection, to start Lanczos from.
        started: H_jj times them, which cost nothing more.
    """

    captured_norms: Floats
    left_norms: Floats
    norms: Floats
    captured_trace: float
    traces: Floats
    products: int
    diagonal: Floats | None
    starts: Tensor
    started: Tensor

    def trace(self) -> Estimate:
        """Estimate the trace of the diagonal block."""
        if self.diagonal is not None:
            return Estimate.exact(self.captured_trace, self.products)
        return Estimate.of_mean(self.traces, self.products, offset=self.captured_trace)


def sample_column(
    operator: BlockOperator,
    name: str,
    bases: Mapping[str, Tensor],
    probes: int,
    generator: torch.Generator,
    *,
    starts: int = 0,
) -> ColumnSamples:
    """Multiply one block column with a basis and with probes on the rest.

    Args:
        operator: of all blocks.
        name: of the column j.
        bases: of this block and of any others, orthonormal, independent of the probes, shape (n_j, k_j) each;
            k_j = n_j makes the column exact.
        probes: products on the rest.
        generator: of the probes.
        starts: number of probes to keep for Lanczos, at most `probes`.
    """
    block, basis, names = operator[name, name], bases[name], operator.names
    size, count = basis.shape
    captured, left, applied = np.zeros(len(names)), np.zeros(len(names)), torch.zeros_like(basis)
    for place, vectors in _chunks(basis, operator.probes_at_once):
        products = operator.column(name, vectors)
        captured += np.array([_squares(products[row]).sum() for row in names])
        left += np.array(
            [_squares(_rest(products, row, bases)).sum() if row in bases else 0 for row in names]
        )
        applied[:, place : place + vectors.shape[1]] = products[name]
        del products  # else they are held while the next ones are made
    captured_trace = dots(basis, applied).sum().item()
    norms, traces = np.zeros((probes, len(names))), np.zeros(probes)
    if count == size:
        diagonal = (applied @ basis.T).double().cpu().numpy()
        nothing = basis[:, :0]
        return ColumnSamples(captured, left, norms, captured_trace, traces, count, diagonal, nothing, nothing)
    kept, started = [], []
    for place in range(0, probes, operator.probes_at_once):
        width = min(operator.probes_at_once, probes - place)
        plain = rademacher(block, width, generator)
        vectors = project_out(basis, plain)
        products = operator.column(name, vectors)
        part = slice(place, place + width)
        norms[part] = np.stack([_squares(_rest(products, row, bases)) for row in names], axis=1)
        traces[part] = dots(vectors, products[name]).cpu().numpy()
        fresh = max(min(width, starts - place), 0)
        kept.append(plain[:, :fresh].clone())
        # by linearity: H z = H P z + (H Q) Q^T z
        started.append(products[name][:, :fresh] + applied @ (basis.T @ plain[:, :fresh]))
        del products, vectors
    return ColumnSamples(
        captured,
        left,
        norms,
        captured_trace,
        traces,
        count + probes,
        None,
        torch.cat(kept, dim=1),
        torch.cat(started, dim=1),
    )


def _squares(vectors: Tensor) -> Floats:
    """Squared norms of vectors (n, p): (p,)."""
    return np.asarray(squares(vectors).cpu().numpy())


def _rest(products: Mapping[str, Tensor], row: str, bases: Mapping[str, Tensor]) -> Tensor:
    basis = bases.get(row)
    whole: Tensor = products[row]
    return whole if basis is None else whole - basis @ (basis.T @ whole)


def _chunks(vectors: Tensor, width: int) -> Iterator[tuple[int, Tensor]]:
    for place in range(0, vectors.shape[1], width):
        yield place, vectors[:, place : place + width]


@dataclass(frozen=True)
class BlockNorms:
    """Squared Frobenius norms of all pairs of blocks, symmetric, B x B.

    Attributes:
        names: of the blocks.
        captured: the part that is exact, shape (B, B).
        samples: of the rest, one matrix a probe, shape (m, B, B).
        products: spent.
    """

    names: tuple[str, ...]
    captured: Floats
    samples: Floats
    products: int

    @property
    def squared(self) -> Floats:
        """Unbiased estimates, shape (B, B)."""
        return np.asarray(self.captured + self.samples.mean(axis=0))

    @property
    def stderr(self) -> Floats:
        """Their standard errors, shape (B, B)."""
        return np.asarray(np.apply_along_axis(standard_error, 0, self.samples))

    def norms(self) -> tuple[Floats, Floats]:
        """Frobenius norms, not squared, with jackknife standard errors, (B, B) each."""
        return jackknife(lambda mean: np.sqrt(self.captured + mean), self.samples)


def combine(names: Sequence[str], columns: Sequence[ColumnSamples], products: int) -> BlockNorms:
    """Put columns together: H_ij is in column j and, turned, in column i; the mean of both is less noisy.

    Where one of the two is exact it counts alone.
    """
    exact = np.array([column.diagonal is not None for column in columns])
    weights = np.full((len(names), len(names)), 0.5)  # of column j for the pair (i, j)
    weights[exact[:, None] & ~exact] = 0.0
    weights[~exact[:, None] & exact] = 1.0
    left = np.stack([column.left_norms for column in columns], axis=1)
    captured = weights * (np.stack([column.captured_norms for column in columns], axis=1) + left.T)
    samples = weights * np.stack([column.norms for column in columns], axis=2)
    return BlockNorms(tuple(names), captured + captured.T, samples + samples.transpose(0, 2, 1), products)


def squared_norms(
    operator: BlockOperator, probes: int, generator: torch.Generator, *, rank: int = 0
) -> BlockNorms:
    """Estimate the squared Frobenius norm of every block and every pair of blocks.

    Args:
        operator: of all blocks.
        probes: for each block, at least 2.
        generator: of the probes.
        rank: vectors for each block that are taken out first; costs `rank` products for each block, and
            `rank` + 1 for all together.

    Raises:
        ValueError: if `probes` < 2.
    """
    if probes < 2:
        raise ValueError(f"norms need at least 2 probes for their standard error, got {probes}")
    bases, spent = sketch(operator, operator.names, dict.fromkeys(operator.names, rank), generator)
    columns = [sample_column(operator, name, bases, probes, generator) for name in operator.names]
    return combine(operator.names, columns, spent + sum(column.products for column in columns))


def sketch(
    operator: BlockOperator,
    names: Sequence[str],
    ranks: dict[str, int],
    generator: torch.Generator,
    *,
    scales: dict[str, float] | None = None,
) -> tuple[dict[str, Tensor], int]:
    """Find a basis in each of some blocks that holds the large singular vectors of its column.

    Args:
        operator: of all blocks.
        names: blocks that get a basis; it takes memory of all of them at once.
        ranks: size of the basis of each block; a block that is not larger gets the whole space.
        generator: of the probes.
        scales: of the probe on each block, as `balance` gives them.

    Returns:
        Bases (n_j, at most rank), and the number of products spent.
    """
    whole = [name for name in names if operator.sizes[name] <= ranks[name]]
    bases = {
        name: torch.eye(operator.sizes[name], dtype=operator.dtype, device=operator.device) for name in whole
    }
    others = [name for name in names if name not in whole]
    rank, spent = max((ranks[name] for name in others), default=0), 0
    if rank and scales is None:
        scales, spent = balance(operator, generator)
    found: dict[str, list[Tensor]] = {name: [] for name in others}
    for place in range(0, rank, operator.probes_at_once):
        width = min(operator.probes_at_once, rank - place)
        rows = operator.rows(_probes_everywhere(operator, width, generator, scales or {}), others)
        for name in others:
            # a copy, since a part of a tensor holds all of it
            found[name].append(rows.pop(name)[:, : max(ranks[name] - place, 0)].clone())
    for name in others:
        nothing = torch.zeros(operator.sizes[name], 0, dtype=operator.dtype, device=operator.device)
        bases[name] = orthonormal(torch.cat([nothing, *found.pop(name)], dim=1))
    return bases, spent + rank


def balance(operator: BlockOperator, generator: torch.Generator) -> tuple[dict[str, float], int]:
    """Find scales of probes at which every block has its say in a product with all of them, by one product.

    If ||H_ij|| is about h_i h_j, the rows of one product have norms in the ratio of h_i: their inverses. A
    block that is no more than the rounding of the others gets no scale that would drown them in it.
    """
    ones = dict.fromkeys(operator.names, 1.0)
    rows = operator.rows(_probes_everywhere(operator, 1, generator, ones), operator.names)
    norms = {name: squares(row).sqrt().item() for name, row in rows.items()}
    least = 100 * torch.finfo(operator.dtype).eps * max(norms.values()) or 1.0
    return {name: 1 / max(norm, least) for name, norm in norms.items()}, 1


def _probes_everywhere(
    operator: BlockOperator, width: int, generator: torch.Generator, scales: dict[str, float]
) -> dict[str, Tensor]:
    return {
        name: rademacher(operator, width, generator, size=operator.sizes[name]).mul_(scales[name])
        for name in operator.names
    }
