"""Our attention steps as an attention implementation of `transformers`.

A model whose configuration says `attn_implementation=IMPLEMENTATION` takes the steps of each attention from
the attribute `attention` of the module that owns it. Importing this module registers the implementation.
"""

from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

IMPLEMENTATION = "attention_faults"


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Run the steps of an attention module of `transformers`.

    Args:
        module: owner of the steps, an `Attention`.
        query: (B, H, T, D).
        key: (B, H, S, D).
        value: (B, H, S, D).
        attention_mask: as `boolean_mask` makes it.
        scaling: factor of the scores.
        dropout: share of weights to drop.

    Returns:
        The output (B, T, H, D) and the weights (B, H, T, S).
    """
    merged, weights = module.attention(
        query, key, value, allowed=attention_mask, scaling=scaling, dropout=dropout
    )
    heads = query.shape[1]  # `transformers` merges them itself
    return merged.reshape(*merged.shape[:-1], heads, -1), weights


def boolean_mask(**arguments: Any) -> Tensor | None:
    """Make the mask (B, 1, T, S), true where a query may attend to a key; none where all may to all."""
    # a causal mask is always spelt out, since `attend` knows no flag for it
    return sdpa_mask(**{**arguments, "allow_is_causal_skip": False})


AttentionInterface.register(IMPLEMENTATION, attend)
AttentionMaskInterface.register(IMPLEMENTATION, boolean_mask)


def parameters_at(model: nn.Module, *paths: str) -> list[nn.Parameter]:
    """List the parameters of the modules at these paths."""
    return [parameter for path in paths for parameter in model.get_submodule(path).parameters()]
