"""Faults in which positions may attend to which."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast

import torch
from torch import Tensor

from attention_faults.faults.injection import replaced
from attention_faults.faults.operator import operator
from attention_faults.subjects.attention import Site
from attention_faults.subjects.edge_attention import EdgeAttention

MASKED = ("self", "causal_self", "cross", "additive")


def _with_mask(site: Site, change: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
    """Let one attention see a changed mask (true: may attend), of the shape of its scores."""
    mask = site.attention.mask
    return replaced(site.attention, mask=lambda scores, allowed: mask(scores, change(allowed)))


@operator(
    category="attention_masking",
    root_cause="mask_application",
    truth="comparison",
    kinds=MASKED,
    requires=("mask",),
)
def mask_dropped(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The mask is not applied."""
    return _with_mask(site, torch.ones_like)


@operator(
    category="attention_masking",
    root_cause="mask_application",
    truth="comparison",
    # the states of a padded GRU are zero: there it would be the same as no mask
    kinds=("self", "causal_self", "cross"),
    requires=("mask",),
)
def mask_behind_softmax(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The mask zeroes weights behind the softmax, so that they no longer sum to one."""
    attention = site.attention
    normalise = attention.normalise
    seen: list[Tensor] = []

    def remember(scores: Tensor, allowed: Tensor) -> Tensor:
        seen[:] = [allowed]
        return scores

    return replaced(attention, mask=remember, normalise=lambda scores: normalise(scores) * seen[0])


@operator(
    category="attention_masking",
    root_cause="mask_application",
    truth="comparison",
    kinds=("self", "cross"),
    requires=("mask",),
)
def mask_on_wrong_axis(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The mask is broadcast along the wrong axis: query t sees the mask of sample t + 1."""

    def broadcast(allowed: Tensor) -> Tensor:
        samples, _, queries, _ = allowed.shape
        sample = (torch.arange(queries, device=allowed.device) + 1) % samples
        return allowed[sample, :, 0].transpose(0, 1).expand(allowed.shape)

    return _with_mask(site, broadcast)


@operator(
    category="attention_masking",
    root_cause="mask_application",
    truth="comparison",
    kinds=("causal_self",),
    requires=("mask",),
)
def mask_transposed(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The causal mask is transposed: queries see the future in place of the past."""
    return _with_mask(
        site, lambda allowed: allowed.transpose(-2, -1) if allowed.shape[-1] == allowed.shape[-2] else allowed
    )


@operator(
    category="attention_masking",
    root_cause="mask_generation",
    truth="comparison",
    kinds=MASKED,
    requires=("mask",),
)
def mask_inverted(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The mask has the wrong polarity: only what should be hidden is seen."""
    return _with_mask(site, torch.logical_not)


@operator(
    category="attention_masking",
    root_cause="mask_generation",
    truth="comparison",
    kinds=MASKED,
    severities=(1.0, 2.0),
    requires=("mask",),
)
def mask_shifted(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The mask is shifted by `severity` keys."""
    return _with_mask(site, lambda allowed: allowed.roll(int(severity), dims=-1))


@operator(
    category="attention_masking",
    root_cause="mask_generation",
    truth="comparison",
    kinds=MASKED,
    severities=(1.0, 4.0),
    requires=("mask",),
)
def mask_fill_too_small(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Hidden scores are lowered by `severity` in place of being ruled out."""
    return replaced(
        site.attention, mask=lambda scores, allowed: scores - severity * (~allowed).to(scores.dtype)
    )


@operator(
    category="attention_masking",
    root_cause="mask_generation",
    truth="comparison",
    kinds=("causal_self",),
    requires=("mask",),
)
def causal_mask_leaks(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The causal mask is off by one: each query sees a key of the future."""
    return _with_mask(site, lambda allowed: allowed | allowed.roll(1, dims=-1))


@operator(
    category="attention_masking", root_cause="mask_generation", truth="comparison", kinds=("graph_node",)
)
def self_loops_lost(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Nodes do not attend to themselves."""
    edges = cast("EdgeAttention", site.attention).edges
    return _with_mask(site, lambda allowed: allowed & (edges.source != edges.target))


@operator(
    category="attention_masking",
    root_cause="mask_generation",
    truth="comparison",
    target="attentions",
    kinds=("graph_node",),
)
def metapath_mixed_up(sites: list[Site], severity: float, seed: int) -> AbstractContextManager[None]:
    """A metapath is mixed up with the next one, along which its attention runs in place of its own edges."""
    attention, other = (cast("EdgeAttention", site.attention) for site in sites[:2])
    return replaced(attention, edges=other.edges)


@operator(
    category="attention_masking",
    root_cause="dynamic_mask",
    truth="comparison",
    kinds=("self", "cross", "additive"),
    requires=("mask",),
)
def mask_of_first_sample(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The mask does not follow the lengths of a batch: that of the first sample serves all."""
    return _with_mask(site, lambda allowed: allowed[:1].expand(allowed.shape))


@operator(
    category="attention_masking",
    root_cause="dynamic_mask",
    truth="comparison",
    kinds=("causal_self",),
    severities=(0.5, 0.75),
)
def mask_stops_growing(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The mask keeps the length of an earlier state: keys beyond `severity` of the length stay hidden."""

    def cut(allowed: Tensor) -> Tensor:
        length = max(1, int(severity * allowed.shape[-1]))
        return allowed & (torch.arange(allowed.shape[-1], device=allowed.device) < length)

    return _with_mask(site, cut)
