"""Attention as a sequence of steps, each of which a fault can replace at one place of one model.

The models under study differ in what attends to what, but all of them run these steps, the ones from
`transformers` included. A step is a method; replacing it on an instance changes that attention and no other.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn


class Attention:
    """Scaled dot-product attention (Vaswani et al. 2017, equation 1), step by step.

    Shapes: B samples, H heads, T queries, S keys, D features a head. `allowed` is true where a query may
    attend to a key, broadcastable to (B, H, T, S).
    """

    def heads(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Hand over the heads of the projections: (B, H, T, D), (B, H, S, D), (B, H, S, D)."""
        return query, key, value

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Compare every query with every key: (B, H, T, S)."""
        return query @ key.transpose(-2, -1)

    def scale(self, scores: Tensor, scaling: float) -> Tensor:
        """Bring scores to unit variance."""
        return scores * scaling

    def mask(self, scores: Tensor, allowed: Tensor) -> Tensor:
        """Rule out what may not be attended to."""
        return scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)

    def normalise(self, scores: Tensor) -> Tensor:
        """Turn scores into weights that sum to one over the keys."""
        return scores.softmax(dim=-1)

    def drop(self, weights: Tensor, dropout: float) -> Tensor:
        """Drop weights at random, in training only."""
        return nn.functional.dropout(weights, dropout) if dropout else weights

    def combine(self, weights: Tensor, value: Tensor) -> Tensor:
        """Average the values: (B, H, T, D)."""
        return weights @ value

    def merge(self, output: Tensor) -> Tensor:
        """Put the heads of a query side by side: (B, T, H * D)."""
        return output.transpose(1, 2).flatten(start_dim=2)

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        allowed: Tensor | None = None,
        scaling: float = 1.0,
        dropout: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """Run all steps; return the merged output and the weights (B, H, T, S)."""
        query, key, value = self.heads(query, key, value)
        scores = self.scale(self.scores(query, key), scaling)
        if allowed is None:
            allowed = torch.ones((), dtype=torch.bool, device=scores.device)
        weights = self.normalise(self.mask(scores, allowed.expand(scores.shape)))
        output = self.combine(self.drop(weights, dropout), value)
        return self.merge(output), weights


class CacheReader:
    """How an attention reads its cache of keys and values: a step that a fault can replace.

    Shapes: B samples, H heads, S entries, D features a head.
    """

    def read(self, keys: Tensor, values: Tensor, written: int) -> tuple[Tensor, Tensor]:
        """Hand over all entries, (B, H, S, D) each, of which the last `written` are those of this step."""
        return keys, values


Kind = Literal["self", "causal_self", "cross", "additive", "graph_node", "graph_semantic"]


@dataclass(frozen=True)
class Site:
    """One attention of a model, where a fault can sit.

    Attributes:
        path: exact path of the module that owns it, as `model.get_submodule` takes it.
        layer: prefix of its blocks; the block of its query projection is `<layer>.query`.
        kind: which operators apply; `graph_node` is an `EdgeAttention`.
        attention: its steps.
        components: parameters by role, those of query, key, value and output that exist.
        head_count: number of heads.
        cache: how it reads its cache, where it has one.
        last_query_only: whether the loss depends on the last query alone.
        masked: whether any query on which the loss depends has keys that it may not attend to.
    """

    path: str
    layer: str
    kind: Kind
    attention: Attention
    components: dict[str, tuple[nn.Parameter, ...]]
    head_count: int
    cache: CacheReader | None = None
    last_query_only: bool = False
    masked: bool = False

    def __post_init__(self) -> None:
        """Refuse a kind to which no operator would apply."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"`{self.kind}` is no kind of attention; those are {', '.join(get_args(Kind))}")
