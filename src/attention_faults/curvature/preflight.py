"""Proof at run time that second derivatives of a loss can be trusted, before anything is computed from them.

Products of `BlockHessian` are compared with central differences of the gradient, which share no second
derivative with them, and the gradient with central differences of the loss, all of it in double precision.
"""

from collections.abc import Sequence
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
        vectors = _directions(own, parameters, directions, generator)
        own_symmetry = symmetry_residual(vectors, own @ vectors)
        _refuse_asymmetry(own_symmetry, own.dtype, seen)
        spent = 2 * own.work.gradients
        del own
        if parameters[0].dtype in SINGLES:
            with double_precision(seen.roots, parameters):
                return _check_derivatives(losses, held, vectors.double(), own_symmetry, spent, seen)
        return _check_derivatives(losses, held, vectors, own_symmetry, spent, seen)


def symmetry_residual(vectors: Tensor, products: Tensor) -> float:
    """Return ||S - S^T|| / ||S|| for S = V^T H V, from V and H V, both (n, d); 0 for H = 0."""
    small = vectors.double().T @ products.double()
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


def _directions(
    operator: BlockHessian, parameters: Sequence[Tensor], count: int, generator: torch.Generator
) -> Tensor:
    """Draw directions (n, count) in which each parameter moves by its own size, and a little at least."""
    total = sum(p.detach().double().square().sum().item() for p in parameters)
    typical = (total / operator.shape[0]) ** 0.5 or 1.0
    pieces = []
    for p in parameters:
        own = p.detach().double().square().mean().sqrt().item() if p.numel() else 0.0
        drawn = torch.randn((p.numel(), count), generator=generator, dtype=torch.float64)
        pieces.append((own + 0.1 * typical) * drawn)
    vectors = torch.cat(pieces)
    return vectors.to(dtype=operator.dtype, device=operator.device)


def _check_derivatives(
    losses: Sequence[Closure],
    blocks: dict[str, tuple[Tensor, ...]],
    vectors: Tensor,
    own_symmetry: float,
    spent: int,
    seen: Observation,
) -> Preflight:
    hessian = BlockHessian(losses, blocks)
    products, gradient = hessian @ vectors, hessian.gradient()
    symmetry = symmetry_residual(vectors, products)
    spent += hessian.work.gradients
    sizes = list(hessian.sizes.values())
    live = [p for block in blocks.values() for p in block if p.requires_grad]
    mask = torch.cat(
        [
            torch.full((p.numel(),), float(p.requires_grad), dtype=torch.float64, device=p.device)
            for block in blocks.values()
            for p in block
        ]
    )
    _refuse_asymmetry(symmetry, torch.float64, seen)
    parts = torch.split(mask[:, None] * vectors, [p.numel() for block in blocks.values() for p in block])
    moved = [part for part, p in zip(parts, _flat(blocks), strict=True) if p.requires_grad]
    length = sum(p.detach().square().sum().item() for p in live) ** 0.5 or 1.0
    worst, worst_slope, best_steps = 0.0, 0.0, []
    with torch.no_grad():
        level = sum(closure().item() for closure in losses) / len(losses)
    for k in range(vectors.shape[1]):
        direction = [part[:, k].reshape(p.shape) for part, p in zip(moved, live, strict=True)]
        norm = sum(d.square().sum().item() for d in direction) ** 0.5 or 1.0
        distances = np.full(len(sizes), np.inf)
        slope = np.inf
        for step in STEPS:
            size = step * length / norm
            difference, rise = _central(losses, blocks, live, direction, size)
            spent += 2 * len(losses)
            # of one step for all: else the rounding of the shortest would excuse anything
            rounding = 10 * torch.finfo(torch.float64).eps * norm / (STEPS[0] * length)
            floor = rounding * gradient.norm().item() + NEGLIGIBLE * products[:, k].norm().item()
            found = _distances(products[:, k], difference, sizes, floor)
            if found.max() < distances.max():
                best = step
            distances = np.minimum(distances, found)
            expected = (gradient @ (mask * vectors[:, k])).item()
            typical = max(abs(expected), gradient.norm().item() * norm / vectors.shape[0] ** 0.5)
            slope = min(slope, _relative(abs(rise - expected), typical, rounding * abs(level)))
            if max(distances.max(), slope) <= DIFFERENCE:
                break
        best_steps.append(best)
        worst, worst_slope = max(worst, float(distances.max())), max(worst_slope, slope)
        _refuse_slope(slope)
        _refuse_difference(distances, list(blocks), seen)
    return Preflight(symmetry, own_symmetry, worst, worst_slope, tuple(best_steps), vectors.shape[1], spent)


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
