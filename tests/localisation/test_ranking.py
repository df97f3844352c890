import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score, roc_auc_score

from attention_faults.localisation import ranking


def enumerated(scores, truth, gain):
    """The mean gain of the first block at fault over all orders that respect the scores."""
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    return np.mean([gain(next(i for i, block in enumerate(order, 1) if truth[block])) for order in orders])


few_scores = st.integers(2, 6).flatmap(
    lambda size: st.tuples(
        arrays(float, size, elements=st.sampled_from([0.0, 1.0, 2.0])),
        arrays(bool, size).filter(lambda truth: truth.any() and not truth.all()),
    )
)


@given(few_scores)
def test_ties_get_the_mean_over_all_orders(case):
    scores, truth = case
    assert ranking.reciprocal_rank(scores, truth) == pytest.approx(enumerated(scores, truth, lambda k: 1 / k))
    assert ranking.top(scores, truth, 1) == pytest.approx(enumerated(scores, truth, lambda k: k <= 1))
    assert ranking.top(scores, truth, 3) == pytest.approx(enumerated(scores, truth, lambda k: k <= 3))
    assert ranking.exam(scores, truth) == pytest.approx(
        enumerated(scores, truth, lambda k: (k - 1) / len(scores))
    )


@given(few_scores)
def test_areas_are_those_of_scikit_learn(case):
    scores, truth = case
    assert ranking.auroc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))


@given(few_scores)
def test_average_precision_is_scikit_learns_averaged_over_orders_of_ties(case):
    scores, truth = case
    orders = np.random.default_rng(0).random((400, len(scores)))
    # ties are broken at random: scores are whole numbers apart or equal
    found = [average_precision_score(truth, np.lexsort((order, scores)).argsort()) for order in orders]
    spread = 4 * np.std(found) / np.sqrt(len(found)) + 1e-9
    assert ranking.average_precision(scores, truth) == pytest.approx(np.mean(found), abs=spread + 0.005)


def test_average_precision_of_a_random_order_by_hand():
    # one of three at fault: (1 + 1/2 + 1/3) / 3; two of three: (1 + 1, 1 + 2/3, 1/2 + 2/3) / 2 / 3
    assert ranking.average_precision(np.zeros(3), np.array([True, False, False])) == pytest.approx(11 / 18)
    assert ranking.average_precision(np.zeros(3), np.array([True, True, False])) == pytest.approx(29 / 36)
    assert np.isnan(ranking.average_precision(np.zeros(3), np.zeros(3, dtype=bool)))


@given(few_scores, st.randoms())
def test_the_order_of_blocks_does_not_matter(case, random):
    scores, truth = case
    order = list(range(len(scores)))
    random.shuffle(order)
    for measure in (ranking.reciprocal_rank, ranking.exam, ranking.auroc, ranking.average_precision):
        assert measure(scores[order], truth[order]) == pytest.approx(measure(scores, truth))


def test_by_hand():
    scores = np.array([3.0, 1.0, 2.0, 0.0])
    assert ranking.reciprocal_rank(scores, np.array([True, False, False, True])) == 1
    assert ranking.reciprocal_rank(scores, np.array([False, True, False, True])) == pytest.approx(1 / 3)
    assert ranking.exam(scores, np.array([False, True, False, True])) == pytest.approx(2 / 4)
    # all tied, one of four at fault: (1 + 1/2 + 1/3 + 1/4) / 4
    assert ranking.reciprocal_rank(np.zeros(4), np.array([False, True, False, False])) == pytest.approx(
        25 / 48
    )


def test_the_first_of_many_tied_blocks_neither_overflows_nor_drifts():
    truth = np.arange(60) < 30
    places = np.arange(1, 32)
    from scipy.special import gammaln  # noqa: PLC0415

    def log_choose(n, k):
        return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)

    chances = np.exp(log_choose(60 - places, 29) - log_choose(60, 30))
    assert chances.sum() == pytest.approx(1)
    assert ranking.reciprocal_rank(np.zeros(60), truth) == pytest.approx((chances / places).sum())


def test_rows_are_judged_one_by_one():
    scores = np.random.default_rng(0).integers(3, size=(4, 5, 6)).astype(float)
    truth = np.arange(6) == np.array([0, 1, 2, 3, 4])[:, np.newaxis]
    together = ranking.reciprocal_rank(scores, truth)
    alone = [[ranking.reciprocal_rank(scores[i, j], truth[j]) for j in range(5)] for i in range(4)]
    np.testing.assert_allclose(together, alone)


def test_an_undefined_score_is_tied_in_the_middle():
    filled = ranking.without_gaps(np.array([[1.0, np.nan, 5.0, 3.0], [np.nan] * 4]))
    np.testing.assert_array_equal(filled, [[1, 3, 5, 3], [0] * 4])


def test_an_aggregate_adds_ranks():
    first, second = np.array([1.0, 2.0, 3.0]), np.array([10.0, 10.0, 0.0])
    np.testing.assert_array_equal(ranking.mean_rank([first, second]), [1 + 2.5, 2 + 2.5, 3 + 1])


def test_there_must_be_something_to_find():
    with pytest.raises(ValueError, match="where there is none"):
        ranking.reciprocal_rank(np.zeros(3), np.zeros(3, dtype=bool))
