"""Norms of blocks and of pairs, and traces, from shared products."""

import numpy as np
import pytest
import scipy.stats
import torch
from support.curvature import ALL, Dense, case, dense, indefinite, operator_of, seeded

from attention_faults.curvature.frobenius import (
    balance,
    combine,
    sample_column,
    sketch,
    squared_norm,
    squared_norms,
)
from attention_faults.curvature.interaction import interactions
from attention_faults.curvature.operators import BlockHessian

PROBES = 64
T_95 = scipy.stats.t.ppf(0.975, PROBES - 1)
SIZES = {"a": 20, "b": 1, "c": 14, "d": 30}


def exact_norms(matrix, sizes):
    """Squared Frobenius norm of each pair of blocks."""
    parts = [row.split(list(sizes), dim=1) for row in matrix.split(list(sizes), dim=0)]
    return np.array([[part.square().sum().item() for part in row] for row in parts])


@pytest.mark.parametrize("name", ALL)
def test_norms_of_all_pairs_are_those_of_the_dense_matrix(name):
    known = case(name)
    norms = squared_norms(BlockHessian(known.loss, known.blocks), 24, seeded(0), rank=8)
    expected = exact_norms(dense(name), BlockHessian(known.loss, known.blocks).sizes.values())
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected))) + 1e-9 * expected.max()
    assert (np.abs(norms.squared - expected) <= 6 * norms.stderr + 1e-5 * scale).all()
    assert np.median(norms.stderr / scale) <= 0.1
    assert (norms.squared == norms.squared.T).all()


@pytest.mark.parametrize("rank", [0, 3])
def test_norms_scatter_around_the_true_ones_as_they_say(rank):
    matrix = indefinite(sum(SIZES.values()))
    operator = Dense(matrix, SIZES)
    found = [squared_norms(operator, 16, seeded(seed), rank=rank) for seed in range(200)]
    values = np.stack([norms.squared for norms in found])
    stated = np.sqrt(np.mean([np.square(norms.stderr) for norms in found], axis=0))
    scatter = values.std(axis=0)
    expected = exact_norms(matrix, SIZES.values())
    assert (np.abs(values.mean(axis=0) - expected) <= 4 * scatter / 200**0.5 + 1e-12).all()
    noisy = scatter > 1e-9
    assert noisy.sum() == {0: 15, 3: 9}[rank]  # what has one parameter is exact, with a basis its pairs too
    assert ((stated[noisy] / scatter[noisy] > 0.8) & (stated[noisy] / scatter[noisy] < 1.25)).all()


def test_the_basis_takes_most_of_the_error_where_singular_values_decay():
    size = sum(SIZES.values())
    turned = torch.linalg.qr(torch.randn(size, size, generator=seeded(0), dtype=torch.double)).Q
    values = torch.arange(1, size + 1, dtype=torch.double) ** -2 * (-1) ** torch.arange(size)
    operator = Dense(turned @ torch.diag(values) @ turned.T, SIZES)
    plain, better = (squared_norms(operator, 16, seeded(0), rank=rank) for rank in (0, 6))
    # the row and the column of a one-parameter block are exact both ways
    assert np.median(better.stderr[[0, 2, 3]]) <= np.median(plain.stderr[[0, 2, 3]]) / 50


def test_a_block_of_nothing_but_rounding_does_not_drown_the_others():
    size = sum(SIZES.values())
    drawn = torch.randn(size, size, generator=seeded(1), dtype=torch.double)
    noise = torch.zeros(size, size, dtype=torch.double)
    noise[-SIZES["d"] :] = 1e-18 * drawn[-SIZES["d"] :]
    matrix = torch.zeros(size, size, dtype=torch.double)
    rest = size - SIZES["d"]
    matrix[:rest, :rest] = indefinite(rest)
    scales, _ = balance(Dense(matrix + noise + noise.T, SIZES), seeded(0))
    assert scales["d"] <= 1e14 * min(scales.values())
    assert max(scales[name] for name in "abc") <= 100 * min(scales[name] for name in "abc")


def test_two_groups_of_bases_agree_with_one():
    matrix = indefinite(sum(SIZES.values()))
    operator = Dense(matrix, SIZES)
    expected = exact_norms(matrix, SIZES.values())
    values = []
    for seed in range(100):
        generator = seeded(seed)
        columns = []
        for group in (("a", "b"), ("c", "d")):
            bases, _ = sketch(operator, group, dict.fromkeys(SIZES, 4), generator)
            columns += [sample_column(operator, name, bases, 8, generator) for name in group]
        values.append(combine(list(SIZES), columns, 0).squared)
    scatter = np.std(values, axis=0)
    assert (np.abs(np.mean(values, axis=0) - expected) <= 4 * scatter / 10 + 1e-12).all()
    assert (scatter[1] <= 1e-12).all()  # exact, as in one group


def test_first_products_of_probes_are_those_of_the_block():
    matrix = indefinite(sum(SIZES.values()))
    operator = Dense(matrix, SIZES)
    bases, _ = sketch(operator, ["d"], {"d": 5}, seeded(0))
    column = sample_column(operator, "d", bases, 8, seeded(1), starts=3)
    assert column.starts.shape == (30, 3)
    assert set(column.starts.unique().tolist()) == {-1, 1}
    torch.testing.assert_close(column.started, matrix[-30:, -30:] @ column.starts)
    trace = column.trace()
    assert abs(trace.value - matrix[-30:, -30:].trace().item()) <= 6 * trace.stderr


def test_one_matrix_alone():
    matrix = indefinite(40)
    estimate = squared_norm(matrix, 200, seeded(0))
    assert abs(estimate.value - matrix.square().sum().item()) <= 4 * estimate.stderr
    assert estimate.products == 200
    with pytest.raises(ValueError, match="at least 2"):
        squared_norm(matrix, 1, seeded(0))
    with pytest.raises(ValueError, match="at least 2"):
        squared_norms(Dense(matrix, {"all": 40}), 1, seeded(0))


def balanced(operator, other):
    """Take away as much of another indefinite matrix as makes the trace vanish, nearly."""
    share = operator.matrix.trace() / other.trace()
    return Dense(operator.matrix - 0.98 * share * other, operator.sizes)


def models(sign):
    operator = operator_of("mlp")
    if sign == "negative":
        return Dense(-operator.matrix, operator.sizes)
    if sign == "near_zero":
        return balanced(operator, indefinite(operator.shape[0], 0.3))
    return operator


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("sign", ["positive", "negative", "near_zero"])
def test_intervals_cover_the_dense_norms_traces_and_interactions(sign, rank):
    operator = models(sign)
    matrix, sizes = operator.matrix, list(operator.sizes.values())
    norms = exact_norms(matrix, sizes)
    traces = [row.split(sizes, dim=1)[i].trace().item() for i, row in enumerate(matrix.split(sizes, dim=0))]
    diagonal = np.sqrt(np.diag(norms))
    normalised = np.sqrt(norms) / np.sqrt(np.outer(diagonal, diagonal))
    upper = np.triu_indices(len(sizes))
    above = np.triu_indices(len(sizes), 1)
    hits = {"norm": [], "trace": [], "interaction": []}
    for seed in range(200):
        generator = seeded(seed)
        bases, _ = sketch(operator, operator.names, dict.fromkeys(operator.names, rank), generator)
        columns = [sample_column(operator, name, bases, PROBES, generator) for name in operator.names]
        found = combine(operator.names, columns, 0)
        ratios = interactions(found)
        estimates = [column.trace() for column in columns]
        hits["norm"].append((np.abs(found.squared - norms) <= T_95 * found.stderr)[upper])
        pairs = zip(estimates, traces, strict=True)
        hits["trace"].append(
            [abs(estimate.value - trace) <= T_95 * estimate.stderr for estimate, trace in pairs]
        )
        hits["interaction"].append((np.abs(ratios.values - normalised) <= T_95 * ratios.stderr)[above])
    for covered in hits.values():
        assert 0.90 <= np.mean(covered) <= 0.99
        assert np.mean(covered, axis=0).min() >= 0.86
