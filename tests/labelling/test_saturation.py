"""Chao1 by closed form, the accumulation curve by counting."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from attention_faults.labelling import ranking_quality, saturation, stopping


def test_chao1_is_the_published_formula() -> None:
    found = saturation.chao1(np.array([5, 3, 2, 2, 1, 1, 1, 0]), 0.95)
    assert (found.observed, found.singletons, found.doubletons) == (7, 3, 2)
    assert found.estimate == pytest.approx(7 + 14 / 15 * 3 * 2 / (2 * 3))
    assert found.observed <= found.low < found.estimate < found.high
    assert found.coverage == pytest.approx(1 - 3 / 15)


def test_without_singletons_nothing_is_unseen() -> None:
    found = saturation.chao1(np.array([4, 4, 2]), 0.95)
    assert (found.estimate, found.low, found.high) == (3, 3, 3)


def test_mean_of_the_curve_is_that_over_all_orders() -> None:
    labels = pd.Series(list("aaabbc"))
    expected = np.mean([[len(set(order[:n])) for n in range(1, 7)] for order in permutations(labels)], axis=0)
    curve = saturation.accumulation(labels, orders=50, level=0.9, seed=1)
    assert np.allclose(curve["mean"], expected)
    assert curve["low"].iloc[-1] == curve["high"].iloc[-1] == 3
    assert (curve["low"] <= curve["high"]).all()


def test_measures_of_a_ranking_by_hand() -> None:
    scores, holds = np.array([4.0, 3, 2, 1]), np.array([True, False, True, False])
    found = ranking_quality.measure(scores, holds, np.ones((1, 4)), first=0.25, recall=1)[0]
    assert found.tolist() == pytest.approx([2, 0.5, 0.75, 0.75])
    tied = ranking_quality.measure(np.zeros(4), holds, np.ones((1, 4)), first=0.25, recall=0.5)[0]
    assert tied.tolist() == pytest.approx([1, 0.25, 0.5, 0.5])


def test_lower_bound_of_recall_covers_the_true_one() -> None:
    generator = np.random.default_rng(1)
    bounds = [
        stopping.recall(pd.Series(generator.integers(1, 1001, 60)), 900, wanted=0.95, level=0.95).low
        for _ in range(400)
    ]
    assert np.mean(np.array(bounds) <= 0.9) >= 0.93


def test_raters_stop_only_with_enough_control_records() -> None:
    needed = stopping.controls_needed(0.95, 0.95)
    for number, stop in ((needed - 1, False), (needed, True)):
        assert stopping.recall(pd.Series([1] * number), 1, wanted=0.95, level=0.95).stop == stop
    assert not stopping.recall(pd.Series(dtype=int), 1, wanted=0.95, level=0.95).stop
