"""The catalogue of fault operators: data about each, with its behaviour beside it."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

Target = Literal["attention", "attentions", "positions", "block", "feed_forward", "training"]
Requirement = Literal["heads", "value", "cache", "mask", "earlier_queries", "source"]
Truth = Literal["comparison", "output", "memory", "attention", "block", "none"]

# roles of an attention's parameters that are at fault: what compares queries with keys, or what is averaged
TRUTH_COMPONENTS: dict[Truth, tuple[str, ...]] = {
    "comparison": ("query", "key", "qkv"),
    "output": ("value", "output", "qkv"),
    "attention": ("query", "key", "value", "output", "qkv"),
    "memory": ("key", "value", "qkv"),
}


@dataclass(frozen=True)
class Operator:
    """A way to break a model.

    Attributes:
        id: name in tables and configurations.
        category, root_cause: labels of the codebook.
        mechanism: what goes wrong, in a sentence.
        target: what it is applied to: an `attention` (a `Site`), an attention and the others of its kind
            in turn (`attentions`, two `Site` or more), the embedding of `positions` (a module), a
            `block` outside attention (its parameters), a `feed_forward` (a `FeedForward`), or the `training`
            (a `Plan`).
        kinds: kinds of attention it applies to, or of which a model must have one; empty for any.
        requires: what such an attention must have: several `heads`, a `value` projection of its own, a
            `cache`, a `mask` that hides something, `earlier_queries` than the last that count, a step
            `source`.
        severities: how hard; none of them is the correct value. 1.0 alone means that there are no degrees.
        persists: true when it stays in place during training; false when it changes the start only.
        truth: which components of its place are at fault; `none`: it has no place and serves detection only.
        apply: called with the target, the severity and a seed; returns a context manager.
    """

    id: str
    category: str
    root_cause: str
    mechanism: str
    target: Target
    kinds: tuple[str, ...]
    requires: tuple[Requirement, ...]
    severities: tuple[float, ...]
    persists: bool
    truth: Truth
    apply: Callable[..., AbstractContextManager[Any]]


CATALOGUE: dict[str, Operator] = {}

Apply = Callable[..., AbstractContextManager[Any]]

DOT_PRODUCT = ("self", "causal_self", "cross")
SCORED = (*DOT_PRODUCT, "additive", "graph_semantic")
EVERY_ATTENTION = (*SCORED, "graph_node")


def operator(
    *,
    category: str,
    root_cause: str,
    truth: Truth,
    target: Target = "attention",
    kinds: Sequence[str] = (),
    severities: Sequence[float] = (1.0,),
    persists: bool = True,
    requires: Sequence[Requirement] = (),
) -> Callable[[Apply], Apply]:
    """Put a function into the catalogue; its name is the operator's id, its docstring the mechanism."""

    def register(apply: Apply) -> Apply:
        name = apply.__name__
        if name in CATALOGUE:
            raise ValueError(f"operator `{name}` is in the catalogue already")
        mechanism = (apply.__doc__ or "").strip().splitlines()[0]
        CATALOGUE[name] = Operator(
            id=name,
            category=category,
            root_cause=root_cause,
            mechanism=mechanism,
            target=target,
            kinds=tuple(kinds),
            requires=tuple(requires),
            severities=tuple(severities),
            persists=persists,
            truth=truth,
            apply=apply,
        )
        return apply

    return register


# attention-specific root causes of the codebook without an operator, and why
NOT_SHOWN = {
    "relative_position": "All models under study add learnt embeddings of absolute positions; none computes "
    "a relative or rotary position that could be wrong.",
}


def catalogue() -> dict[str, Operator]:
    """Return every operator, by files, then lines; a new file in this package is found by itself."""
    package = importlib.import_module("attention_faults.faults")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return CATALOGUE
