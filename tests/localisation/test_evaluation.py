import numpy as np
import pandas as pd
import pytest
from support.evidence import BLOCKS, METRICS, made_up, without

from attention_faults.faults.operator import catalogue
from attention_faults.localisation import evaluation, ranking
from attention_faults.localisation.evidence import with_reference
from attention_faults.localisation.rankers import (
    FREQUENCY,
    GRADIENT,
    HESSIAN,
    RANDOM,
    fault_frequency,
    rankers,
    score,
)


def test_every_run_regime_granularity_and_ranker_is_measured():
    found = made_up(faults=3, seeds=2)
    runs = evaluation.measure(found)
    many = len(rankers(METRICS))
    # pairs have no place without a reference
    assert len(runs) == 6 * 2 * (many + many - 1)
    assert runs[ranking.MEASURES].notna().all().all()


def test_a_ranker_that_sees_faults_finds_them_and_one_that_does_not_is_at_chance():
    found = made_up(faults=12, shift=30.0, shifted=HESSIAN.members)
    table = evaluation.summarise(evaluation.measure(found), ["model"])
    mrr = table[(table["regime"] == "with reference") & (table["granularity"] == "block")].set_index(
        "ranker"
    )["mrr"]
    chance = table["chance_mrr"].iloc[0]
    assert mrr["hessian_aggregate"] == 1
    assert mrr["random"] == pytest.approx(chance)
    assert abs(mrr["gradient_aggregate"] - chance) < 0.15


def test_units_are_averaged_over_seeds_before_they_are_averaged():
    runs = pd.DataFrame(
        {
            "model": "m",
            "operator": ["a", "a", "a", "b"],
            "place": "p",
            "severity": 1.0,
            "seed": [1, 2, 3, 1],
            "regime": "with reference",
            "way": "",
            "granularity": "block",
            "ranker": "random",
            "family": "trivial",
            "mrr": [1.0, 1.0, 1.0, 0.0],
            **dict.fromkeys(["top1", "top3", "exam", "auroc", "average_precision"], 0.0),
        }
    )
    row = evaluation.summarise(runs, ["model"]).iloc[0]
    assert (row["mrr"], row["units"], row["runs"]) == (0.5, 2, 4)


def test_a_layer_is_as_suspect_as_its_most_suspect_block():
    scores, truth = evaluation.by_layer(
        np.array([[1.0, 5.0, 2.0]]), np.array([[False, False, True]]), ["a.query", "a.key", "b.query"]
    )
    np.testing.assert_array_equal(scores, [[5, 2]])
    np.testing.assert_array_equal(truth, [[False, True]])


def test_an_aggregate_ignores_an_undefined_member():
    found = without(made_up(faults=1, seeds=1, shift=30.0), "hessian_trace", 15)
    by_metric = with_reference(found, found.reference(), [15])
    held = {name: by_metric[name] for name in HESSIAN.members if name != "hessian_trace"}
    frequency = np.zeros((1, len(BLOCKS)))
    others = ranking.mean_rank(list(held.values()))
    np.testing.assert_allclose(score(HESSIAN, by_metric, frequency) - others, (len(BLOCKS) + 1) / 2)


def test_fault_frequency_has_not_seen_the_operator_it_judges():
    runs = pd.DataFrame({"operator": ["a", "a", "a", "b"], "place": ["x", "x", "y", "x"]})
    truth = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=bool)
    expected = [[0, 0, 1], [0, 0, 1], [0, 0, 1], [1, 1, 0]]
    np.testing.assert_array_equal(fault_frequency(runs, truth), expected)


def test_baselines_need_no_measurement():
    frequency = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(score(RANDOM, {}, frequency), np.zeros((1, 2, 3)))
    np.testing.assert_array_equal(score(FREQUENCY, {}, frequency)[0], frequency)


def test_redrawn_means_are_those_of_the_runs():
    found = made_up(faults=5, seeds=3, shift=1.0)
    redrawn = evaluation.redraw(found, draws=50, seed=1)
    table = evaluation.summarise(evaluation.measure(found), ["model"])
    usual = table[(table["regime"] == "with reference") & (table["granularity"] == "block")]
    for ranker, mrr in usual.set_index("ranker")["mrr"].items():
        assert redrawn.mean(ranker) == pytest.approx(mrr), ranker
    assert redrawn.means(HESSIAN.name).shape == (50,)
    assert redrawn.means(HESSIAN.name).std() > 0


def test_redrawing_in_parts_is_redrawing(monkeypatch):
    found = made_up(faults=3, seeds=2)
    whole = evaluation.redraw(found, draws=40, seed=2, chosen=(HESSIAN, RANDOM))
    monkeypatch.setattr(evaluation, "CHUNK", 7 * 6 * len(BLOCKS) ** 2)
    parts = evaluation.redraw(found, draws=40, seed=2, chosen=(HESSIAN, RANDOM))
    np.testing.assert_array_equal(whole.means(HESSIAN.name), parts.means(HESSIAN.name))
    np.testing.assert_array_equal(whole.means(RANDOM.name), parts.means(RANDOM.name))


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_intervals_cover_what_other_faults_and_references_give(shift):
    """The truth is the mean over made-up models; redrawing a drawn reference is conservative."""
    drawn = [
        evaluation.redraw(
            made_up(faults=12, seeds=2, shift=shift, seed=seed, negatives=0),
            draws=150,
            seed=1,
            chosen=(GRADIENT, HESSIAN),
        )
        for seed in range(60)
    ]
    points = [part.mean(HESSIAN.name) - part.mean(GRADIENT.name) for part in drawn]
    redrawn = [part.means(HESSIAN.name) - part.means(GRADIENT.name) for part in drawn]
    ends = [np.quantile(part, [0.025, 0.975]) for part in redrawn]
    assert np.mean([low <= np.mean(points) <= high for low, high in ends]) >= 0.92
    assert 1.0 <= np.mean([part.std() for part in redrawn]) / np.std(points) <= 1.7


def test_a_model_without_faults_has_nothing_to_locate():
    found = made_up(faults=0)
    assert evaluation.measure(found).empty
    assert evaluation.redraw(found, draws=100, seed=1) is None


def test_chance_of_a_layer_grows_with_its_blocks():
    truth = np.array([[False, True, False, False], [True, False, False, False]])
    found = evaluation.chance_of_layers(truth, ["a.one", "b.one", "b.two", "b.three"])
    # the largest of four random scores is in layer b three times of four
    np.testing.assert_allclose(found["mrr"], [3 / 4 + 1 / 4 / 2, 1 / 4 + 3 / 4 / 2], atol=0.04)
    np.testing.assert_allclose(found["top1"], [3 / 4, 1 / 4], atol=0.08)


def test_levels_count_the_severities_of_an_operator():
    operators = catalogue()
    scale = operators["wrong_scale"]
    runs = pd.DataFrame(
        [
            {"model": "m", "operator": "wrong_scale", "place": "p", "severity": severity}
            for severity in (*scale.severities, 123.5)
        ]
    )
    mutants = runs.assign(verdict="killed")
    found = evaluation.described(runs, operators, mutants)
    many = len(scale.severities)
    assert found["level"].tolist() == [*(f"{n} of {many}" for n in range(1, many + 1)), "another"]
    assert set(found["category"]) == {scale.category}
