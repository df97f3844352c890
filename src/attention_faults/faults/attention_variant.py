"""Faults in which variant of attention runs, and how it is set up."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from attention_faults.faults.injection import replaced
from attention_faults.faults.operator import EVERY_ATTENTION, SCORED, operator
from attention_faults.subjects.attention import Site


@operator(category="attention_variant", root_cause="dynamic_dispatch", truth="comparison", kinds=SCORED)
def linear_attention_dispatched(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Linear attention (Katharopoulos et al. 2020, equation 7) is picked in place of softmax attention."""
    scores = site.attention.scores

    def linear(scores: Tensor) -> Tensor:
        positive = scores.clamp(min=0)  # what is hidden is far below
        return positive / positive.sum(dim=-1, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)

    def features(states: Tensor) -> Tensor:
        return nn.functional.elu(states) + 1

    return replaced(
        site.attention, scores=lambda query, key: scores(features(query), features(key)), normalise=linear
    )


@operator(
    category="attention_variant", root_cause="dynamic_dispatch", truth="comparison", kinds=EVERY_ATTENTION
)
def uniform_attention_dispatched(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """A path without learnt weights is picked: every key that may be seen weighs the same."""
    scores = site.attention.scores
    return replaced(site.attention, scores=lambda query, key: scores(query, key) * 0)


@operator(
    category="attention_variant",
    root_cause="dynamic_dispatch",
    truth="comparison",
    kinds=SCORED,
)
def hard_attention_dispatched(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Hard attention is picked: each query sees its best key alone, and no gradient reaches the scores."""

    def hard(scores: Tensor) -> Tensor:
        best = scores.argmax(dim=-1, keepdim=True)
        return torch.zeros_like(scores).scatter(-1, best, 1.0)

    return replaced(site.attention, normalise=hard)


@operator(
    category="attention_variant",
    root_cause="variant_configuration",
    truth="comparison",
    kinds=("self", "causal_self"),
    severities=(2.0, 1.0),
)
def local_window(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Only keys within `severity` positions of the query are seen, in place of all."""

    def near(allowed: Tensor) -> Tensor:
        queries, keys = allowed.shape[-2:]
        # with a cache the queries are the last of the keys
        query = torch.arange(keys - queries, keys, device=allowed.device)[:, None]
        key = torch.arange(keys, device=allowed.device)
        return allowed & ((query - key).abs() <= severity)

    mask = site.attention.mask
    return replaced(site.attention, mask=lambda scores, allowed: mask(scores, near(allowed)))


@operator(
    category="attention_variant", root_cause="variant_configuration", truth="comparison", kinds=("self",)
)
def causal_in_place_of_bidirectional(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """A decoder's causal attention runs in an encoder."""
    mask = site.attention.mask
    return replaced(site.attention, mask=lambda scores, allowed: mask(scores, allowed.tril()))


@operator(
    category="attention_variant",
    root_cause="variant_configuration",
    truth="attention",
    kinds=("cross",),
    requires=("source",),
)
def self_in_place_of_cross_attention(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Self attention is set up in place of cross attention: the other sequence is never read."""
    return replaced(site.attention, source=lambda own, other: own)
