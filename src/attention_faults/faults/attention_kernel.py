"""Faults of a fused kernel, or of its use outside what it supports, shown in plain arithmetic."""

from contextlib import AbstractContextManager
from typing import cast

import torch
from torch import Tensor

from attention_faults.faults.injection import replaced
from attention_faults.faults.operator import DOT_PRODUCT, SCORED, operator
from attention_faults.faults.rounding import rounded
from attention_faults.subjects.attention import Site
from attention_faults.subjects.edge_attention import EdgeAttention


@operator(
    category="attention_kernel",
    root_cause="feature_constraints",
    truth="comparison",
    kinds=(*DOT_PRODUCT, "additive"),
    severities=(4.0, 2.0),
)
def tail_of_keys_ignored(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The kernel works on whole tiles: the last keys, 1/`severity` of them, are never reached."""
    mask = site.attention.mask

    def reach(scores: Tensor, allowed: Tensor) -> Tensor:
        keys = scores.shape[-1]
        reached = torch.arange(keys, device=scores.device) < keys - max(1, int(keys / severity))
        return mask(scores, allowed & reached)

    return replaced(site.attention, mask=reach)


@operator(
    category="attention_kernel",
    root_cause="feature_constraints",
    truth="comparison",
    kinds=("graph_node",),
    severities=(4.0, 1.0),
)
def neighbours_beyond_limit_ignored(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The kernel reaches `severity` neighbours of a node at most, those of the lowest numbers."""
    edges = cast("EdgeAttention", site.attention).edges
    place = torch.arange(len(edges.target), device=edges.target.device)
    rank = place - edges.target_pointer[edges.target]  # sorted by target
    mask = site.attention.mask
    return replaced(
        site.attention, mask=lambda scores, allowed: mask(scores, allowed & (rank < int(severity)))
    )


@operator(
    category="attention_kernel",
    root_cause="feature_constraints",
    truth="comparison",
    kinds=DOT_PRODUCT,
    severities=(0.5, 0.25),
)
def head_size_truncated(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The kernel supports small heads only and compares the first `severity` share of their features."""
    scores = site.attention.scores

    def truncated(query: Tensor, key: Tensor) -> Tensor:
        size = max(1, int(query.shape[-1] * severity))
        return scores(query[..., :size], key[..., :size])

    return replaced(site.attention, scores=truncated)


@operator(
    category="attention_kernel",
    root_cause="silent_fallback",
    truth="comparison",
    kinds=DOT_PRODUCT,
    requires=("mask",),
)
def fallback_ignores_mask_and_scale(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """A fallback runs without notice and ignores the mask and the scale that it is given."""
    return replaced(site.attention, mask=lambda scores, allowed: scores, scale=lambda scores, scaling: scores)


@operator(
    category="attention_kernel",
    root_cause="numerical_precision",
    truth="output",
    kinds=SCORED,
    severities=(7.0, 1.0),
)
def output_accumulated_narrowly(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The weighted sum is accumulated by fours with `severity` bits of mantissa: 7 in bfloat16."""
    combine = site.attention.combine

    def narrow(weights: Tensor, value: Tensor) -> Tensor:
        total: Tensor | None = None
        for some, values in zip(torch.split(weights, 4, dim=-1), torch.split(value, 4, dim=-2), strict=True):
            part = rounded(combine(some, values), severity)
            total = part if total is None else rounded(total + part, severity)
        return combine(weights, value) if total is None else total

    return replaced(site.attention, combine=narrow)


@operator(
    category="attention_kernel",
    root_cause="numerical_precision",
    truth="comparison",
    kinds=(*DOT_PRODUCT, "additive"),
    severities=(2.0, 4.0),
)
def chunks_without_normaliser(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Keys are worked off in `severity` chunks, each with its own softmax, and averaged without weights."""

    def chunked(scores: Tensor) -> Tensor:
        chunks = scores.chunk(int(severity), dim=-1)
        hidden = torch.finfo(scores.dtype).min / 2
        seen = [(chunk > hidden).any(dim=-1, keepdim=True) for chunk in chunks]
        count = torch.stack(seen).sum(dim=0).clamp(min=1)
        weights = [chunk.softmax(dim=-1) * any_ / count for chunk, any_ in zip(chunks, seen, strict=True)]
        return torch.cat(weights, dim=-1)

    return replaced(site.attention, normalise=chunked)


@operator(
    category="attention_kernel",
    root_cause="kernel_memory",
    truth="output",
    kinds=("self", "cross", "additive", "graph_semantic"),
    severities=(1.0, 2.0),
)
def values_read_off_by_rows(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The kernel reads the values `severity` rows beside those that the weights belong to."""
    combine = site.attention.combine
    return replaced(
        site.attention, combine=lambda weights, value: combine(weights, value.roll(int(severity), dims=-2))
    )


@operator(
    category="attention_kernel",
    root_cause="kernel_memory",
    truth="memory",
    kinds=("self", "cross"),
    severities=(2.0, 4.0),
)
def keys_read_with_wrong_stride(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Keys and values are read with too small a stride: each row `severity` times, the last ones never."""
    heads = site.attention.heads

    def strided(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = heads(query, key, value)
        row = torch.arange(key.shape[-2], device=key.device) // int(severity)
        return query, key[..., row, :], value[..., row, :]

    return replaced(site.attention, heads=strided)


@operator(
    category="attention_kernel",
    root_cause="kernel_memory",
    truth="output",
    kinds=DOT_PRODUCT,
)
def buffer_shared_between_samples(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Samples of a batch share a buffer: each sees the values of the sample before it."""
    combine = site.attention.combine
    return replaced(site.attention, combine=lambda weights, value: combine(weights, value.roll(1, dims=0)))


@operator(
    category="attention_kernel",
    root_cause="hardware_incompatibility",
    truth="output",
    kinds=SCORED,
    severities=(1.0, 2.0),
)
def small_weights_flushed(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """A device flushes small numbers: weights below `severity` times their mean become zero."""
    normalise = site.attention.normalise

    def flush(scores: Tensor) -> Tensor:
        weights = normalise(scores)
        return torch.where(weights < severity / weights.shape[-1], 0.0, weights)

    return replaced(site.attention, normalise=flush)
