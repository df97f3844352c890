"""Spectral densities against all eigenvalues."""

import numpy as np
import pytest
import torch
from support.curvature import indefinite, seeded

from attention_faults.curvature.density import effective_rank, negative_share, spectral_density


def exact(matrix):
    values = torch.linalg.eigvalsh(matrix).numpy()
    size = np.abs(values).sum()
    return np.abs(values[values < 0]).sum() / size, size**2 / np.square(values).sum()


@pytest.mark.parametrize("shift", [-0.4, 0.0, 0.4])
def test_moments_and_ratios_scatter_around_those_of_all_eigenvalues(shift):
    matrix = indefinite(120, shift)
    share, rank = exact(matrix)
    values = torch.linalg.eigvalsh(matrix).numpy()
    found = [spectral_density(matrix, 8, 24, seeded(seed)) for seed in range(60)]
    for quantity, expected in (
        (lambda d: d.sum_of(lambda v: v), values.sum()),
        (lambda d: d.sum_of(np.square), np.square(values).sum()),
        (lambda d: d.sum_of(lambda v: v**5), (values**5).sum()),
        (lambda d: d.sum_of(np.abs), np.abs(values).sum()),
        (negative_share, share),
        (effective_rank, rank),
    ):
        estimates = [quantity(d) for d in found]
        scatter = np.std([e.value for e in estimates])
        # the quadrature of |l| has a small bias; that of polynomials has none
        allowed = 4 * scatter / 60**0.5 + 0.005 * abs(expected)
        assert abs(np.mean([e.value for e in estimates]) - expected) <= allowed
        assert 0.75 <= np.mean([e.stderr for e in estimates]) / scatter <= 1.25
        assert all(e.products == 8 * 24 for e in estimates)


def test_a_density_has_integral_one_and_lies_where_eigenvalues_are():
    matrix = indefinite(150)
    points = np.linspace(-3, 3, 1201)
    smooth = spectral_density(matrix, 20, 40, seeded(0)).curve(points, 0.2)
    assert np.trapezoid(smooth, points) == pytest.approx(1, abs=1e-3)
    values = torch.linalg.eigvalsh(matrix).numpy()
    bumps = np.exp(-0.5 * np.square((points[:, None] - values) / 0.2)) / (0.2 * np.sqrt(2 * np.pi))
    expected = bumps.mean(axis=1)
    assert np.trapezoid(np.abs(smooth - expected), points) <= 0.05


def test_small_and_zero_matrices_are_exact():
    matrix = indefinite(10)
    density = spectral_density(matrix, 3, 10, seeded(0))
    share, rank = exact(matrix)
    assert density.exact
    assert negative_share(density).value == pytest.approx(share)
    assert effective_rank(density).value == pytest.approx(rank)
    assert (negative_share(density).stderr, negative_share(density).products) == (0, 10)
    one = spectral_density(torch.full((1, 1), -2.0), 2, 4, seeded(0))
    assert (negative_share(one).value, effective_rank(one).value) == (1, 1)
    zero = spectral_density(torch.zeros(50, 50), 3, 10, seeded(0))
    assert zero.exact
    assert zero.sum_of(np.abs).value == 0
    assert zero.products == 3
    for ratio in (negative_share(zero), effective_rank(zero)):
        assert np.isnan(ratio.value)
        assert ratio.converged


def test_one_start_shows_no_error():
    assert np.isnan(negative_share(spectral_density(indefinite(50), 1, 10, seeded(0))).stderr)


def test_no_starts_are_refused():
    with pytest.raises(ValueError, match="at least 1 start"):
        spectral_density(indefinite(5), 0, 3, seeded(0))
