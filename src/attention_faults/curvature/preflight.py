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

from attention_faults.curvature.diagnosis import Observation, observe, restored_buffers
from attention_faults.curvature.double import SINGLES, double_precision
from attention_faults.curvature.errors import CurvatureError
from attention_faults.curvature.estimate import Floats
from attention_faults.curvature.operators import ROUNDING, BlockHessian, Blocks, Closure, derive, flatten

# in the order in which they are likely to pass: rounding spoils short steps, kinks spoil long ones
STEPS = (1e-5, 1e-6, 1e-4, 1e-7)
DIFFERENCE = 1e-5
# parallel sums on a GPU differ from run to run
REPEAT = {torch.float64: 1e-11, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 1e-1}
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

    The model is as before afterwards, running statistics included, and so are PyTorch's random numbers. Only
    graphs of a model in single precision no longer lead to its parameters: make operators after the check.

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
    devices = sorted({p.device.index for p in parameters if p.device.type == "cuda"})
    with restored_buffers(), torch.random.fork_rng(devices):
        level = 0.0
        with observe() as seen:
            for closure in losses:
                value = closure()
                if not value.requires_grad and any(p.requires_grad for p in parameters):
                    raise CurvatureError(
                        "the loss does not depend on any parameter that requires a gradient: look for "
                        "`torch.no_grad()` or `.detach()` in the closure"
                    )
                level += value.detach().sum().item() / len(losses)
                del value  # its graph
        ways = _Directions.drawn(parameters, directions, generator)
        own = _Own.measured(losses, held, ways, level, seen)
        if own.dtype in SINGLES:
            with double_precision(seen.roots, parameters):
                return _check_derivatives(losses, held, ways, own, seen)
        return _check_derivatives(losses, held, ways, own, seen)


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

    def noise(self, gradient: Tensor, level: float) -> float:
        """Return what rounding makes of products along directions where the Hessian is zero."""
        longest = max(way.norm().item() for way in self)
        noise: float = 10 * torch.finfo(gradient.dtype).eps * (gradient.norm().item() * longest + abs(level))
        return noise


@dataclass(frozen=True)
class _Own:
    """What a loss gives in the precision of its model."""

    dtype: torch.dtype
    level: float
    gradient: Tensor
    symmetry: float
    gradients: int

    @classmethod
    def measured(
        cls,
        losses: Sequence[Closure],
        blocks: dict[str, tuple[Tensor, ...]],
        ways: _Directions,
        level: float,
        seen: Observation,
    ) -> "_Own":
        hessian = BlockHessian(losses, blocks)
        gradient = hessian.gradient()
        _check_repeats(gradient, BlockHessian(losses, blocks).gradient(), seen)
        _refuse_infinite(gradient, blocks, "the gradient")
        small = []
        for way in ways:
            product = hessian @ way.to(hessian.dtype)
            _refuse_infinite(product, blocks, "a product with the Hessian")
            small.append(ways.along(product))
        symmetry = symmetry_residual(torch.stack(small, dim=1), ways.noise(gradient, level), hessian.dtype)
        spent = hessian.work.gradients + len(losses)
        return cls(hessian.dtype, level, gradient, symmetry, spent)

    def refuse_other(self, level: float, gradient: Tensor, way: Tensor, product: Tensor) -> None:
        """Refuse a loss that is another in double precision; of a gradient near zero little is known."""
        bound, noise = ROUNDING[self.dtype], 10 * torch.finfo(self.dtype).eps * abs(level)
        scale = max(gradient.norm().item(), self.gradient.norm().item(), product.norm().item())
        apart = (gradient - self.gradient).norm().item()
        for what, distance in {
            "loss": _relative(abs(level - self.level), max(abs(level), abs(self.level), scale), noise, bound),
            "gradient": _relative(apart, scale, noise / (way.norm().item() or 1.0), bound),
        }.items():
            if not distance <= bound:
                raise CurvatureError(
                    f"precision: the {what} in {self.dtype} differs by {distance:.2g} from that in double "
                    f"precision (at most {bound:.0e}): rounding spoils it, then use double precision, and "
                    "no autocast; or the closure keeps tensors of its own, and what it writes into them in "
                    "place is lost in the check: make them anew in each call, or in double precision"
                )


def _refuse_infinite(vector: Tensor, blocks: dict[str, tuple[Tensor, ...]], what: str) -> None:
    parts = zip(blocks, torch.split(vector, _sizes(blocks)), strict=True)
    bad = ", ".join(f"`{name}`" for name, part in parts if not part.isfinite().all())
    if bad:
        raise CurvatureError(
            f"finite: {what} is not finite in {bad} ({vector.dtype}), although the loss is: look for a "
            "square root, a norm or a fractional power at zero, and for overflow"
        )


def symmetry_residual(small: Tensor, noise: float, dtype: torch.dtype) -> float:
    """Return ||S - S^T|| over ||S||, which is at least such that noise alone passes; 0 for S = 0."""
    return _relative((small - small.T).norm().item(), small.norm().item(), noise, ROUNDING[dtype])


def _refuse_asymmetry(residual: float, seen: Observation) -> None:
    bound = ROUNDING[torch.float64]
    if not residual <= bound:
        raise CurvatureError(
            f"symmetry: the Hessian differs from its transpose by {residual:.2g} of its norm (in double "
            f"precision, at most {bound:.0e}): a backward of the model is wrong, or a part of it is "
            f"detached; compare fused kernels with plain operations{_suspects(seen)}"
        )


def _refuse_rounding(residual: float, dtype: torch.dtype) -> None:
    if not residual <= ROUNDING[dtype]:
        raise CurvatureError(
            f"symmetry: the Hessian differs from its transpose by {residual:.2g} of its norm in {dtype} (at "
            f"most {ROUNDING[dtype]:.0e}), but not in double precision: it is rounding; use double precision"
        )


def _check_repeats(first: Tensor, second: Tensor, seen: Observation) -> None:
    distance = (first - second).norm().item()
    scale = max(first.norm().item(), second.norm().item())
    if not distance > REPEAT[first.dtype] * scale:  # nan is looked for later
        return
    reasons = seen.draws()
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
    own: _Own,
    seen: Observation,
) -> Preflight:
    with torch.no_grad():
        level = sum(closure().item() for closure in losses) / len(losses)
    small, found, spent = [], [], own.gradients
    for way in ways:
        hessian = BlockHessian(losses, blocks, probes_at_once=1)
        product, gradient = hessian @ way, hessian.gradient()
        small.append(ways.along(product))
        spent += hessian.work.gradients
        del hessian  # its graph
        own.refuse_other(level, gradient, way, product)
        found.append(_compare(losses, blocks, way, product, gradient, abs(level)))
        spent += found[-1].gradients
        _refuse_slope(found[-1].slope, seen)
        _refuse_difference(found[-1].distances, list(blocks), seen)
    symmetry = symmetry_residual(torch.stack(small, dim=1), ways.noise(gradient, level), gradient.dtype)
    _refuse_asymmetry(symmetry, seen)
    _refuse_rounding(own.symmetry, own.dtype)
    return Preflight(
        symmetry,
        own.symmetry,
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
    level: float,
) -> _Comparison:
    """Compare a product (n,) and the gradient (n,) with differences along a direction (n,)."""
    parameters = _flat(blocks)
    live = [p for p in parameters if p.requires_grad]
    parts = zip(torch.split(way, [p.numel() for p in parameters]), parameters, strict=True)
    direction = [part.view(p.shape) for part, p in parts if p.requires_grad]
    norm = way.norm().item() or 1.0
    length = math.sqrt(sum(p.detach().square().sum().item() for p in live)) or 1.0
    # that of one step for all: else the rounding of the shortest would excuse anything
    rounding = 10 * torch.finfo(torch.float64).eps * norm / (STEPS[0] * length)
    floor = rounding * (gradient.norm().item() + level / length) + NEGLIGIBLE * product.norm().item()
    expected = (gradient @ way).item()
    typical = max(abs(expected), gradient.norm().item() * norm / math.sqrt(len(way)))
    sizes = _sizes(blocks)
    distances, slope, best, spent = np.full(len(sizes), np.inf), np.inf, STEPS[0], 0
    for step in STEPS:
        difference, rise = _central(losses, blocks, live, direction, step * length / norm)
        spent += 2 * len(losses)
        found = _distances(product, difference, sizes, floor)
        best = step if found.max() < distances.max() else best
        distances = np.minimum(distances, found)
        slope = min(slope, _relative(abs(rise - expected), typical, rounding * level, DIFFERENCE))
        if max(distances.max(), slope) <= DIFFERENCE:
            break
    return _Comparison(distances, slope, best, spent)


def _flat(blocks: dict[str, tuple[Tensor, ...]]) -> list[Tensor]:
    return [p for block in blocks.values() for p in block]


def _sizes(blocks: dict[str, tuple[Tensor, ...]]) -> list[int]:
    return [sum(p.numel() for p in block) for block in blocks.values()]


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
            for p, origin, d in zip(live, before, direction, strict=True):
                p.data.copy_(origin + sign * size * d)  # unseen by autograd: graphs of others stay valid
            at = [_first_order(closure, blocks) for closure in losses]
            gradients.append(sum((g for g, _ in at[1:]), start=at[0][0]) / len(at))
            values.append(sum(v for _, v in at) / len(at))
    finally:
        for p, origin in zip(live, before, strict=True):
            p.data.copy_(origin)
    return (gradients[0] - gradients[1]) / (2 * size), (values[0] - values[1]) / (2 * size)


def _first_order(closure: Closure, blocks: dict[str, tuple[Tensor, ...]]) -> tuple[Tensor, float]:
    parameters, loss = _flat(blocks), closure()
    return flatten(derive(loss, parameters), parameters), loss.item()


def _distances(product: Tensor, difference: Tensor, sizes: list[int], floor: float) -> Floats:
    """Relate each block of rows; the floor is what rounding makes of the others."""
    return np.array(
        [
            _relative((a - b).norm().item(), max(a.norm().item(), b.norm().item()), floor, DIFFERENCE)
            for a, b in zip(torch.split(product, sizes), torch.split(difference, sizes), strict=True)
        ]
    )


def _relative(distance: float, scale: float, noise: float, bound: float) -> float:
    """Relate a distance to a scale, which is at least such that noise alone passes the bound."""
    size = max(scale, noise / bound)
    if not distance:
        return 0.0
    return distance / size if size else math.inf


def _refuse_slope(slope: float, seen: Observation) -> None:
    if not slope <= DIFFERENCE:
        raise CurvatureError(
            f"gradient: it differs from central differences of the loss by {slope:.2g} along a direction (at "
            f"most {DIFFERENCE:.0e}, at every step): a first backward is wrong, or a part of the loss is "
            "detached, so that there is no Hessian of this loss to be had; or a kink lies at these very "
            "parameters, such as a ReLU of exactly zero, or rounding is most of a loss near zero"
            f"{_suspects(seen)}"
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
    return "".join(
        f"; {what}: {', '.join(found)}"
        for what, found in (
            ("custom functions that ran", custom),
            ("modules that change with each call", seen.statistics()),
        )
        if found
    )
