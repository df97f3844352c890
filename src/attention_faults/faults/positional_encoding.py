"""Faults of the position information given to attention: which position a token is read as.

The models under study have learnt embeddings of absolute positions, so that the embedding is where such a
fault sits, and its block is at fault.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast

import torch
from torch import Tensor, nn

from attention_faults.faults.injection import replaced
from attention_faults.faults.operator import operator


def _read_at(embedding: nn.Module, change: Callable[[Tensor], Tensor]) -> AbstractContextManager[None]:
    """Let an embedding be read at other positions than it is asked for."""
    read = embedding.forward
    return replaced(embedding, forward=lambda ids: read(change(ids)))


@operator(
    category="positional_encoding",
    root_cause="indexing",
    truth="block",
    target="positions",
)
def positions_all_zero(embedding: nn.Module, severity: float, seed: int) -> AbstractContextManager[None]:
    """Position ids are not filled in: every token stands at position zero."""
    return _read_at(embedding, torch.zeros_like)


@operator(
    category="positional_encoding",
    root_cause="indexing",
    truth="block",
    target="positions",
    severities=(2.0, 4.0),
)
def positions_shifted(embedding: nn.Module, severity: float, seed: int) -> AbstractContextManager[None]:
    """Positions are `severity` too high, as if padding counted; those past the table take its last row."""
    last = cast("nn.Embedding", embedding).num_embeddings - 1
    return _read_at(embedding, lambda ids: (ids + int(severity)).clamp(max=last))


@operator(
    category="positional_encoding",
    root_cause="indexing",
    truth="block",
    target="positions",
    severities=(2.0, 3.0),
)
def positions_restart(embedding: nn.Module, severity: float, seed: int) -> AbstractContextManager[None]:
    """Positions restart at zero after every `severity` tokens, as if sequences were packed."""
    return _read_at(embedding, lambda ids: ids % int(severity))


@operator(
    category="positional_encoding",
    root_cause="indexing",
    truth="block",
    target="positions",
    requires=("cache",),
)
def positions_not_advanced(embedding: nn.Module, severity: float, seed: int) -> AbstractContextManager[None]:
    """Positions do not advance with the cache: what is read in each step begins at zero."""
    return _read_at(embedding, lambda ids: ids - ids.amin(dim=-1, keepdim=True))


@operator(
    category="positional_encoding",
    root_cause="interpolation",
    truth="block",
    target="positions",
    severities=(2.0, 4.0),
)
def positions_compressed(embedding: nn.Module, severity: float, seed: int) -> AbstractContextManager[None]:
    """Positions are scaled down `severity` times and rounded, so that neighbours share one."""
    return _read_at(embedding, lambda ids: ids // int(severity))


@operator(
    category="positional_encoding",
    root_cause="interpolation",
    truth="block",
    target="positions",
    severities=(2.0, 1.0),
)
def positions_truncated(embedding: nn.Module, severity: float, seed: int) -> AbstractContextManager[None]:
    """Positions end at `severity`: all tokens beyond share the last one."""
    return _read_at(embedding, lambda ids: ids.clamp(max=int(severity)))


@operator(
    category="positional_encoding",
    root_cause="interpolation",
    truth="block",
    target="positions",
    severities=(1.5, 3.0),
)
def positions_stretched(embedding: nn.Module, severity: float, seed: int) -> AbstractContextManager[None]:
    """The table is resized as if sequences were `severity` times as long, with linear interpolation."""
    read = embedding.forward

    def stretched(ids: Tensor) -> Tensor:
        place = ids / severity
        below = place.floor().long()
        above = place.ceil().long()
        share = (place - below)[..., None]
        low, high = read(below), read(above)
        return cast("Tensor", low + share.to(low.dtype) * (high - low))

    return replaced(embedding, forward=stretched)
