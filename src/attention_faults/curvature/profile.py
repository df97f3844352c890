"""All metrics of all blocks from one set of products.

For each block column the products with a basis and with probes give the trace and the norms of all pairs; the
first probes start Lanczos, whose first step they have already paid for, and Lanczos gives the extremes and
the spectral density. A block with no more parameters than its budget has products is taken whole, exactly.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from attention_faults.curvature.density import SpectralDensity, effective_rank, is_zero, negative_share
from attention_faults.curvature.diagnosis import restored_buffers
from attention_faults.curvature.estimate import Estimate
from attention_faults.curvature.frobenius import (
    BlockNorms,
    ColumnSamples,
    balance,
    combine,
    sample_column,
    sketch,
)
from attention_faults.curvature.interaction import Interactions, interactions
from attention_faults.curvature.lanczos import Eigenvalue, ends, lanczos, spectrum_of
from attention_faults.curvature.operators import BlockHessian, BlockOperator, Blocks, Closure, Work
from attention_faults.curvature.preflight import Preflight, preflight


@dataclass(frozen=True)
class Budget:
    """How many products a profile spends on each block; fixed beforehand.

    Attributes:
        rank: vectors that are taken out exactly before the rest is left to probes.
        probes: random probes on the rest, at least 2.
        starts: of them, those from which Lanczos runs.
        steps: of each run.
        held: vectors of the size of the model that may be held in memory, or `least_held` numbers if that is
            more; blocks too large for it get a smaller rank, fewer steps and fewer starts.
        least_held: numbers that may be held in any case.
    """

    rank: int
    probes: int
    starts: int
    steps: int
    held: float = 1.0
    least_held: int = 2**25

    def __post_init__(self) -> None:
        if self.probes < 2 or not 1 <= self.starts <= self.probes or self.steps < 1 or self.rank < 0:
            raise ValueError(f"a profile takes 2 probes, of which 1 starts a run of 1 step, got {self}")

    @property
    def per_block(self) -> int:
        """Products for a block, at most."""
        return self.rank + self.probes + self.starts * (self.steps - 1)


ECONOMY = Budget(rank=4, probes=8, starts=2, steps=6)
STANDARD = Budget(rank=8, probes=16, starts=4, steps=16)
FULL = Budget(rank=16, probes=64, starts=8, steps=32)
BUDGETS = {"economy": ECONOMY, "standard": STANDARD, "full": FULL}


@dataclass(frozen=True)
class Profile:
    """Curvature of a loss by blocks.

    Attributes:
        table: a row for each block and metric, with columns `block`, `metric`, `estimate`, `stderr`,
            `products` and `converged`. Of eigenvalues `stderr` is the residual. Metrics of one block share
            products.
        interactions: between all pairs of blocks.
        norms: squared Frobenius norms of all pairs.
        densities: spectral density of each block.
        work: what the profile has cost, apart from the checks and from making the operator.
        checks: what the loss has passed before; None for an operator that is no Hessian.
    """

    table: pd.DataFrame
    interactions: Interactions
    norms: BlockNorms
    densities: dict[str, SpectralDensity]
    work: Work
    checks: Preflight | None

    def interaction_matrix(self) -> pd.DataFrame:
        """Label the interactions by block."""
        names = list(self.interactions.names)
        return pd.DataFrame(self.interactions.values, index=names, columns=names)


@restored_buffers()
def curvature_profile(
    loss: Closure | Sequence[Closure],
    blocks: Blocks,
    budget: Budget = STANDARD,
    *,
    seed: int = 0,
    checks: Preflight | None = None,
) -> Profile:
    """Check a loss, then measure its Hessian by blocks; running statistics are as before afterwards.

    Args:
        loss: closure that returns a scalar, the same at each call; or several, whose mean is meant.
        blocks: parameters by name of block.
        budget: products for each block, such as `STANDARD`.
        seed: of all random numbers; the same seed gives the same bytes on the same processor.
        checks: what this loss has already passed, to save them from being made again.

    Raises:
        CurvatureError: if a check fails, or the loss is not finite.
        ValueError: if the blocks cannot be used.
    """
    held = {name: tuple(block) for name, block in blocks.items()}
    generator = torch.Generator().manual_seed(seed)
    passed = checks or preflight(loss, held, generator)
    generator.manual_seed(seed)  # the same profile with checks made before
    return profile_operator(BlockHessian(loss, held), budget, generator, checks=passed)


@restored_buffers()
def profile_operator(
    operator: BlockOperator, budget: Budget, generator: torch.Generator, *, checks: Preflight | None = None
) -> Profile:
    """Measure any operator by blocks: Hessian, Gauss-Newton or Fisher.

    Nothing is checked here. Of a `BlockHessian` make a `preflight` first, as `curvature_profile` does; the
    other operators check themselves when they are made, but not whether their closures are deterministic.

    Args:
        operator: of all blocks.
        budget: products for each block.
        generator: of all probes.
        checks: to be kept with the result.
    """
    before = operator.work
    room = int(max(budget.held * operator.shape[1], budget.least_held))
    scales, spent = balance(operator, generator)
    columns: list[ColumnSamples] = []
    densities: dict[str, SpectralDensity] = {}
    rows: list[dict[str, object]] = []
    ranks = {name: _rank(size, budget, room) for name, size in operator.sizes.items()}
    for group in _groups(operator.sizes, ranks, room):
        bases, for_bases = sketch(operator, group, ranks, generator, scales=scales)
        spent += for_bases
        for name in group:
            starts = max(min(budget.starts, room // (4 * operator.sizes[name])), 1)
            column = sample_column(operator, name, bases, budget.probes, generator, starts=starts)
            columns.append(column)
            densities[name] = _density(operator, name, column, budget, generator, room)
    spent += sum(column.products for column in columns)
    norms = combine(operator.names, columns, spent)
    for name, column in zip(operator.names, columns, strict=True):
        rows += _rows(name, column, norms, densities[name])
    return Profile(
        pd.DataFrame(rows),
        interactions(norms),
        norms,
        densities,
        operator.work - before,
        checks,
    )


def _rank(size: int, budget: Budget, room: int) -> int:
    if size <= budget.per_block and size**2 <= room:
        return size
    return min(budget.rank, max(room // size, 0))


def _groups(sizes: dict[str, int], ranks: dict[str, int], room: int) -> Iterator[list[str]]:
    """Group blocks such that the bases of a group fit into memory together."""
    group: list[str] = []
    taken = 0
    for name, size in sizes.items():
        needed = size * ranks[name]
        if group and taken + needed > room:
            yield group
            group, taken = [], 0
        group.append(name)
        taken += needed
    yield group


def _density(
    operator: BlockOperator,
    name: str,
    column: ColumnSamples,
    budget: Budget,
    generator: torch.Generator,
    room: int,
) -> SpectralDensity:
    size = operator.sizes[name]
    if column.diagonal is not None:
        return SpectralDensity(size, (spectrum_of(column.diagonal, size),), exact=True)
    steps = max(min(budget.steps, room // size), 1)
    together = max(min(budget.starts, room // (size * steps)), 1)
    block, runs = operator[name, name], []
    for place in range(0, column.starts.shape[1], together):
        part = slice(place, place + together)
        first: Tensor = column.started[:, part]
        runs += lanczos(block, column.starts[:, part], steps, generator, first=first)
    return SpectralDensity(size, tuple(runs), exact=is_zero(tuple(runs)))


def _rows(
    name: str, column: ColumnSamples, norms: BlockNorms, density: SpectralDensity
) -> list[dict[str, object]]:
    place = norms.names.index(name)
    if column.diagonal is not None or density.exact:
        squared = Estimate.exact(float(norms.squared[place, place]), column.products)
        norm = Estimate.exact(math.sqrt(squared.value), column.products)
    else:
        values, stderrs = norms.norms()
        norm, squared = (
            Estimate.within(float(value[place, place]), float(stderr[place, place]), column.products)
            for value, stderr in ((values, stderrs), (norms.squared, norms.stderr))
        )
    shared = column.products if column.diagonal is not None else column.starts.shape[1]
    found = ends(density.runs)
    metrics: dict[str, Estimate | Eigenvalue] = {
        "trace": column.trace(),
        "frobenius": norm,
        "largest": found.largest,
        "smallest": found.smallest,
        "magnitude": found.magnitude,
        "negative_share": negative_share(density),
        "effective_rank": effective_rank(density),
        "stable_rank": stable_rank(squared, found.magnitude, column.products + density.products - shared),
    }
    return [
        {
            "block": name,
            "metric": metric,
            "estimate": estimate.value,
            "stderr": estimate.residual if isinstance(estimate, Eigenvalue) else estimate.stderr,
            "products": estimate.products,
            "converged": estimate.converged,
        }
        for metric, estimate in metrics.items()
    ]


def stable_rank(squared_norm: Estimate, magnitude: Eigenvalue, products: int) -> Estimate:
    """||H||_F^2 / ||H||_2^2, between 1 and n; undefined (nan) for the zero matrix.

    Errors are carried over to first order, the residual of the eigenvalue as if it were a standard error;
    `products` counts once those that both have in common.
    """
    square = magnitude.value**2
    if not square:
        return Estimate.exact(math.nan, products)
    value = squared_norm.value / square
    stderr = math.hypot(squared_norm.stderr / square, 2 * value * magnitude.residual / abs(magnitude.value))
    return Estimate.within(value, stderr, products)
