"""Ends of spectra against dense eigenvalues."""

import pytest
import torch
from support.curvature import ALL, case, dense, indefinite, seeded

from attention_faults.curvature.lanczos import extremes, lanczos
from attention_faults.curvature.operators import BlockHessian


def assert_ends(matrix, values, steps, tolerance=1e-6):
    found = extremes(matrix, steps, seeded(0))
    scale = values.abs().max().item()
    for eigenvalue, exact in (
        (found.largest, values.max().item()),
        (found.smallest, values.min().item()),
        (found.magnitude, values[values.abs().argmax()].item()),
    ):
        assert abs(eigenvalue.value - exact) <= tolerance * scale
        assert eigenvalue.converged
        assert eigenvalue.products <= steps


@pytest.mark.parametrize("shift", [-3.0, -0.1, 0.0, 0.1, 3.0])
@pytest.mark.parametrize(("size", "steps"), [(1, 1), (2, 5), (30, 30), (300, 120)])
def test_ends_are_those_of_the_dense_matrix(size, steps, shift):
    matrix = indefinite(size, shift)
    assert_ends(matrix, torch.linalg.eigvalsh(matrix), steps)


def test_ends_of_a_large_matrix():
    values = torch.linspace(-1, 1, 5000, dtype=torch.double) ** 3 - 0.2
    direction = torch.randn(5000, 1, generator=seeded(0), dtype=torch.double)
    direction /= direction.norm()
    matrix = torch.diag(values)  # between two reflections its eigenvalues are the same
    matrix -= 2 * direction @ (direction.T @ matrix)
    matrix -= 2 * (matrix @ direction) @ direction.T
    assert_ends(matrix, values, 120)


@pytest.mark.parametrize("name", ALL)
def test_ends_of_the_blocks_of_models(name):
    known = case(name)
    hessian = BlockHessian(known.loss, known.blocks)
    for block, place in known.slices().items():
        values = torch.linalg.eigvalsh(dense(name)[place, place])
        scale = max(values.abs().max().item(), 1e-6)
        found = extremes(hessian[block, block], 24, seeded(0))
        assert abs(found.largest.value - values[-1].item()) <= 1e-6 * scale
        assert abs(found.smallest.value - values[0].item()) <= 1e-6 * scale


def test_the_largest_in_magnitude_is_kept_apart_from_the_largest():
    found = extremes(torch.diag(torch.tensor([-5.0, 1.0, 2.0]).double()), 3, seeded(0))
    assert [round(e.value) for e in (found.largest, found.smallest, found.magnitude)] == [2, -5, -5]


def test_too_small_a_budget_is_said_and_not_exceeded():
    found = extremes(indefinite(300), 6, seeded(0))
    assert not found.largest.converged
    assert found.largest.residual > 1e-3
    assert found.largest.products == 6


def test_residuals_bound_the_distance_to_an_eigenvalue():
    matrix = indefinite(200)
    values = torch.linalg.eigvalsh(matrix).numpy()
    for steps in (3, 10, 40):
        (run,) = lanczos(matrix, torch.ones(200, 1, dtype=torch.double), steps, seeded(0))
        for value, residual in zip(run.values, run.residuals, strict=True):
            assert abs(values - value).min() <= residual + 1e-12
        assert run.weights.sum() == pytest.approx(1)


def test_a_start_vector_that_misses_an_eigenvector_does_not_hide_it():
    matrix = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -7.0]]).double()
    (run,) = lanczos(matrix, torch.tensor([[1.0], [1.0], [0.0]]).double(), 3, seeded(0))
    assert run.values.tolist() == pytest.approx([-7, -1, 1])


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_multiples_of_the_identity(value):
    found = extremes(value * torch.eye(50, dtype=torch.double), 4, seeded(0))
    assert found.largest.value == pytest.approx(value)
    assert found.smallest.value == pytest.approx(value)
    assert found.largest.residual <= 1e-12
    assert found.largest.converged


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="at least 1 step"):
        extremes(indefinite(5), 0, seeded(0))
