"""Verdicts on mutants follow from paired seeds and nothing else."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from attention_faults.faults import mutants


def enumerated_p(drops: list[int]) -> float:
    """Independent twin: try every sign."""
    sums = [
        sum(sign * drop for sign, drop in zip(signs, drops, strict=True))
        for signs in product((1, -1), repeat=len(drops))
    ]
    return float(np.mean([total >= sum(drops) for total in sums]))


@given(st.lists(st.integers(-100, 100), min_size=2, max_size=7))
@settings(max_examples=60, deadline=None)
def test_p_is_the_share_of_sign_flips_with_as_large_a_mean(drops):
    values = [drop / 100 for drop in drops]
    assert mutants.sign_flip_p(np.array(values)) == pytest.approx(enumerated_p(drops))


def test_five_equal_drops_reach_one_in_thirty_two():
    assert mutants.sign_flip_p(np.full(5, 0.2)) == pytest.approx(1 / 32)


def test_two_sides_count_large_means_of_either_sign():
    drops = np.array([0.3, 0.1, 0.2, -0.1, 0.4, 0.05])
    for values in (drops, -drops):
        two_sided = mutants.sign_flip_p(values, alternative="two-sided")
        assert two_sided == pytest.approx(2 * mutants.sign_flip_p(drops))


def test_flips_are_drawn_where_they_are_too_many_to_try():
    values = np.random.default_rng(3).normal(0.3, 1, 30)
    drawn = [mutants.sign_flip_p(values, draws=20_000, seed=seed) for seed in (1, 1, 2)]
    normal = norm.sf(values.sum() / np.sqrt((values**2).sum()))
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn == pytest.approx([normal] * 3, abs=0.01)


@pytest.mark.parametrize("count", [0, 1])
def test_sign_flip_test_takes_at_least_two_differences(count):
    with pytest.raises(ValueError, match="at least 2 differences"):
        mutants.sign_flip_p(np.zeros(count))


def runs(drops, outcome="finished", operator="o"):
    """Faulty runs, and the clean runs of the same seeds, whose accuracy is 0.9."""
    common = {"model": "m", "synthetic": True, "severity": 1.0, "message": "", "macro_f1": 0.5, "loss": 1.0}
    rows = []
    for seed, drop in enumerate(drops):
        faulty = {"kind": "faulty", "operator": operator, "place": "p", "outcome": outcome}
        rows.append(
            {**common, **faulty, "seed": seed, "accuracy": np.nan if outcome == "crashed" else 0.9 - drop}
        )
        clean = {"kind": "matched", "operator": "", "place": "", "outcome": "finished"}
        rows.append({**common, **clean, "seed": seed, "accuracy": 0.9})
    return pd.DataFrame(rows)


def screened(*parts):
    frame = pd.concat(parts).drop_duplicates(["operator", "seed"])
    return mutants.screen(mutants.paired_drops(frame))


@pytest.mark.parametrize(
    ("drops", "verdict"),
    [
        ([0.1] * 5, "killed"),
        ([0.009] * 5, "surviving"),  # significant, but less than a point
        ([0.1, 0.1, 0.1, 0.1, -0.1], "surviving"),  # 3 of 32 sign flips are as extreme
        ([-0.1] * 5, "surviving"),
        ([0.5] * 4, "undecided"),
        ([0.1] * 10, "killed"),
    ],
)
def test_verdict_needs_significance_and_a_point(drops, verdict):
    assert screened(runs(drops))["verdict"].tolist() == [verdict]


def test_one_crashed_run_makes_the_mutant_crashed():
    crash = runs([0.0], "crashed").assign(seed=4)
    table = screened(runs([0.1] * 4), crash)
    assert table.loc[0, ["verdict", "crashed", "seeds"]].tolist() == ["crashed", 1, 5]
    assert np.isnan(table.loc[0, "p"])
    assert table.loc[0, "mean_drop"] == pytest.approx(0.1)


def test_run_without_its_clean_partner_is_an_error():
    frame = runs([0.1] * 5)
    with pytest.raises(ValueError, match="no clean run of the same model and seed"):
        mutants.paired_drops(frame[(frame["kind"] == "faulty") | (frame["seed"] < 4)])


def test_adjusted_p_is_over_tested_mutants_only():
    table = screened(runs([0.1] * 5), runs([0.0] * 5, operator="b"), runs([0.1] * 3, operator="c"))
    assert table["p_bh"].tolist()[:2] == pytest.approx([2 / 32, 1.0])
    assert np.isnan(table["p_bh"][2])


def test_study_without_faults_has_no_verdicts():
    table = screened(runs([]).reindex(columns=runs([0.1]).columns))
    assert table.empty
    assert list(table) == list(screened(runs([0.1] * 5)))


def test_mutation_score_leaves_out_crashed_and_undecided():
    table = pd.DataFrame(
        {
            "model": ["a"] * 4 + ["b"],
            "category": ["x", "y", "x", "x", "y"],
            "operator": list("opqrs"),
            "place": ["l0", "l0", "l1", "", "l0"],
            "verdict": ["killed", "killed", "surviving", "crashed", "undecided"],
            "verdict_bh": ["killed", "surviving", "surviving", "crashed", "undecided"],
        }
    )
    scores = mutants.mutation_scores(table, {"a": 0.1, "b": 0.3})
    models = scores[scores["by"] == "model"].set_index("label")
    assert models.loc["a", "mutation_score"] == pytest.approx(2 / 3)
    assert np.isnan(models.loc["b", "mutation_score"])
    assert models.loc["a", ["killed", "surviving", "crashed", "undecided"]].tolist() == [2, 1, 1, 0]
    assert models["killed_bh"].tolist() == [1, 0]
    assert models["false_kill_rate"].tolist() == pytest.approx([0.1, 0.3])
    categories = scores[scores["by"] == "category"].set_index("label")
    assert categories["mutation_score"].tolist() == [0.5, 1.0]
    assert categories["false_kill_rate"].tolist() == pytest.approx([0.1, 0.2])
    assert set(scores.loc[scores["by"] == "site", "label"]) == {"a: l0", "a: l1", "a: training", "b: l0"}


def test_false_kill_rate_is_low_for_equal_runs_and_one_for_worse_ones():
    generator = np.random.default_rng(0)
    same, other = generator.normal(0.9, 0.02, 10), generator.normal(0.9, 0.02, 10)
    settings_ = {"seeds": 5, "draws": 200, "seed": 1}
    assert mutants.false_kill_rate(same, other, **settings_) <= 0.2
    assert mutants.false_kill_rate(same - 0.5, other, **settings_) == 1.0
    assert mutants.false_kill_rate(same, same, **settings_) == mutants.false_kill_rate(
        same, same, **settings_
    )


@pytest.mark.parametrize(("seeds", "negatives"), [(4, 10), (5, 4)])
def test_false_kill_rate_is_undefined_where_nothing_can_be_killed(seeds, negatives):
    settings_ = {"seeds": seeds, "draws": 10, "seed": 1}
    assert np.isnan(mutants.false_kill_rate(np.zeros(negatives), np.ones(10), **settings_))


def test_false_kills_are_counted_for_each_model_on_its_own_clean_runs():
    def clean(model, kind, accuracy):
        return pd.DataFrame({"model": model, "kind": kind, "accuracy": accuracy, "seed": range(5)})

    frame = pd.concat(
        [
            clean("good", "reference", 0.9), clean("good", "negative", 0.9), clean("good", "matched", 0.9),
            clean("worse", "reference", 0.9), clean("worse", "negative", 0.5), clean("worse", "matched", 0.9),
        ]
    )  # fmt: skip
    assert mutants.false_kill_rates(frame, seed=1) == {"good": 0.0, "worse": 1.0}


def test_clean_models_are_summarised_by_kind():
    frame = runs([0.1, 0.2, 0.3])
    frame.loc[frame["kind"] == "matched", "accuracy"] = [0.8, 0.9, 1.0]
    (row,) = mutants.clean_table(frame).to_dict("records")
    assert (row["model"], row["data"], row["kind"], row["runs"]) == ("m", "synthetic", "matched", 3)
    assert row["accuracy_mean"] == pytest.approx(0.9)
    assert row["accuracy_sd"] == pytest.approx(0.1)
    assert row["accuracy_least"] == pytest.approx(0.8)
