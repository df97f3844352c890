"""Attention along edges, against loops over edges and numerical derivatives."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from attention_faults.subjects.edge_attention import EdgeAttention, Edges, neighbour_sum

HEADS, SIZE = 2, 3


def random_edges(nodes: int, seed: int) -> Edges:
    """Edges of a random directed graph in random order; some nodes may have none."""
    generator = torch.Generator().manual_seed(seed)
    target, source = (torch.rand(nodes, nodes, generator=generator) < 0.5).nonzero(as_tuple=True)
    order = torch.randperm(len(source), generator=generator)
    return Edges(source[order], target[order], nodes)


def random_inputs(nodes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    query, key = (torch.randn(1, HEADS, nodes, 1, generator=generator, dtype=torch.double) for _ in range(2))
    return query, key, torch.randn(1, HEADS, nodes, SIZE, generator=generator, dtype=torch.double)


@settings(deadline=None, max_examples=50)
@given(nodes=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_attention_is_that_of_the_paper_edge_by_edge(nodes: int, seed: int) -> None:
    edges = random_edges(nodes, seed)
    query, key, value = random_inputs(nodes, seed)
    output, weights = EdgeAttention(edges)(query, key, value)
    pairs = list(zip(edges.source.tolist(), edges.target.tolist(), strict=True))
    for head in range(HEADS):
        for i in range(nodes):
            neighbours = [source for source, target in pairs if target == i]
            raw = [query[0, head, i, 0].item() + key[0, head, j, 0].item() for j in neighbours]
            importance = [math.exp(e if e > 0 else 0.2 * e) for e in raw]
            shares = [e / sum(importance) for e in importance]
            expected = [
                sum(share * value[0, head, j, d].item() for share, j in zip(shares, neighbours, strict=True))
                for d in range(SIZE)
            ]
            mine = [weights[0, head, 0, place].item() for place, pair in enumerate(pairs) if pair[1] == i]
            assert mine == pytest.approx(shares, abs=1e-12)
            columns = output[0, i, head * SIZE : (head + 1) * SIZE].tolist()
            assert columns == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=50)
@given(nodes=st.integers(1, 8), seed=st.integers(0, 10**6))
def test_weights_of_a_target_sum_to_one_over_the_edges_it_may_use(nodes: int, seed: int) -> None:
    edges = random_edges(nodes, seed)
    allowed = torch.rand(len(edges.source), generator=torch.Generator().manual_seed(seed)) < 0.6
    _, weights = EdgeAttention(edges)(*random_inputs(nodes, seed), allowed=allowed)
    for i in range(nodes):
        mine = edges.target == i
        if allowed[mine].any():
            used = weights[..., mine]
            torch.testing.assert_close(used.sum(dim=-1), torch.ones(1, HEADS, 1, dtype=torch.double))
            assert (used[..., ~allowed[mine]] == 0).all()


def test_huge_scores_stay_finite() -> None:
    edges = random_edges(6, seed=0)
    query, key, value = random_inputs(6, seed=0)
    output, _ = EdgeAttention(edges)(1e6 * query, 1e6 * key, value)
    assert output.isfinite().all()


def test_a_node_without_edges_gets_nothing() -> None:
    edges = Edges(torch.tensor([0, 1]), torch.tensor([1, 1]), 4)
    output, _ = EdgeAttention(edges)(*random_inputs(4, seed=0))
    assert (output[0, [0, 2, 3]] == 0).all()
    assert (output[0, 1] != 0).all()


def test_neighbour_sum_has_exact_first_and_second_derivatives() -> None:
    edges = random_edges(5, seed=1)
    generator = torch.Generator().manual_seed(0)
    options = {"generator": generator, "dtype": torch.double}
    weights = torch.randn(HEADS, len(edges.source), **options).requires_grad_()
    values = torch.randn(HEADS, 5, SIZE, **options).requires_grad_()

    def summed(weights: Tensor, values: Tensor) -> Tensor:
        return neighbour_sum(weights, values, edges)

    assert torch.autograd.gradcheck(summed, (weights, values))
    assert torch.autograd.gradgradcheck(summed, (weights, values))


def test_third_derivatives_are_those_of_plain_indexing() -> None:
    edges = random_edges(5, seed=2)
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(HEADS, 5, SIZE, generator=generator, dtype=torch.double).requires_grad_()
        for _ in range(2)
    ]

    def plain(weights: Tensor, values: Tensor) -> Tensor:
        messages = weights[..., None] * values[:, edges.source]
        return torch.zeros_like(values).index_add(1, edges.target, messages)

    def third(product: object) -> Tensor:
        ends, values = inputs
        weights = (ends[:, edges.target] * values[:, edges.source]).sum(dim=-1).tanh()
        outcome = product(weights, values).tanh().sum()  # type: ignore[operator]
        for _ in range(2):
            outcome = sum((g**2).sum() for g in torch.autograd.grad(outcome, inputs, create_graph=True))
        return torch.cat([g.ravel() for g in torch.autograd.grad(outcome, inputs)])

    torch.testing.assert_close(third(lambda w, v: neighbour_sum(w, v, edges)), third(plain))


def test_edges_are_sorted_by_target_then_source() -> None:
    edges = Edges(torch.tensor([2, 0, 1, 0]), torch.tensor([1, 1, 0, 2]), 3)
    assert edges.target.tolist() == [0, 1, 1, 2]
    assert edges.source.tolist() == [1, 0, 2, 0]


def test_an_edge_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 3 edges"):
        Edges(torch.tensor([0, 1, 0]), torch.tensor([1, 0, 1]), 2)
