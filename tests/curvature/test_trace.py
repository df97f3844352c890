"""Traces against the sum of the diagonal of known matrices."""

import pytest
import torch
from support.curvature import indefinite, seeded

from attention_faults.curvature.trace import hutch_plus_plus, hutchinson

ESTIMATORS = {"hutchinson": (hutchinson, 64), "hutch_plus_plus": (hutch_plus_plus, 120)}


@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.parametrize("shift", [-0.5, 0.0, 0.5])
def test_estimates_scatter_around_the_trace_as_they_say(kind, shift):
    estimate, products = ESTIMATORS[kind]
    matrix = indefinite(80, shift)
    found = [estimate(matrix, products, seeded(seed)) for seed in range(200)]
    values = torch.tensor([e.value for e in found])
    stated = torch.tensor([e.stderr for e in found]).square().mean().sqrt()
    assert all(e.products <= products for e in found)
    assert abs(values.mean() - matrix.trace()) <= 4 * values.std() / 200**0.5
    assert 0.8 <= stated / values.std() <= 1.25


def test_the_subspace_takes_most_of_the_error_where_the_spectrum_decays():
    basis = torch.linalg.qr(torch.randn(200, 200, generator=seeded(0), dtype=torch.double)).Q
    matrix = basis @ torch.diag(torch.arange(1, 201, dtype=torch.double) ** -1.5) @ basis.T
    plain, better = hutchinson(matrix, 60, seeded(1)), hutch_plus_plus(matrix, 60, seeded(1))
    assert better.stderr <= plain.stderr / 5
    assert abs(better.value - matrix.trace().item()) <= 5 * better.stderr
    assert better.converged


def test_what_is_deterministic_is_exact():
    diagonal = torch.diag(torch.arange(5.0).double())
    assert hutchinson(diagonal, 2, seeded(0)).value == pytest.approx(10)
    assert hutchinson(diagonal, 2, seeded(0)).stderr == pytest.approx(0, abs=1e-12)
    small = hutch_plus_plus(indefinite(2, 0.3), 6, seeded(0))
    assert (small.stderr, small.products, small.converged) == (0, 2, True)
    assert small.value == pytest.approx(indefinite(2, 0.3).trace().item())
    zero = hutch_plus_plus(torch.zeros(50, 50), 9, seeded(0))
    assert (zero.value, zero.stderr, zero.converged) == (0, 0, True)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_too_few_products_and_odd_shapes_are_refused(kind):
    estimate, _ = ESTIMATORS[kind]
    with pytest.raises(ValueError, match="at least"):
        estimate(indefinite(10), 1, seeded(0))
    with pytest.raises(ValueError, match="square"):
        estimate(torch.zeros(3, 20), 12, seeded(0))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_same_seed_same_bytes(kind):
    estimate, products = ESTIMATORS[kind]
    one, again, other = (estimate(indefinite(80), products, seeded(seed)) for seed in (3, 3, 4))
    assert one == again
    assert one != other
