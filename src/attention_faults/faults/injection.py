"""Ways to break one place of a model, and to mend it: every change is undone on exit."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def replaced(owner: object, **steps: Callable[..., Any]) -> Iterator[None]:
    """Replace methods of one object; other objects of its class keep theirs.

    Raises:
        AttributeError: if the object has no such method: a fault never lands nowhere.
    """
    before = {name: vars(owner).get(name) for name in steps}
    for name in steps:
        getattr(owner, name)
    try:
        for name, step in steps.items():
            setattr(owner, name, step)
        yield
    finally:
        for name, original in before.items():
            if original is None:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


@contextmanager
def changed(parameters: Iterable[nn.Parameter], change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Change parameters in place; on exit put back, bit for bit, those that no optimiser has moved since."""
    parameters = list(parameters)
    originals = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(change(parameter.detach().clone()))
    broken = [parameter.detach().clone() for parameter in parameters]
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, original, start in zip(parameters, originals, broken, strict=True):
                if torch.equal(parameter, start):
                    parameter.copy_(original)


@contextmanager
def unregistered(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Keep an optimiser from parameters; their gradient can still be computed by `torch.autograd.grad`."""

    def forget(parameter: Tensor) -> None:
        parameter.grad = None  # which every optimiser passes over

    handles = [
        parameter.register_post_accumulate_grad_hook(forget)  # type: ignore[no-untyped-call]
        for parameter in parameters
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def hooked(module: nn.Module, hook: Callable[..., Any]) -> Iterator[None]:
    """Let `hook(module, arguments, output)` replace the output of one module."""
    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
