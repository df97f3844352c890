"""What happens in a closure: which modules run, what draws random numbers, what has no double backward."""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

CURES = (
    (
        "scaled_dot_product",
        "use eager attention: `attn_implementation='eager'` or `sdpa_kernel(SDPBackend.MATH)`",
    ),
    ("embedding_bag", "use `nn.Embedding`, and the sum or mean of what it returns"),
    (
        "cudnn",
        "turn cuDNN off for it, by `torch.backends.cudnn.flags(enabled=False)` around the forward pass",
    ),
    ("once_differentiable", "write its backward with differentiable operations, or take another kernel"),
)
NO_DOUBLE_BACKWARD = re.compile(
    r"derivative for '?(aten::)?(?P<operation>\w+)'? is not implemented"
    r"|Double backwards is not supported for (?P<rnn>CuDNN RNNs)"
    r"|function that was marked with @(?P<once>once_differentiable)"
)
RANDOM = re.compile(
    r"dropout|^rand|bernoulli|^(log_)?normal(_|$)|multinomial|exponential_|uniform_|random_|^rrelu|gumbel|^poisson$"
)


@dataclass
class Observation:
    """What ran.

    Attributes:
        roots: outermost modules, in the order in which they ran.
        modules: every module that ran, by its path below its root, with its class.
        derived: path of the module in which each kind of autograd node was made, by the node's name.
        random: functions that drew random numbers, with the module in which they did.
        moved: modules of which a buffer has changed (running statistics).
    """

    roots: list[nn.Module] = field(default_factory=list)
    modules: dict[str, nn.Module] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)
    random: dict[str, str] = field(default_factory=dict)
    moved: set[nn.Module] = field(default_factory=set)

    def statistics(self) -> list[str]:
        """List the modules that keep running statistics."""
        return [path for path, module in self.modules.items() if module in self.moved]

    def draws(self) -> list[str]:
        """List what drew random numbers, and the modules in training mode that drop inside of a function."""
        drawn = [f"`{function}` in {where}" for function, where in self.random.items()]
        for path, module in self.modules.items():
            shares = (getattr(module, name, None) for name in ("dropout", "p"))
            share = next((s for s in shares if isinstance(s, float) and 0 < s < 1), None)
            if module.training and share and path not in self.random.values():
                drawn.append(f"dropout of {share:g} in {path}")
        return drawn

    def custom(self) -> dict[str, str]:
        """Return the nodes of custom `torch.autograd.Function`s; those of PyTorch end with a number."""
        return {node: path for node, path in self.derived.items() if re.fullmatch(r"\w+Backward", node)}


class _Recorder(TorchFunctionMode):
    def __init__(self, seen: Observation, stack: list[str]) -> None:
        super().__init__()
        self.seen, self.stack = seen, stack

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") == "__get__":  # `grad_fn` itself, which is looked up below
            return func(*args, **kwargs)
        result = func(*args, **kwargs)
        where = self.stack[-1] if self.stack else "the closure itself"
        name = getattr(func, "__name__", str(func))
        dropped = kwargs.get("p", args[1] if len(args) > 1 else 1.0)
        place = {"rrelu": 3}.get(name, 2)  # of `training`
        idle = ("dropout" in name or name == "rrelu") and (
            dropped in (0, 0.0) or not kwargs.get("training", args[place : place + 1] != (False,))
        )
        if RANDOM.search(name) and not idle:
            self.seen.random.setdefault(name, where)
        _record_nodes(self.seen, (args, result), where)  # a custom function shows where its result is used
        return result


def _record_nodes(seen: Observation, result: Any, where: str) -> None:
    """Attribute the nodes of a graph that are new, those inside of composite functions included."""
    nodes: list[Any] = [leaf.grad_fn for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
    while nodes:
        node = nodes.pop()
        # a mark on the node itself: to hold nodes would hold graphs
        if node is not None and node.metadata.get("observed_by") is not seen:
            node.metadata["observed_by"] = seen
            seen.derived.setdefault(node.name(), where)
            nodes += [following for following, _ in node.next_functions]


@contextmanager
def restored_buffers() -> Iterator[set[nn.Module]]:
    """Put back the buffers (running statistics) of all modules that run in the context.

    Yields:
        A set to which the modules are added, at the end, of which a buffer had changed.
    """
    moved: set[nn.Module] = set()
    places: dict[tuple[nn.Module, str], Tensor] = {}
    values: dict[int, tuple[Tensor, Tensor]] = {}
    known: set[nn.Module] = set()

    def enter(module: nn.Module, _: Any) -> None:
        if module in known:
            return
        for child in set(module.modules()) - known:
            known.add(child)
            for name, buffer in child.named_buffers(recurse=False):
                places[child, name] = buffer
                values.setdefault(id(buffer), (buffer, buffer.detach().clone()))

    handle = hooks.register_module_forward_pre_hook(enter)
    try:
        yield moved
    finally:
        handle.remove()
        for (module, name), buffer in places.items():
            if getattr(module, name, None) is not buffer:
                setattr(module, name, buffer)
                moved.add(module)
            elif not torch.equal(buffer, values[id(buffer)][1]):
                moved.add(module)
        for buffer, value in values.values():
            buffer.data.copy_(value)  # unseen by autograd, which guards values that graphs hold


@contextmanager
def observe() -> Iterator[Observation]:
    """Record what runs in the context, and put back the buffers that it changes."""
    seen = Observation()
    stack: list[str] = []
    paths: dict[int, str] = {}

    def enter(module: nn.Module, _: Any) -> None:
        if not stack and not any(module is root for root in seen.roots):
            seen.roots.append(module)
            paths.update({id(child): path for path, child in module.named_modules()})
        path = paths.get(id(module), "")
        name = f"`{path}` ({type(module).__name__})" if path else f"`{type(module).__name__}`"
        seen.modules[name] = module
        stack.append(name)

    def leave(_: nn.Module, __: Any, result: Any) -> None:
        name = stack.pop()
        _record_nodes(seen, result, name)

    handles = [
        hooks.register_module_forward_pre_hook(enter),
        hooks.register_module_forward_hook(leave, always_call=True),
    ]
    try:
        with restored_buffers() as seen.moved, _Recorder(seen, stack):
            yield seen
    finally:
        for handle in handles:
            handle.remove()


def lacks_double_backward(error: BaseException) -> bool:
    """Tell whether PyTorch says that something cannot be derived twice."""
    return NO_DOUBLE_BACKWARD.search(str(error)) is not None


def explain_missing_double_backward(loss: Callable[[], Tensor], error: BaseException) -> str:
    """Name the module that cannot be derived twice, and the cure; the closure runs once more for it."""
    found = NO_DOUBLE_BACKWARD.search(str(error))
    key = (found["operation"] or found["rnn"] or found["once"] or "") if found else ""
    with warnings.catch_warnings(action="ignore"), observe() as seen:
        loss()
    plain = _plain("CudnnRnnBackward" if key == "CuDNN RNNs" else key)
    where = next((path for node, path in seen.derived.items() if plain and plain in _plain(node)), None)
    if where is None and key == "once_differentiable":
        where = next(iter(seen.custom().values()), None)
    cure = next(
        (cure for part, cure in CURES if part in key.lower()),
        "replace it with operations that can be derived twice",
    )
    return f"{where or 'an operation of the loss'} has no double backward ({error}); {cure}"


def _plain(name: str) -> str:
    return re.sub(r"[\d_]", "", name).lower()
