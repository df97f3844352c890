"""Faults of the query, key and value projections and of the split into heads."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from attention_faults.faults.injection import changed, replaced, unregistered
from attention_faults.faults.operator import DOT_PRODUCT, EVERY_ATTENTION, operator
from attention_faults.subjects.attention import Site


def _of(site: Site, *roles: str) -> list[nn.Parameter]:
    return [parameter for role in roles for parameter in site.components.get(role, ())]


@operator(
    category="qkv_projection",
    root_cause="dynamic_parameter_registration",
    truth="comparison",
    kinds=EVERY_ATTENTION,
)
def comparison_not_registered(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Query and key are not registered with the optimiser and stay as they were drawn."""
    return unregistered(_of(site, "query", "key", "qkv"))


@operator(
    category="qkv_projection",
    root_cause="dynamic_parameter_registration",
    truth="output",
    kinds=DOT_PRODUCT,
    requires=("value",),
)
def value_not_registered(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Value and output are not registered with the optimiser and stay as they were drawn."""
    return unregistered(_of(site, "value", "output"))


@operator(
    category="qkv_projection",
    root_cause="dynamic_parameter_registration",
    truth="memory",
    kinds=DOT_PRODUCT,
)
def value_tied_to_key(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The value projection is tied to the key's: keys are averaged in place of values."""
    heads = site.attention.heads

    def tied(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = heads(query, key, value)
        return query, key, key

    return replaced(site.attention, heads=tied)


@operator(
    category="qkv_projection",
    root_cause="dimension",
    truth="comparison",
    kinds=DOT_PRODUCT,
    requires=("heads",),
)
def heads_split_without_transpose(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Query and key are reshaped into heads without the transpose, which mixes positions and heads."""
    heads = site.attention.heads

    def split(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = heads(query, key, value)
        return _reshaped(query), _reshaped(key), value

    return replaced(site.attention, heads=split)


def _reshaped(projected: Tensor) -> Tensor:
    return projected.transpose(1, 2).reshape(projected.shape)


@operator(
    category="qkv_projection",
    root_cause="dimension",
    truth="output",
    kinds=DOT_PRODUCT,
    requires=("heads", "earlier_queries"),
)
def heads_merged_without_transpose(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The output is flattened without the transpose, which mixes positions and heads."""

    def merge(output: Tensor) -> Tensor:
        samples, heads, queries, size = output.shape
        return output.reshape(samples, queries, heads * size)

    return replaced(site.attention, merge=merge)


@operator(
    category="qkv_projection",
    root_cause="head_interaction",
    truth="comparison",
    kinds=DOT_PRODUCT,
    requires=("heads",),
)
def heads_share_first_key(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The key of the first head is repeated for all heads, as in a wrong grouping of heads."""
    heads = site.attention.heads

    def share(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = heads(query, key, value)
        return query, key[:, :1].expand(key.shape), value

    return replaced(site.attention, heads=share)


@operator(
    category="qkv_projection",
    root_cause="head_interaction",
    truth="output",
    kinds=DOT_PRODUCT,
    requires=("heads",),
)
def heads_share_first_value(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The value of the first head is repeated for all heads, as in a wrong grouping of heads."""
    heads = site.attention.heads

    def share(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = heads(query, key, value)
        return query, key, value[:, :1].expand(value.shape)

    return replaced(site.attention, heads=share)


@operator(
    category="qkv_projection",
    root_cause="parameter_initialization",
    truth="comparison",
    kinds=EVERY_ATTENTION,
    persists=False,
)
def comparison_starts_at_zero(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Query and key start at zero, a point where the gradient of both vanishes."""
    return changed(_of(site, "query", "key", "qkv"), torch.zeros_like)


@operator(
    category="qkv_projection",
    root_cause="parameter_initialization",
    truth="comparison",
    kinds=EVERY_ATTENTION,
    severities=(0.01, 30.0),
    persists=False,
)
def comparison_starts_badly_scaled(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Query and key start `severity` times as large as they should."""
    return changed(_of(site, "query", "key", "qkv"), lambda weights: weights * severity)


@operator(
    category="qkv_projection",
    root_cause="parameter_initialization",
    truth="output",
    kinds=DOT_PRODUCT,
    severities=(0.01, 30.0),
    persists=False,
    requires=("value",),
)
def value_starts_badly_scaled(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Value and output start `severity` times as large as they should."""
    return changed(_of(site, "value", "output"), lambda weights: weights * severity)
