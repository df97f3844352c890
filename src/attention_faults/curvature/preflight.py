"""Proof at run time that second derivatives of a loss can be trusted, before anything is computed from them.

Products of `BlockHessian` are compared with central differences of the gradient, which share no second
derivative with them, and the gradient with central differences of the loss, all of it in double precision.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attention_faults.curvature.diagnosis import Observation, observe
from attention_faults.curvature.double import SINGLES, double_precision
from attention_faults.curvature.errors import CurvatureError
from attention_faults.curvature.estimate import Floats
from attention_faults.curvature.operators import BlockHessian, Blocks, Closure

# in the order in which they are likely to pass: rounding spoils short steps, kinks spoil long ones
STEPS = (1e-5, 1e-6, 1e-4, 1e-7)
DIFFERENCE = 1e-5
SYMMETRY = {torch.float64: 1e-9, torch.float32: 1e-3}
REPEAT = {torch.float64: 1e-11, torch.float32: 1e-4}  # parallel sums on a GPU differ from run to run
NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class Preflight:
    """Checks that a loss has passed.

    Attributes:
        symmetry: antisymmetric over symmetric part on random directions, in double precision.
        symmetry_own: the same in the precision of the model.
        difference: largest relative distance of a block of a product from central differences.
        slope: the same of the gradient along a direction.
        steps: relative to the parameters, those at which each direction agreed best.
        directions: tried.
        gradients: cost, in gradients.
    """

    symmetry: float
    symmetry_own: float
    difference: float
    slope: float
    steps: tuple[float, ...]
    directions: int
    gradients: int


def preflight(
    loss: Closure | Sequence[Closure], blocks: Blocks, generator: torch.Generator, *, directions: int = 3
) -> Preflight:
    """Check determinism, double backward, symmetry, and agreement with central differences.

    The model is as before afterwards, running statistics included.

    Args:
        loss: closure that returns a scalar; or several, whose mean is meant.
        blocks: parameters by name of block.
        generator: of the directions.
        directions: random directions, at least 2 for the symmetry to mean something.

    Raises:
        CurvatureError: if a check fails: which, by how much, and what to do.
        ValueError: if the blocks cannot be used, or there are too few directions.
    """
    if directions < 2:
        raise ValueError(f"symmetry takes at least 2 directions, got {directions}")
    losses = [loss] if callable(loss) else list(loss)
    held = {name: tuple(block) for name, block in blocks.items()}
    parameters = _flat(held)
    with observe() as seen:
        for closure in losses:
            if not closure().requires_grad and any(p.requires_grad for p in parameters):
                raise CurvatureError(
                    "the loss does not depend on any parameter that requires a gradient: look for "
                    "`torch.no_grad()` or `.detach()` in the closure"
                )
    with observe():  # puts running statistics back
        own = BlockHessian(losses, held)
        _check_repeats(own, BlockHessian(losses, held), seen)
        ways = _Directions.drawn(parameters, directions, generator)
        small = torch.stack([ways.along(own @ way.to(own.dtype)) for way in ways], dim=1)
        own_symmetry = symmetry_residual(small)
        _refuse_asymmetry(own_symmetry, own.dtype, seen)
        spent = 2 * own.work.gradients
        del own
        if parameters[0].dtype in SINGLES:
            with double_precision(seen.roots, parameters):
                return _check_derivatives(losses, held, ways, own_symmetry, spent, seen)
        return _check_derivatives(losses, held, ways, own_symmetry, spent, seen)


@dataclass(frozen=True)
class _Directions:
    """Random directions (n,) in double precision, drawn anew at each use: together they would fill memory.

    Each parameter moves by its own size, and a little at least; frozen ones do not move.
    """

    parameters: list[Tensor]
    sizes: list[float]
    seeds: list[int]

    @classmethod
    def drawn(cls, parameters: list[Tensor], count: int, generator: torch.Generator) -> "_Directions":
        squares = [p.detach().double().square().sum().item() for p in parameters]
        numbers = [p.numel() for p in parameters]
        least = 0.1 * (math.sqrt(sum(squares) / max(sum(numbers), 1)) or 1.0)
        sizes = [
            math.sqrt(square / max(number, 1)) + least if p.requires_grad else 0.0
            for p, square, number in zip(parameters, squares, numbers, strict=True)
        ]
        return cls(parameters, sizes, torch.randint(2**62, (count,), generator=generator).tolist())

    def __iter__(self) -> Iterator[Tensor]:
        for seed in self.seeds:
            generator = torch.Generator().manual_seed(seed)
            yield torch.cat(
                [
                    size * torch.randn(p.numel(), generator=generator, dtype=torch.float64)
                    for p, size in zip(self.parameters, self.sizes, strict=True)
                ]
            ).to(self.parameters[0].device)

    def along(self, product: Tensor) -> Tensor:
        """Return the part of a product along each direction, (directions,)."""
        return torch.stack([way @ product.double() for way in self])


def symmetry_residual(small: Tensor) -> float:
    """Return ||S - S^T|| / ||S||; 0 for S = 0."""
    norm = small.norm().item()
    return (small - small.T).norm().item() / norm if norm else 0.0


def _refuse_asymmetry(residual: float, dtype: torch.dtype, seen: Observation) -> None:
    bound = SYMMETRY.get(dtype, SYMMETRY[torch.float32])
    if not residual <= bound:
        raise CurvatureError(
            f"symmetry: the Hessian differs from its transpose by {residual:.2g} of its norm ({dtype}, at "
            f"most {bound:.0e}): a backward of the model is wrong, or a part of it is detached; compare "
            f"fused kernels with plain operations{_suspects(seen)}"
        )


def _check_repeats(one: BlockHessian, again: BlockHessian, seen: Observation) -> None:
    first, second = one.gradient(), again.gradient()
    distance = (first - second).norm().item()
    scale = max(first.norm().item(), second.norm().item())
    if distance <= REPEAT.get(one.dtype, REPEAT[torch.float32]) * scale:
        return
    reasons = [f"`{function}` in {where}" for function, where in seen.random.items()]
    advice = "put the model in evaluation mode, or seed it inside the closure"
    if not reasons:
        reasons = [f"statistics that {name} keeps in training mode" for name in seen.statistics()]
        advice = "put it in evaluation mode"
    if not reasons:
        reasons, advice = (
            ["data that is shuffled or augmented anew at each call"],
            "fix one batch outside of the closure",
        )
    raise CurvatureError(
        f"determinism: two calls of the closure give gradients that differ by {distance / scale:.2g} of "
        f"their norm; the likely reason is {', '.join(reasons)}: {advice}"
    )


def _check_derivatives(
    losses: Sequence[Closure],
    blocks: dict[str, tuple[Tensor, ...]],
    ways: _Directions,
    own_symmetry: float,
    spent: int,
    seen: Observation,
) -> Preflight:
    small, found = [], []
    for way in ways:
        hessian = BlockHessian(losses, blocks, probes_at_once=1)
        product, gradient = hessian @ way, hessian.gradient()
        small.append(ways.along(product))
        spent += hessian.work.gradients
        del hessian  # its graph
        found.append(_compare(losses, blocks, way, product, gradient))
        spent += found[-1].gradients
        _refuse_slope(found[-1].slope)
        _refuse_difference(found[-1].distances, list(blocks), seen)
    symmetry = symmetry_residual(torch.stack(small, dim=1))
    _refuse_asymmetry(symmetry, torch.float64, seen)
    return Preflight(
        symmetry,
        own_symmetry,
        max(float(one.distances.max()) for one in found),
        max(one.slope for one in found),
        tuple(one.step for one in found),
        len(found),
        spent,
    )


@dataclass(frozen=True)
class _Comparison:
    """How far a product and a slope are from central differences, each at its best step."""

    distances: Floats
    slope: float
    step: float
    gradients: int


def _compare(
    losses: Sequence[Closure],
    blocks: dict[str, tuple[Tensor, ...]],
    way: Tensor,
    product: Tensor,
    gradient: Tensor,
) -> _Comparison:
    """Compare a product (n,) and the gradient (n,) with differences along a direction (n,)."""
    parameters = _flat(blocks)
    live = [p for p in parameters if p.requires_grad]
    parts = zip(torch.split(way, [p.numel() for p in parameters]), parameters, strict=True)
    direction = [part.view(p.shape) for part, p in parts if p.requires_grad]
    norm = way.norm().item() or 1.0
    length = math.sqrt(sum(p.detach().square().sum().item() for p in live)) or 1.0
    with torch.no_grad():
        level = abs(sum(closure().item() for closure in losses) / len(losses))
    # that of one step for all: else the rounding of the shortest would excuse anything
    rounding = 10 * torch.finfo(torch.float64).eps * norm / (STEPS[0] * length)
    floor = rounding * gradient.norm().item() + NEGLIGIBLE * product.norm().item()
    expected = (gradient @ way).item()
    typical = max(abs(expected), gradient.norm().item() * norm / math.sqrt(len(way)))
    sizes = [sum(p.numel() for p in block) for block in blocks.values()]
    distances, slope, best, spent = np.full(len(sizes), np.inf), np.inf, STEPS[0], 0
    for step in STEPS:
        difference, rise = _central(losses, blocks, live, direction, step * length / norm)
        spent += 2 * len(losses)
        found = _distances(product, difference, sizes, floor)
        best = step if found.max() < distances.max() else best
        distances = np.minimum(distances, found)
        slope = min(slope, _relative(abs(rise - expected), typical, rounding * level))
        if max(distances.max(), slope) <= DIFFERENCE:
            break
    return _Comparison(distances, slope, best, spent)


def _flat(blocks: dict[str, tuple[Tensor, ...]]) -> list[Tensor]:
    return [p for block in blocks.values() for p in block]


def _central(
    losses: Sequence[Closure],
    blocks: dict[str, tuple[Tensor, ...]],
    live: Sequence[Tensor],
    direction: Sequence[Tensor],
    size: float,
) -> tuple[Tensor, float]:
    """Difference gradient (n,) and loss along a direction."""
    before = [p.detach().clone() for p in live]
    gradients, values = [], []
    try:
        for sign in (1, -1):
            with torch.no_grad():
                for p, origin, d in zip(live, before, direction, strict=True):
                    p.copy_(origin + sign * size * d)
            at = [_first_order(closure, blocks) for closure in losses]
            gradients.append(sum((g for g, _ in at[1:]), start=at[0][0]) / len(at))
            values.append(sum(v for _, v in at) / len(at))
    finally:
        with torch.no_grad():
            for p, origin in zip(live, before, strict=True):
                p.copy_(origin)
    return (gradients[0] - gradients[1]) / (2 * size), (values[0] - values[1]) / (2 * size)


def _first_order(closure: Closure, blocks: dict[str, tuple[Tensor, ...]]) -> tuple[Tensor, float]:
    parameters = _flat(blocks)
    live = [p for p in parameters if p.requires_grad]
    loss = closure()
    found = torch.autograd.grad(loss.sum(), live, allow_unused=True) if loss.requires_grad and live else []
    gradients = {id(p): g for p, g in zip(live, found, strict=False) if g is not None}
    flat = [
        gradients[id(p)].flatten() if id(p) in gradients else torch.zeros_like(p).flatten()
        for p in parameters
    ]
    return torch.cat(flat).detach(), loss.item()


def _distances(product: Tensor, difference: Tensor, sizes: list[int], floor: float) -> Floats:
    """Relate each block of rows; the floor is what rounding makes of the others."""
    return np.array(
        [
            _relative((a - b).norm().item(), max(a.norm().item(), b.norm().item()), floor)
            for a, b in zip(torch.split(product, sizes), torch.split(difference, sizes), strict=True)
        ]
    )


def _relative(distance: float, scale: float, noise: float) -> float:
    """Relate a distance to a scale, which is at least such that noise alone passes."""
    return distance / max(scale, noise / DIFFERENCE) if distance else 0.0


def _refuse_slope(slope: float) -> None:
    if not slope <= DIFFERENCE:
        raise CurvatureError(
            f"gradient: it differs from central differences of the loss by {slope:.2g} along a direction (at "
            f"most {DIFFERENCE:.0e}, at every step): a first backward is wrong, or a part of the loss is "
            "detached, so that there is no Hessian of this loss to be had"
        )


def _refuse_difference(distances: Floats, names: list[str], seen: Observation) -> None:
    if distances.max() <= DIFFERENCE:
        return
    worst = int(distances.argmax())
    bad = int((distances > DIFFERENCE).sum())
    raise CurvatureError(
        f"central differences: a product with the Hessian differs by {distances[worst]:.2g} in block "
        f"`{names[worst]}` (at most {DIFFERENCE:.0e}, at every step of {min(STEPS):.0e} to {max(STEPS):.0e} "
        f"of the parameters; {bad} of {len(names)} blocks differ): the double backward of an operation is "
        f"wrong; replace fused kernels by plain operations{_suspects(seen)}"
    )


def _suspects(seen: Observation) -> str:
    custom = [f"`{node}` in {where}" for node, where in seen.custom().items()]
    return f"; custom functions that ran: {', '.join(custom)}" if custom else ""
