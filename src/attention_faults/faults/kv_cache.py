"""Faults of the keys and values that generation keeps from step to step.

A fault changes what one attention reads; what is stored stays as it is, so that the loss of a batch is the
same in two calls. Shapes as in `CacheReader`: keys and values (B, H, S, D), the last `written` entries new.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from attention_faults.faults.injection import replaced
from attention_faults.faults.operator import operator
from attention_faults.faults.rounding import rounded
from attention_faults.subjects.attention import Site

Change = Callable[[Tensor, int], Tensor]  # entries (B, H, S, D) and the number of new ones


def _reading(site: Site, *, keys: Change, values: Change) -> AbstractContextManager[None]:
    """Let an attention read changed entries, wherever there are older ones than those of this step."""
    if site.cache is None:
        raise ValueError(f"the attention `{site.layer}` has no cache")
    read = site.cache.read

    def changed(all_keys: Tensor, all_values: Tensor, written: int) -> tuple[Tensor, Tensor]:
        all_keys, all_values = read(all_keys, all_values, written)
        if all_keys.shape[-2] == written:
            return all_keys, all_values
        return keys(all_keys, written), values(all_values, written)

    return replaced(site.cache, read=changed)


def _reading_both(site: Site, change: Change) -> AbstractContextManager[None]:
    return _reading(site, keys=change, values=change)


@operator(category="kv_cache", root_cause="cache_invalidation", truth="memory", requires=("cache",))
def cache_of_another_request(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The cache is not reset: each sample reads the older entries of the sample before it."""

    def foreign(entries: Tensor, written: int) -> Tensor:
        older, new = entries.tensor_split([-written], dim=-2)
        return torch.cat([older.roll(1, dims=0), new], dim=-2)

    return _reading_both(site, foreign)


@operator(
    category="kv_cache",
    root_cause="cache_invalidation",
    truth="memory",
    requires=("cache",),
    severities=(1.0, 2.0),
)
def cache_evicts_too_early(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The cache is too small: its oldest `severity` entries are given up although they are still needed."""

    def evicted(entries: Tensor, written: int) -> Tensor:
        age = torch.arange(entries.shape[-2], device=entries.device)
        return torch.where((age < int(severity))[:, None], 0.0, entries)

    return _reading_both(site, evicted)


@operator(category="kv_cache", root_cause="update_synchronization", truth="memory", requires=("cache",))
def cache_updated_twice(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Each entry is written twice, over the one before it too, so that the first one is lost."""

    def doubled(entries: Tensor, written: int) -> Tensor:
        return torch.cat([entries[..., 1:, :], entries[..., -1:, :]], dim=-2)

    return _reading_both(site, doubled)


@operator(category="kv_cache", root_cause="update_synchronization", truth="memory", requires=("cache",))
def cache_updated_too_late(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The cache is read before it is updated: the entry of the step before stands for that of this step."""

    def late(entries: Tensor, written: int) -> Tensor:
        older, _ = entries.tensor_split([-written], dim=-2)
        return torch.cat([older, older[..., -written:, :]], dim=-2)

    return _reading_both(site, late)


@operator(
    category="kv_cache",
    root_cause="memory_layout",
    truth="memory",
    requires=("cache",),
    severities=(3.0, 1.0),
)
def cache_quantised_coarsely(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Entries are kept with `severity` bits of mantissa."""
    return _reading_both(site, lambda entries, written: rounded(entries, severity))


@operator(category="kv_cache", root_cause="memory_layout", truth="memory", requires=("cache", "heads"))
def cache_read_in_wrong_layout(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Entries are stored position by position and read head by head."""

    def mixed(entries: Tensor, written: int) -> Tensor:
        return entries.transpose(1, 2).reshape(entries.shape)

    return _reading_both(site, mixed)


@operator(
    category="kv_cache",
    root_cause="cache_position",
    truth="memory",
    requires=("cache",),
    severities=(1.0, 2.0),
)
def cache_values_off(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Values are read `severity` positions beside the keys that they belong to."""
    return _reading(
        site, keys=lambda entries, _: entries, values=lambda entries, _: entries.roll(int(severity), dims=-2)
    )


@operator(
    category="kv_cache",
    root_cause="distributed_synchronization",
    truth="memory",
    requires=("cache", "heads"),
    severities=(1.0, 2.0),
)
def cache_shard_lags(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The worker that holds the second half of the heads has not received the last `severity` entries."""

    def lagging(entries: Tensor, written: int) -> Tensor:
        heads, length = entries.shape[1:3]
        second_half = torch.arange(heads, device=entries.device) >= heads // 2
        last = torch.arange(length, device=entries.device) >= length - int(severity)
        return torch.where((second_half[:, None] & last)[..., None], 0.0, entries)

    return _reading_both(site, lagging)
