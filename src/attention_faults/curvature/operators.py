"""Curvature matrices of a loss as operators, by named blocks of parameters: no matrix is ever formed.

All products are reverse over reverse (Pearlmutter 1994, by `torch.autograd.grad` twice), because forward mode
over reverse is silently wrong for normalisation layers on torch 2.13 (see `docs/curvature.md`).
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from attention_faults.curvature import diagnosis
from attention_faults.curvature.errors import CurvatureError

Closure = Callable[[], Tensor]
Blocks = Mapping[str, Iterable[Tensor]]
Vectors = dict[int, Tensor]

# below this many parameters a product spends its time on calls rather than on arithmetic
BATCHED_BELOW = 2**20
PROBES_AT_ONCE = 8
# how far rounding may take what should be equal, an operator and its transpose for one, relative to its norm
ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-3, torch.float16: 0.03, torch.bfloat16: 0.2}


@dataclass(frozen=True)
class Work:
    """What an operator has spent.

    Attributes:
        products: products with one vector.
        gradients: cost in gradients: one for a first-order graph, two for a pass through it and back.
    """

    products: int
    gradients: int

    def __sub__(self, before: "Work") -> "Work":
        """Return what was spent since."""
        return Work(self.products - before.products, self.gradients - before.gradients)


@dataclass(frozen=True)
class Objective:
    """A loss that is the mean of the losses of samples, in the two steps that Gauss-Newton needs.

    Attributes:
        outputs: closure that returns what the model says, shape (samples, ...).
        sample_losses: from outputs to the loss of each sample, shape (samples,).
    """

    outputs: Closure
    sample_losses: Callable[[Tensor], Tensor]

    def loss(self) -> Tensor:
        """Return the mean loss, a scalar: the closure that `BlockHessian` takes."""
        return self.losses(self.outputs()).mean()

    def losses(self, outputs: Tensor) -> Tensor:
        """Return the loss of each sample, (samples,).

        Raises:
            CurvatureError: if one is not finite, or there is not one number a sample.
        """
        losses = self.sample_losses(outputs)
        if losses.ndim != 1:
            raise CurvatureError(
                f"the losses of samples have shape {tuple(losses.shape)}, not (samples,): take the mean over "
                "the other dimensions"
            )
        if not losses.isfinite().all():
            raise CurvatureError(
                f"the losses of {int((~losses.isfinite()).sum())} samples are not finite: no curvature"
            )
        return losses


class BlockOperator(ABC):
    """A symmetric matrix over named blocks of parameters, in the order of the blocks.

    Vectors are flat, or have one vector a column. `operator @ v` is the product with the whole matrix,
    `operator[i, j] @ v` that with one block, and `operator.column(j, v)` all blocks of one column at the
    price of one product. A parameter that is frozen, or that the loss does not use, has rows of zeros.

    Attributes:
        names: of the blocks.
        sizes: number of parameters of each block.
        batched: whether several vectors share a backward pass. None until the first such product; False from
            then on where `torch.vmap` refuses the model, has no rule for one of its operations, or differs
            from a loop in one parameter; False from the start for convolutions, whose double backward is
            slower in a batch (benchmarks/curvature.py), unless `probes_at_once` is given. Nothing is timed,
            so that the same seed gives the same bytes.
    """

    def __init__(self, blocks: Blocks, *, probes_at_once: int | None = None) -> None:
        self.blocks = {name: tuple(parameters) for name, parameters in blocks.items()}
        self._parameters = [parameter for block in self.blocks.values() for parameter in block]
        _refuse_unusable(self.blocks)
        self.names = tuple(self.blocks)
        self.sizes = {name: sum(p.numel() for p in block) for name, block in self.blocks.items()}
        self.dtype, self.device = self._parameters[0].dtype, self._parameters[0].device
        size = sum(self.sizes.values())
        self.shape = (size, size)
        self._places, start = {}, 0
        for name, block in self.blocks.items():
            self._places[name] = range(start, start := start + len(block))
        self._live = {i for i, parameter in enumerate(self._parameters) if parameter.requires_grad}
        self.probes_at_once = probes_at_once or (PROBES_AT_ONCE if size <= BATCHED_BELOW else 1)
        self.batched: bool | None = None if self.probes_at_once > 1 else False
        self._versions = [_version(parameter) for parameter in self._parameters]
        self._nodes = {place: get_gradient_edge(self._parameters[place]).node for place in self._live}
        self._products = self._gradients = 0

    @property
    def work(self) -> Work:
        """What was spent so far."""
        return Work(self._products, self._gradients)

    @abstractmethod
    def _multiply(self, vectors: Vectors, rows: Sequence[int], *, batched: bool) -> list[Tensor | None]:
        """Multiply once.

        Args:
            vectors: one tensor for each parameter, of its shape, after a dimension of vectors if `batched`.
            rows: parameters of which rows are wanted.
            batched: whether there are several vectors.
        """

    def __matmul__(self, vector: Tensor) -> Tensor:
        """Multiply with a vector (n,) or with vectors (n, p)."""
        _check_length(vector, self.shape[1], "the matrix")
        parts = dict(zip(self.names, torch.split(vector, list(self.sizes.values())), strict=True))
        product = self._pieces(parts, self.names)
        whole = torch.cat([product[place] for place in range(len(self._parameters))], dim=1)
        return whole[0] if vector.ndim == 1 else whole.T

    def __getitem__(self, pair: tuple[str, str]) -> "Block":
        """Return the block of these rows and columns."""
        row, column = (self._known(name) for name in pair)
        return Block(self, row, column)

    def column(self, name: str, vector: Tensor) -> dict[str, Tensor]:
        """Multiply all blocks of one column with a vector (n_j,) or vectors (n_j, p)."""
        _check_length(vector, self.sizes[self._known(name)], f"block `{name}`")
        return self._rows_of({name: vector}, self.names)

    def rows(self, vectors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
        """Multiply with a vector that is zero outside of some blocks; return the rows of some blocks."""
        for name, vector in vectors.items():
            _check_length(vector, self.sizes[self._known(name)], f"block `{name}`")
        return self._rows_of(vectors, [self._known(name) for name in names])

    def scipy(self) -> LinearOperator:
        """View the matrix as a SciPy operator; its vectors are copied to and from the device."""

        def multiply(vector: Any) -> Any:
            tensor = torch.as_tensor(np.ascontiguousarray(vector), dtype=self.dtype, device=self.device)
            return (self @ tensor).cpu().numpy()

        dtype = torch.empty(0, dtype=self.dtype).numpy().dtype
        return LinearOperator(
            self.shape, matvec=multiply, rmatvec=multiply, matmat=multiply, rmatmat=multiply, dtype=dtype
        )

    def _known(self, name: str) -> str:
        if name not in self.blocks:
            raise KeyError(
                f"there is no block `{name}`, only {', '.join(f'`{known}`' for known in self.blocks)}"
            )
        return name

    def _rows_of(self, parts: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
        names = tuple(dict.fromkeys(names))
        product = self._pieces(parts, names)
        flat = any(vector.ndim == 1 for vector in parts.values())
        result = {}
        for name in names:
            # each piece is dropped as its block is made: there is a second copy of one block, not of all
            pieces = [product.pop(place) for place in self._places[name]]
            rows = torch.cat(pieces, dim=1) if len(pieces) > 1 else pieces[0]
            result[name] = rows[0] if flat else rows.T
        return result

    def _pieces(self, parts: Mapping[str, Tensor], names: Iterable[str]) -> dict[int, Tensor]:
        """Multiply; return rows (vectors, size of the parameter) of each parameter."""
        self._refuse_changed()
        count = {1 if vector.ndim == 1 else vector.shape[1] for vector in parts.values()}.pop()
        vectors = {}
        for name, vector in parts.items():
            start, stacked = 0, vector.detach().to(self.dtype).reshape(self.sizes[name], count).T
            for place in self._places[name]:
                parameter = self._parameters[place]
                stop = start + parameter.numel()
                if place in self._live:
                    vectors[place] = stacked[:, start:stop].reshape(count, *parameter.shape)
                start = stop
        wanted = [place for name in names for place in self._places[name]]
        product = self._in_chunks(vectors, [place for place in wanted if place in self._live], count)
        self._products += count
        for place in wanted:
            if place not in product:
                product[place] = self._zeros(place, count)
        return product

    def _zeros(self, place: int, count: int) -> Tensor:
        return torch.zeros(count, self._parameters[place].numel(), dtype=self.dtype, device=self.device)

    def _in_chunks(self, vectors: Vectors, rows: Sequence[int], count: int) -> dict[int, Tensor]:
        """Multiply with all vectors, some or one at a time; return rows (count, size of the parameter)."""
        if not vectors or not rows or not count:
            return {}
        if self.batched is None and count > 1:
            self.batched = self._batch_agrees_with_loop()
            self._products += 3
        width = self.probes_at_once if self.batched else 1
        pieces = []
        for start in range(0, count, width):
            size = min(width, count - start)
            chunk = {
                p: vector[start : start + size] if size > 1 else vector[start]
                for p, vector in vectors.items()
            }
            results = self._multiply(chunk, rows, batched=size > 1)
            pieces.append([None if result is None else result.reshape(size, -1) for result in results])
        columns = {place: [piece[i] for piece in pieces] for i, place in enumerate(rows)}
        return {
            place: whole for place, column in columns.items() if (whole := _concatenate(column)) is not None
        }

    def _batch_agrees_with_loop(self) -> bool:
        """Compare a batch with a loop on all of the matrix, since other blocks may run other operations.

        Each parameter is compared for itself, so that none hides behind a larger one; what is left of zeros
        by rounding passes.
        """
        generator = torch.Generator().manual_seed(0)
        rows = sorted(self._live)
        vectors = {
            place: torch.randn((2, *self._parameters[place].shape), generator=generator, dtype=self.dtype)
            for place in rows
        }
        vectors = {place: vector.to(self.device) for place, vector in vectors.items()}
        try:
            together = self._multiply(vectors, rows, batched=True)
        except (RuntimeError, UserWarning):
            return False
        alone = self._multiply({place: vector[1] for place, vector in vectors.items()}, rows, batched=False)
        pairs = [(a[1], b) for a, b in zip(together, alone, strict=True) if a is not None and b is not None]
        errors = np.array([(a - b).norm().item() for a, b in pairs])
        sizes = np.array([b.norm().item() for _, b in pairs])
        eps = torch.finfo(self.dtype).eps
        return bool((errors <= 1e3 * eps * sizes + 10 * eps * np.linalg.norm(sizes)).all())

    def _refuse_changed(self) -> None:
        for name, places in self._places.items():
            if any(self._changed(place) for place in places):
                raise CurvatureError(
                    f"block `{name}` has changed since this operator was made, in value or precision: make a "
                    "new one after each step, and after a preflight"
                )

    def _changed(self, place: int) -> bool:
        parameter = self._parameters[place]
        if _version(parameter) != self._versions[place]:
            return True
        # once the precision has changed, be it to and fro, old graphs lead elsewhere, and products are zeros
        known = self._nodes.get(place) if parameter.requires_grad else None
        return known is not None and get_gradient_edge(parameter).node is not known


class Block:
    """One block of an operator: rows of one block of parameters, columns of another."""

    def __init__(self, operator: BlockOperator, row: str, column: str) -> None:
        self.operator, self.row, self.column = operator, row, column
        self.shape = (operator.sizes[row], operator.sizes[column])
        self.dtype, self.device = operator.dtype, operator.device

    def __matmul__(self, vector: Tensor) -> Tensor:
        """Multiply with a vector (n_j,) or vectors (n_j, p)."""
        return self.operator.rows({self.column: vector}, [self.row])[self.row]


class BlockHessian(BlockOperator):
    """Hessian of a loss.

    The gradient and its graph are made once and kept for all products. With several batches (a sequence of
    closures) the loss is their mean, and the graph of each is made anew in each product, since to keep all of
    them costs the memory of all: a product then costs three gradients a batch and not two.

    Args:
        loss: closure that returns a scalar, the same at each call; or several of them.
        blocks: parameters by name of block; none twice.
        probes_at_once: most vectors that share one backward pass; chosen by size where not given.

    Raises:
        ValueError: if a parameter occurs twice or is no leaf, or precisions or devices differ.
        CurvatureError: if the loss is no finite scalar.
    """

    def __init__(
        self, loss: Closure | Sequence[Closure], blocks: Blocks, *, probes_at_once: int | None = None
    ) -> None:
        super().__init__(blocks, probes_at_once=probes_at_once)
        self.losses = [loss] if callable(loss) else list(loss)
        if not self.losses:
            raise ValueError("there is no loss: the sequence of closures is empty")
        self._kept = self._gradient(0) if len(self.losses) == 1 else None
        if probes_at_once is None and self._kept is not None and _convolves(self._kept.values()):
            self.batched = False

    def gradient(self) -> Tensor:
        """Return the gradient, flat (n,)."""
        total = torch.zeros(self.shape[0], dtype=self.dtype, device=self.device)
        for number in range(len(self.losses)):
            kept = self._kept if self._kept is not None else self._gradient(number)
            total += flatten(kept, self._parameters) / len(self.losses)
        return total

    def _gradient(self, number: int) -> dict[int, Tensor]:
        """Return the gradient of one batch with its graph, by parameter; unused ones are left out."""
        loss = self.losses[number]()
        which = f" of batch {number}" if len(self.losses) > 1 else ""
        if loss.numel() != 1:
            raise CurvatureError(f"the loss{which} has shape {tuple(loss.shape)}: a scalar has a Hessian")
        if not loss.isfinite():
            raise CurvatureError(
                f"the loss{which} is {loss.item()}: no curvature; look for a division by zero, a logarithm "
                "of zero, or a diverged training"
            )
        self._gradients += 1
        return derive(loss, self._parameters, create_graph=True)

    def _multiply(self, vectors: Vectors, rows: Sequence[int], *, batched: bool) -> list[Tensor | None]:
        total: list[Tensor | None] = [None] * len(rows)
        for number, loss in enumerate(self.losses):
            kept = self._kept if self._kept is not None else self._gradient(number)
            # a gradient without a graph does not depend on any parameter
            places = [place for place in vectors if place in kept and kept[place].requires_grad]
            if not places:
                continue
            self._gradients += 2 * (len(vectors[places[0]]) if batched else 1)
            part = backward(
                loss,
                [kept[place] for place in places],
                [self._parameters[row] for row in rows],
                [vectors[place] for place in places],
                batched=batched,
            )
            if len(self.losses) == 1:
                return part
            total = [_plus(a, b, len(self.losses)) for a, b in zip(total, part, strict=True)]
        return total


def _plus(total: Tensor | None, part: Tensor | None, count: int) -> Tensor | None:
    if part is None:
        return total
    return part / count if total is None else total + part / count


class _Sandwich(BlockOperator):
    """The matrix J^T M J: J the Jacobian of some responses, M symmetric on responses.

    The product with J is the derivative, with respect to u, of J^T u, whose graph is made once and kept. That
    it is J is checked by its adjoint, J^T by a first backward alone.
    """

    def __init__(self, blocks: Blocks, responses: Tensor, closure: Closure) -> None:
        # M is applied by derivatives of its own, one vector at a time
        super().__init__(blocks, probes_at_once=1)
        self._responses, self._closure = responses, closure
        self._weights = torch.zeros_like(responses, requires_grad=True)
        pulled = derive(responses, self._parameters, self._weights, create_graph=True)
        self._pulled = {place: gradient for place, gradient in pulled.items() if gradient.requires_grad}
        self._gradients += 1
        self._check_adjoint()

    def _push(self, vectors: Vectors) -> Tensor:
        """Multiply J with a vector."""
        places = [place for place in vectors if place in self._pulled]
        if not places:
            return torch.zeros_like(self._responses)
        self._gradients += 2
        (pushed,) = backward(
            self._closure, [self._pulled[i] for i in places], [self._weights], [vectors[i] for i in places]
        )
        return torch.zeros_like(self._responses) if pushed is None else pushed

    def _check_adjoint(self) -> None:
        generator = torch.Generator().manual_seed(0)

        def drawn(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator, dtype=like.dtype).to(like.device)

        response = drawn(self._responses)
        vectors = {place: drawn(self._parameters[place]) for place in sorted(self._live)}
        pulled = derive(self._responses, self._parameters, response, retain_graph=True)
        self._gradients += 1
        ahead = (response * self._push(vectors)).sum().item()
        back = sum((gradient * vectors[place]).sum().item() for place, gradient in pulled.items())
        size = max(flatten(pulled, self._parameters).norm().item(), abs(ahead))
        bound = ROUNDING[self.dtype]
        if not abs(ahead - back) <= bound * size:
            raise CurvatureError(
                f"adjoint: a product with the Jacobian differs by {abs(ahead - back) / size:.2g} from its "
                f"first backward ({self.dtype}, at most {bound:.0e}): the double backward of an operation is "
                "wrong; replace fused kernels by plain operations"
            )

    @abstractmethod
    def _middle(self, vector: Tensor) -> Tensor:
        """Multiply M with a vector of the shape of the responses."""

    def _multiply(self, vectors: Vectors, rows: Sequence[int], *, batched: bool) -> list[Tensor | None]:
        if batched:
            raise RuntimeError("products are made one at a time")
        pushed = self._push(vectors)
        if not self._responses.requires_grad:
            return [None] * len(rows)
        self._gradients += 1
        parameters = [self._parameters[row] for row in rows]
        return backward(self._closure, [self._responses], parameters, [self._middle(pushed)])


class GaussNewton(_Sandwich):
    """Generalised Gauss-Newton matrix (Schraudolph 2002): J^T H J, J of outputs, H of the loss given outputs.

    Raises:
        ValueError: as `BlockHessian`.
        CurvatureError: if a loss is not finite, or the double backward of the outputs is wrong.
    """

    def __init__(self, objective: Objective, blocks: Blocks) -> None:
        outputs = objective.outputs()
        self._detached = outputs.detach().requires_grad_()
        loss = objective.losses(self._detached).mean()
        (self._slope,) = torch.autograd.grad(loss, self._detached, create_graph=True)
        super().__init__(blocks, outputs, objective.outputs)

    def _middle(self, vector: Tensor) -> Tensor:
        if not self._slope.requires_grad:
            return torch.zeros_like(vector)
        (product,) = torch.autograd.grad(
            self._slope, self._detached, vector, retain_graph=True, materialize_grads=True
        )
        return product


class EmpiricalFisher(_Sandwich):
    """Mean over samples of the outer product of the gradient of a sample's loss with itself.

    Raises:
        ValueError: as `BlockHessian`.
        CurvatureError: if a loss is not finite, or the double backward of the losses is wrong.
    """

    def __init__(self, objective: Objective, blocks: Blocks) -> None:
        losses = objective.losses(objective.outputs())
        super().__init__(blocks, losses, objective.loss)

    def _middle(self, vector: Tensor) -> Tensor:
        return vector / len(vector)


def derive(
    output: Tensor, parameters: Sequence[Tensor], vector: Tensor | None = None, **options: bool
) -> dict[int, Tensor]:
    """Return the gradient by place of the parameter; what is frozen or unused is left out.

    Args:
        output: a loss, or responses.
        parameters: with respect to what.
        vector: weights of the responses.
        options: of `torch.autograd.grad`.

    Raises:
        CurvatureError: if a gradient is sparse.
    """
    places = [place for place, parameter in enumerate(parameters) if parameter.requires_grad]
    if not output.requires_grad or not places:
        return {}
    weights = torch.ones_like(output) if vector is None else vector
    found = torch.autograd.grad(
        output, [parameters[i] for i in places], weights, allow_unused=True, **options
    )
    gradients = {place: g for place, g in zip(places, found, strict=True) if g is not None}
    for place, gradient in gradients.items():
        if gradient.layout != torch.strided:
            raise CurvatureError(
                f"the gradient of a parameter of shape {tuple(parameters[place].shape)} is sparse, and has "
                "no double backward; make its embedding with `sparse=False`"
            )
    return gradients


def flatten(gradients: Mapping[int, Tensor], parameters: Sequence[Tensor]) -> Tensor:
    """Put gradients by place into one vector (n,), with zeros where there is none."""
    return torch.cat(
        [gradients.get(place, torch.zeros_like(p)).detach().flatten() for place, p in enumerate(parameters)]
    )


def backward(
    loss: Closure,
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    vectors: Sequence[Tensor],
    *,
    batched: bool = False,
) -> list[Tensor | None]:
    """Multiply the transposed Jacobian of `outputs` with vectors, and keep the graph.

    Args:
        loss: closure that made the graph; it runs again only to explain an error.
        outputs: what has a Jacobian.
        inputs: with respect to what.
        vectors: one tensor for each output, of its shape, after a dimension of vectors if `batched`.
        batched: whether there are several vectors.

    Raises:
        CurvatureError: if an operation has no double backward.
    """
    try:
        with warnings.catch_warnings():
            if batched:  # `vmap` warns where it has no rule and would be as slow as a loop
                warnings.filterwarnings("error", "There is a performance drop", UserWarning)
            return list(
                torch.autograd.grad(
                    outputs, inputs, vectors, retain_graph=True, allow_unused=True, is_grads_batched=batched
                )
            )
    except RuntimeError as error:
        if not diagnosis.lacks_double_backward(error):
            raise
        raise CurvatureError(diagnosis.explain_missing_double_backward(loss, error)) from error


def _convolves(gradients: Iterable[Tensor]) -> bool:
    """Say whether the graph of some gradients holds a convolution."""
    nodes: list[Any] = [gradient.grad_fn for gradient in gradients]
    seen = set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        if "Convolution" in node.name():
            return True
        seen.add(node)
        nodes += [following for following, _ in node.next_functions]
    return False


def _concatenate(results: Sequence[Tensor | None]) -> Tensor | None:
    """Put chunks (p, n) together; a parameter is unused for all vectors or for none."""
    present = [result for result in results if result is not None]
    if len(present) == 1:
        return present[0]
    return torch.cat(present) if present else None


def _check_length(vector: Tensor, size: int, what: str) -> None:
    if vector.ndim not in (1, 2) or vector.shape[0] != size:
        raise ValueError(f"{what} has {size} columns, the vector has shape {tuple(vector.shape)}")


def _version(parameter: Tensor) -> int:
    return parameter._version  # noqa: SLF001 - the count of changes in place has no public name


def _refuse_unusable(blocks: Mapping[str, tuple[Tensor, ...]]) -> None:
    """Refuse blocks that overlap, are empty, mix precisions or devices, or hold what is no parameter."""
    if not blocks:
        raise ValueError("there are no blocks")
    for name, block in blocks.items():
        if not block:
            raise ValueError(f"block `{name}` is empty: leave it out")
        if not all(parameter.numel() for parameter in block):
            raise ValueError(f"block `{name}` holds a parameter without elements: leave it out")
        if not all(parameter.is_leaf for parameter in block):
            raise ValueError(f"block `{name}` holds a tensor that is computed, not a parameter of the loss")
    kinds = {(p.dtype, p.device) for block in blocks.values() for p in block}
    if len(kinds) > 1:
        listed = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise ValueError(f"blocks mix precisions or devices: {listed}; bring them to one")
    _refuse_overlaps(blocks)


def _refuse_overlaps(blocks: Mapping[str, tuple[Tensor, ...]]) -> None:
    spans: dict[int, list[tuple[range, str]]] = {}
    for name, block in blocks.items():
        for parameter in block:
            span = _span(parameter)
            others = spans.setdefault(parameter.untyped_storage().data_ptr(), [])
            for other_span, other in others:
                if span.start < other_span.stop and other_span.start < span.stop:
                    raise ValueError(
                        f"blocks `{other}` and `{name}` overlap: a parameter, and its memory, belongs to one "
                        "block, once; give tied parameters to one of them"
                    )
            others.append((span, name))


def _span(parameter: Tensor) -> range:
    """Return the bytes from the first to the last element."""
    start = parameter.data_ptr()
    steps = zip(parameter.shape, parameter.stride(), strict=True)
    last = sum((length - 1) * step for length, step in steps)
    return range(start, start + (last + 1) * parameter.element_size())
