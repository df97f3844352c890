"""The catalogue of fault operators: data about each, with its behaviour beside it."""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

Truth = Literal["comparison", "output", "attention", "block", "none"]

# roles of an attention's parameters that are at fault: what compares queries with keys, or what is averaged
TRUTH_COMPONENTS: dict[Truth, tuple[str, ...]] = {
    "comparison": ("query", "key", "qkv"),
    "output": ("value", "output", "qkv"),
    "attention": ("query", "key", "value", "output", "qkv"),
}


@dataclass(frozen=True)
class Operator:
    """A way to break a model.

    Attributes:
        id: name in tables and configurations.
        category, root_cause: labels of the codebook.
        mechanism: what goes wrong, in a sentence.
        target: what it is applied to: `attention` (a `Site`), `positions`, `block` (parameters of one block),
            `cache`, `training` (a `Plan`).
        kinds: kinds of attention it applies to; empty where the target is no attention.
        severities: how hard; none of them is the correct value. 1.0 alone means that there are no degrees.
        persists: true when it stays in place during training; false when it changes the start only.
        truth: which components of its place are at fault; `none`: it has no place and serves detection only.
        multihead: whether it needs more than one head.
        apply: called with the target, the severity and a seed; returns a context manager.
    """

    id: str
    category: str
    root_cause: str
    mechanism: str
    target: str
    kinds: tuple[str, ...]
    severities: tuple[float, ...]
    persists: bool
    truth: Truth
    multihead: bool
    apply: Callable[..., AbstractContextManager[Any]]


CATALOGUE: dict[str, Operator] = {}

Apply = Callable[..., AbstractContextManager[Any]]

SCORED = ("self", "causal_self", "cross", "additive", "graph_semantic")
EVERY_ATTENTION = (*SCORED, "graph_node")


def operator(
    *,
    category: str,
    root_cause: str,
    truth: Truth,
    target: str = "attention",
    kinds: Sequence[str] = (),
    severities: Sequence[float] = (1.0,),
    persists: bool = True,
    multihead: bool = False,
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
            severities=tuple(severities),
            persists=persists,
            truth=truth,
            multihead=multihead,
            apply=apply,
        )
        return apply

    return register


def catalogue() -> dict[str, Operator]:
    """Return every operator, by files, then lines; a new file in this package is found by itself."""
    package = importlib.import_module("attention_faults.faults")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return CATALOGUE
