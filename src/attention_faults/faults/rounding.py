"""Arithmetic of narrow floating-point formats."""

import torch
from torch import Tensor


def rounded(values: Tensor, mantissa_bits: float) -> Tensor:
    """Round to a mantissa of so many bits; the gradient passes as if nothing were rounded."""
    _, exponent = torch.frexp(values.detach())
    step = torch.ldexp(torch.ones_like(values), exponent - 1 - int(mantissa_bits))
    step = step.clamp(min=torch.finfo(values.dtype).tiny)  # below, a step would be zero
    nearest = (values.detach() / step).round() * step
    return values + (nearest - values.detach())
