"""Attention along the edges of a graph: each node attends to its neighbours only.

Time and memory grow with the number of edges, not with the square of the number of nodes. DGL's kernels do
the same, but their second derivatives are wrong without a warning. Here a derivative of any order is made
of the same two products, a sum over neighbours and a dot product for each edge.
"""

import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attention_faults.subjects.attention import Attention


class Rows(NamedTuple):
    """Edges sorted by one of their ends, as compressed sparse rows.

    Attributes:
        pointer: where the edges of each node begin, shape (nodes + 1,).
        other: node at the other end, shape (edges,).
        order: the edges sorted by the other end, as positions in this order, shape (edges,).
    """

    pointer: Tensor
    other: Tensor
    order: Tensor


class Edges(nn.Module):
    """Directed edges of a graph, none twice, kept by target and by source.

    Attributes:
        nodes: number of nodes N.
        source: node that is attended to, shape (E,), edges sorted by target, then source.
        target: node that attends, shape (E,).

    Raises:
        ValueError: if an edge occurs twice.
    """

    source: Tensor
    target: Tensor
    source_by_target: Tensor
    target_by_source: Tensor
    order_by_source: Tensor
    order_by_target: Tensor
    target_pointer: Tensor
    source_pointer: Tensor

    def __init__(self, source: Tensor, target: Tensor, nodes: int) -> None:
        super().__init__()
        place = torch.unique(target * nodes + source)
        if len(place) != len(source):
            raise ValueError(f"{len(source) - len(place)} of {len(source)} edges occur twice")
        self.nodes = nodes
        source, target = place % nodes, place // nodes
        by_source = torch.argsort(source, stable=True)
        buffers = {
            "source": source,
            "target": target,
            "source_by_target": source.int(),  # the sparse kernels would copy long indices in each call
            "target_by_source": target[by_source].int(),
            "order_by_source": by_source,
            "order_by_target": torch.argsort(by_source),
            "target_pointer": _pointer(target, nodes),
            "source_pointer": _pointer(source, nodes),
        }
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)  # data, no weights

    @property
    def by_target(self) -> Rows:
        """Edges sorted by target, then source."""
        return Rows(self.target_pointer, self.source_by_target, self.order_by_source)

    @property
    def by_source(self) -> Rows:
        """Edges sorted by source, then target."""
        return Rows(self.source_pointer, self.target_by_source, self.order_by_target)


def _pointer(ends: Tensor, nodes: int) -> Tensor:
    counts = torch.bincount(ends, minlength=nodes)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()


class _NeighbourSum(torch.autograd.Function):
    """Weights (H, E) and values (H, N, D) to sums over the edges of each row, (H, N, D)."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, values: Tensor, rows: Rows, columns: Rows) -> Tensor:
        ctx.save_for_backward(weights, values)
        ctx.edges = rows, columns
        with _quiet():
            return torch.stack([_matrix(rows, w) @ v for w, v in zip(weights, values, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        weights, values = ctx.saved_tensors
        rows, columns = ctx.edges
        turned = weights.index_select(1, rows.order)
        return (
            _edge_product(grad, values, rows, columns),
            _neighbour_sum(turned, grad, columns, rows),
            None,
            None,
        )


class _EdgeProduct(torch.autograd.Function):
    """Vectors (H, N, D) of the rows and of the other ends to their dot products, one an edge, (H, E)."""

    @staticmethod
    def forward(ctx: Any, ends: Tensor, others: Tensor, rows: Rows, columns: Rows) -> Tensor:
        ctx.save_for_backward(ends, others)
        ctx.edges = rows, columns
        with _quiet():
            places = _matrix(rows, ends.new_zeros(len(rows.other)))
            return torch.stack(
                [
                    torch.sparse.sampled_addmm(places, a, b.T, beta=0.0).values()
                    for a, b in zip(ends, others, strict=True)
                ]
            )

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        ends, others = ctx.saved_tensors
        rows, columns = ctx.edges
        turned = grad.index_select(1, rows.order)
        return (
            _neighbour_sum(grad, others, rows, columns),
            _neighbour_sum(turned, ends, columns, rows),
            None,
            None,
        )


def _matrix(rows: Rows, values: Tensor) -> Tensor:
    nodes = len(rows.pointer) - 1
    return torch.sparse_csr_tensor(rows.pointer, rows.other, values, (nodes, nodes), check_invariants=False)


def _quiet() -> "warnings.catch_warnings[None]":
    return warnings.catch_warnings(action="ignore", category=UserWarning)  # "CSR support is in beta state"


def _neighbour_sum(weights: Tensor, values: Tensor, rows: Rows, columns: Rows) -> Tensor:
    sums: Tensor = _NeighbourSum.apply(weights, values, rows, columns)  # type: ignore[no-untyped-call]
    return sums


def _edge_product(ends: Tensor, others: Tensor, rows: Rows, columns: Rows) -> Tensor:
    products: Tensor = _EdgeProduct.apply(ends, others, rows, columns)  # type: ignore[no-untyped-call]
    return products


def neighbour_sum(weights: Tensor, values: Tensor, edges: Edges) -> Tensor:
    """Sum for each target the values of its sources, times the weights of the edges.

    Args:
        weights: (H, E).
        values: (H, N, D).
        edges: E of them, between N nodes.

    Returns:
        Sums, (H, N, D).
    """
    return _neighbour_sum(weights, values, edges.by_target, edges.by_source)


class EdgeAttention(Attention):
    """Graph attention (Velickovic et al. 2018, equations 1 to 5), step by step.

    Shapes: H heads, N nodes, E edges, D features a head; the one sample is the graph. Query and key are a
    number for each node, (1, H, N, 1), the two halves of the paper's product with a concatenated vector;
    values are (1, H, N, D). Scores and weights are those of edges, (1, H, 1, E), and so is what is
    `allowed`.

    Attributes:
        edges: who attends to whom.
        slope: of LeakyReLU below zero.
    """

    def __init__(self, edges: Edges, slope: float = 0.2) -> None:
        self.edges = edges
        self.slope = slope

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Compare the two ends of every edge: (1, H, 1, E)."""
        attends = query[0, ..., 0].index_select(1, self.edges.target)
        attended = key[0, ..., 0].index_select(1, self.edges.source)
        return nn.functional.leaky_relu(attends + attended, self.slope)[None, :, None]

    def normalise(self, scores: Tensor) -> Tensor:
        """Turn scores into weights that sum to one over the edges of a target."""
        flat, target = scores[0, :, 0], self.edges.target
        shape = len(flat), self.edges.nodes
        largest = flat.new_zeros(shape).scatter_reduce(
            1, target.expand(flat.shape), flat.detach(), "amax", include_self=False
        )
        exponential = (flat - largest.index_select(1, target)).exp()
        total = exponential.new_zeros(shape).index_add(1, target, exponential)
        return (exponential / total.index_select(1, target))[None, :, None]

    def combine(self, weights: Tensor, value: Tensor) -> Tensor:
        """Average the values of the neighbours: (1, H, N, D)."""
        return neighbour_sum(weights[0, :, 0], value[0], self.edges)[None]
