"""Random vectors and bases."""

import pytest
import torch
from support.curvature import seeded

from attention_faults.curvature import probes
from attention_faults.curvature.probes import dots, gaussian, orthonormal, project_out, rademacher, squares


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("piece", [2**20, 64])
def test_bases_are_orthonormal_and_span_what_they_are_made_of(monkeypatch, dtype, piece):
    monkeypatch.setattr(probes, "PIECE", piece)
    drawn = torch.randn(300, 5, generator=seeded(0), dtype=dtype)
    dependent = torch.cat(
        [drawn, drawn[:, :1] - 1e3 * drawn[:, 1:2], torch.zeros(300, 1, dtype=dtype)], dim=1
    )
    basis = orthonormal(1e-8 * dependent)
    tolerance = 100 * torch.finfo(dtype).eps
    assert basis.shape == (300, 5)
    assert basis.dtype == dtype
    torch.testing.assert_close(basis.T @ basis, torch.eye(5, dtype=dtype), rtol=0, atol=tolerance)
    assert (project_out(basis, drawn).norm() / drawn.norm()).item() <= 100 * tolerance
    assert orthonormal(torch.zeros(300, 3, dtype=dtype)).shape == orthonormal(drawn[:, :0]).shape == (300, 0)


@pytest.mark.parametrize("piece", [2**20, 7])
def test_sums_in_pieces_are_sums(monkeypatch, piece):
    monkeypatch.setattr(probes, "PIECE", piece)
    one, other = torch.randn(30, 3, generator=seeded(0)), torch.randn(30, 3, generator=seeded(1))
    torch.testing.assert_close(dots(one, other), (one.double() * other.double()).sum(dim=0))
    torch.testing.assert_close(squares(one), one.double().square().sum(dim=0))


def test_probes_are_independent_signs_and_normal_numbers():
    like = torch.zeros(4000, 4000)
    signs, numbers = rademacher(like, 8, seeded(0)), gaussian(like, 8, seeded(0))
    assert signs.shape == numbers.shape == (4000, 8)
    assert set(signs.unique().tolist()) == {-1, 1}
    for drawn in (signs, numbers):
        gram = drawn.T @ drawn / 4000
        assert (gram - torch.eye(8)).abs().max() <= 0.1
    assert torch.equal(signs, rademacher(like, 8, seeded(0)))
    assert rademacher(like, 2, seeded(0), size=5).shape == (5, 2)
