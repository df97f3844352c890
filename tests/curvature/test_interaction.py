"""Normalised interactions of blocks, and where they are zero or undefined."""

import numpy as np
import pytest
import torch
from support.curvature import Dense, indefinite, seeded

from attention_faults.curvature.frobenius import BlockNorms, squared_norms
from attention_faults.curvature.interaction import interactions


def norms_of(squared):
    """Norms that are known."""
    squared = np.array(squared, dtype=float)
    return BlockNorms(tuple("abcdefgh"[: len(squared)]), squared, np.zeros((4, *squared.shape)), 0)


def test_the_numerator_is_over_the_geometric_mean_of_the_diagonal():
    found = interactions(norms_of([[16, 9], [9, 1]]))
    np.testing.assert_allclose(found.values, [[1, 1.5], [1.5, 1]])
    assert (found.stderr == 0).all()


def test_zero_is_zero_and_a_vanishing_diagonal_is_undefined():
    tiny = 1e-25  # its norm is below 1e-12 of the largest
    found = interactions(norms_of([[1, 0, 0.5, 2], [0, 0, 0, 0], [0.5, 0, tiny, 0], [2, 0, 0, 1e-23]])).values
    assert found[0, 1] == found[1, 1] == found[2, 3] == 0
    assert np.isnan(found[0, 2])
    assert np.isnan(found[2, 2])
    assert found[0, 3] == pytest.approx(2**0.5 / 1e-23**0.25)


def test_no_curvature_at_all_is_zero_everywhere():
    assert (interactions(norms_of(np.zeros((3, 3)))).values == 0).all()


def test_jackknife_errors_are_those_of_repetition():
    sizes = {"a": 20, "b": 14, "c": 30}
    operator = Dense(indefinite(64), sizes)
    found = [interactions(squared_norms(operator, 24, seeded(seed), rank=2)) for seed in range(150)]
    scatter = np.std([f.values for f in found], axis=0)
    stated = np.sqrt(np.mean([np.square(f.stderr) for f in found], axis=0))
    above = np.triu_indices(3, 1)
    ratio = stated[above] / scatter[above]
    assert ((ratio > 0.8) & (ratio < 1.25)).all()
    assert torch.tensor(found[0].values).diagonal().tolist() == [1, 1, 1]
