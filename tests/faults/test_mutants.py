"""Verdicts on mutants follow from paired seeds and nothing else."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_faults.faults import mutants


def enumerated_p(drops: list[float]) -> float:
    """Independent twin: try every sign."""
    means = [
        np.mean([sign * drop for sign, drop in zip(signs, drops, strict=True)])
        for signs in product((1, -1), repeat=len(drops))
    ]
    return float(np.mean([mean >= np.mean(drops) - 1e-12 for mean in means]))


@given(st.lists(st.integers(-100, 100), min_size=2, max_size=7))
@settings(max_examples=60, deadline=None)
def test_p_is_the_share_of_sign_flips_with_as_large_a_mean(drops):
    values = [drop / 100 for drop in drops]
    assert mutants.sign_flip_p(np.array(values)) == pytest.approx(enumerated_p(values))


def test_five_equal_drops_reach_one_in_thirty_two():
    assert mutants.sign_flip_p(np.full(5, 0.2)) == pytest.approx(1 / 32)


@pytest.mark.parametrize("count", [0, 1, 21])
def test_exact_test_refuses_what_it_cannot_enumerate(count):
    with pytest.raises(ValueError, match="2 to 20"):
        mutants.sign_flip_p(np.zeros(count))


def runs(drops, outcome="finished", operator="o"):
    rows = [
        {
            "subject": "s",
            "operator": operator,
            "place": "p",
            "severity": 1.0,
            "seed": seed,
            "accuracy": 0.9 - drop,
            "outcome": outcome,
        }
        for seed, drop in enumerate(drops)
    ]
    return pd.DataFrame(rows)


CLEAN = pd.DataFrame({"subject": "s", "seed": range(10), "accuracy": 0.9})


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
    assert mutants.screen(runs(drops), CLEAN)["verdict"].tolist() == [verdict]


def test_one_crashed_run_makes_the_mutant_crashed():
    table = mutants.screen(pd.concat([runs([0.1] * 4), runs([0.0], "crashed").assign(seed=4)]), CLEAN)
    assert table.loc[0, ["verdict", "crashed", "seeds"]].tolist() == ["crashed", 1, 5]
    assert np.isnan(table.loc[0, "p"])


def test_run_without_its_clean_partner_is_an_error():
    with pytest.raises(ValueError, match="no clean run of the same subject and seed"):
        mutants.screen(runs([0.1] * 5), CLEAN.head(4))


def test_adjusted_p_is_over_tested_mutants_only():
    table = mutants.screen(
        pd.concat([runs([0.1] * 5), runs([0.0] * 5, operator="b"), runs([0.1] * 3, operator="c")]), CLEAN
    )
    assert table["p_bh"].tolist()[:2] == pytest.approx([2 / 32, 1.0])
    assert np.isnan(table["p_bh"][2])


def test_mutation_score_leaves_out_crashed_and_undecided():
    screened = pd.DataFrame(
        {"subject": ["a"] * 4 + ["b"], "verdict": ["killed", "killed", "surviving", "crashed", "undecided"]}
    )
    table = mutants.mutation_score(screened, ["subject"]).set_index("subject")
    assert table.loc["a", "mutation_score"] == pytest.approx(2 / 3)
    assert np.isnan(table.loc["b", "mutation_score"])
    assert table.loc["a", ["killed", "surviving", "crashed", "undecided"]].tolist() == [2, 1, 1, 0]


def test_false_kill_rate_is_low_for_equal_runs_and_one_for_worse_ones():
    generator = np.random.default_rng(0)
    same, other = generator.normal(0.9, 0.02, 10), generator.normal(0.9, 0.02, 10)
    settings_ = {"seeds": 5, "draws": 200, "seed": 1}
    assert mutants.false_kill_rate(same, other, **settings_) <= 0.2
    assert mutants.false_kill_rate(same - 0.5, other, **settings_) == 1.0
    assert mutants.false_kill_rate(same, same, **settings_) == mutants.false_kill_rate(
        same, same, **settings_
    )
