"""Run a closure in double precision, whatever precision its model and its data have."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

SINGLES = (torch.float32, torch.float16, torch.bfloat16)


class _Widen(TorchFunctionMode):
    """Turn what functions take and return into double precision: data, constants, explicit `.float()`."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", "") in {"__get__", "__set__"}:  # attributes such as `.grad` or `.dtype`
            return func(*args, **(kwargs or {}))
        args, kwargs = tree_map(_widened, (tuple(args), kwargs or {}))
        return tree_map(_widened, func(*args, **kwargs))


def _widened(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return torch.float64 if value in SINGLES else value
    if isinstance(value, Tensor) and value.dtype in SINGLES:
        return value.double()
    return value


def _widen_inputs(_: nn.Module, args: Any, kwargs: Any) -> Any:
    return tree_map(_widened, (args, kwargs))


@contextmanager
def double_precision(modules: Iterable[nn.Module], parameters: Iterable[Tensor]) -> Iterator[None]:
    """Give modules and parameters double precision in the context, and everything a closure makes from them.

    Values are widened copies: what a closure writes into them (running statistics) is dropped at the end.
    """
    held = {id(p): p for p in parameters}
    children = dict.fromkeys(child for module in modules for child in module.modules())
    for child in children:
        held.update({id(t): t for t in (*child.parameters(recurse=False), *child.buffers(recurse=False))})
    before = [(tensor, tensor.data) for tensor in held.values() if tensor.dtype in SINGLES]
    default = torch.get_default_dtype()
    # recurrent modules compare precisions in Python, before any function is called
    handles = [
        child.register_forward_pre_hook(_widen_inputs, prepend=True, with_kwargs=True) for child in children
    ]
    try:
        for tensor, data in before:
            tensor.data = data.double()
        torch.set_default_dtype(torch.float64)
        with _Widen():
            yield
    finally:
        torch.set_default_dtype(default)
        for handle in handles:
            handle.remove()
        for tensor, data in before:
            tensor.data = data
