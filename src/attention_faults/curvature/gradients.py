"""What the gradient of the same batch says of each block, and what that costs: the baseline for curvature.

Costs are in gradients, one forward and one backward pass of the batch. A curvature product costs two.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from attention_faults.curvature.errors import CurvatureError
from attention_faults.curvature.operators import Blocks, Closure, Objective, derive, flatten


@dataclass(frozen=True)
class GradientProfile:
    """Gradient metrics of blocks.

    Attributes:
        table: a row for each block and metric, with columns `block`, `metric`, `estimate`, `stderr` (0: on
            this batch they are exact) and `gradients`, the cost of the metric for all blocks together.
        gradients: cost of the whole profile.
    """

    table: pd.DataFrame
    gradients: int


def gradient_profile(objective: Objective, blocks: Blocks) -> GradientProfile:
    """Measure the gradient of each block, and how it varies over the samples of the batch.

    The metrics, with g_n the gradient of the loss of sample n of N, g their mean, w the parameters, and
    S = sum_n ||g_n - g||^2 / (N - 1), the trace of their covariance:

    - `norm` ||g||, `max` max |g_k|, `gradient_x_weight` sum |g_k w_k|: one gradient;
    - `variance` S, `signal_to_noise` ||g|| / sqrt(S), and `noise_scale` S / (||g||^2 - S / N), the batch size
      at which noise equals signal (McCandlish et al. 2018, the simple one; unbiased parts): N backward passes
      more, each counted as a gradient. nan for one sample, or where the signal cannot be told from zero.

    Args:
        objective: outputs, and the loss of each sample.
        blocks: parameters by name of block; frozen and unused ones have zero gradient.

    Raises:
        CurvatureError: if a loss is not finite, or there is not one a sample.
    """
    held = {name: list(block) for name, block in blocks.items()}
    losses = objective.losses(objective.outputs())
    count = len(losses)
    mean = _gradients(losses.mean(), held)
    first = {name: _first_order(gradient, held[name]) for name, gradient in mean.items()}
    spread = dict.fromkeys(held, 0.0)
    for loss in losses:
        for name, gradient in _gradients(loss, held).items():
            spread[name] += (gradient - mean[name]).square().sum().item()
    rows = []
    for name, metrics in first.items():
        later = _noise(metrics["norm"], spread[name] / (count - 1) if count > 1 else math.nan, count)
        for cost, group in ((1, metrics), (1 + count, later)):
            rows += [
                {"block": name, "metric": metric, "estimate": value, "stderr": 0.0, "gradients": cost}
                for metric, value in group.items()
            ]
    return GradientProfile(pd.DataFrame(rows), 1 + count)


def batch_gradient_profile(losses: Sequence[Closure], blocks: Blocks) -> GradientProfile:
    """Measure the mean gradient of several batches of equal size, and how it varies over them.

    The metrics are `norm`, `max`, `gradient_x_weight` and `variance` of `gradient_profile`, with batches in
    place of samples; each batch costs a gradient. The variance of a single batch is undefined (nan).

    Args:
        losses: closures that return the mean loss of a batch, at least one.
        blocks: parameters by name of block; frozen and unused ones have zero gradient.

    Raises:
        CurvatureError: if a loss is not finite.
        ValueError: if there is no batch.
    """
    if not losses:
        raise ValueError("the mean gradient of batches needs at least one batch")
    held = {name: list(block) for name, block in blocks.items()}
    count = len(losses)
    total, squares = None, dict.fromkeys(held, 0.0)
    for loss in losses:
        value = loss()
        if not value.isfinite():
            raise CurvatureError(f"the loss of a batch is {value.item()}")
        found = _gradients(value, held)
        squares = {name: squares[name] + found[name].square().sum().item() for name in held}
        total = found if total is None else {name: total[name] + found[name] for name in held}
    rows = []
    for name, summed in (total or {}).items():
        mean = summed / count
        metrics = _first_order(mean, held[name])
        # rounding may take an exact zero below it
        spread = max(squares[name] - count * mean.square().sum().item(), 0.0)
        metrics["variance"] = spread / (count - 1) if count > 1 else math.nan
        rows += [
            {"block": name, "metric": metric, "estimate": value, "stderr": 0.0, "gradients": count}
            for metric, value in metrics.items()
        ]
    return GradientProfile(pd.DataFrame(rows), count)


def _gradients(loss: Tensor, blocks: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    """Return the flat gradient of each block in double precision."""
    parameters = [p for block in blocks.values() for p in block]
    flat = flatten(derive(loss, parameters, retain_graph=True), parameters).double()
    sizes = [sum(p.numel() for p in block) for block in blocks.values()]
    return dict(zip(blocks, torch.split(flat, sizes), strict=True))


def _first_order(gradient: Tensor, parameters: list[Tensor]) -> dict[str, float]:
    weights = torch.cat([p.detach().double().flatten() for p in parameters])
    return {
        "norm": gradient.norm().item(),
        "max": gradient.abs().max().item(),
        "gradient_x_weight": (gradient * weights).abs().sum().item(),
    }


def _noise(norm: float, variance: float, count: int) -> dict[str, float]:
    signal = norm**2 - variance / count
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.divide(norm, np.sqrt(variance))
    return {
        "variance": variance,
        "signal_to_noise": float(ratio),
        "noise_scale": variance / signal if signal > 0 else math.nan,
    }
