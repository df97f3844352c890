import itertools

import numpy as np
import pandas as pd
import pytest
from support.evidence import METRICS, made_up

from attention_faults.faults.mutants import sign_flip_p
from attention_faults.localisation import evaluation, verdict
from attention_faults.localisation.rankers import GRADIENT, HESSIAN

HALF = tuple(name for name in METRICS if name not in HESSIAN.members)


def judged(models=verdict.PRIMARY, **faults):
    redrawn = [
        evaluation.redraw(made_up(model, seed=number, **faults), draws=200, seed=1)
        for number, model in enumerate(models)
    ]
    return verdict.judge(redrawn, permutations=999, level=0.95, seed=1)


def test_yes_when_only_the_hessian_sees_the_faults():
    table = judged(shift=30.0, shifted=HESSIAN.members)
    first = table.iloc[0]
    assert (first["scope"], first["role"], first["verdict"]) == (verdict.ALL, "primary", "yes")
    assert first["hessian_mrr"] == 1
    assert first["p"] <= 0.05
    assert (table["verdict"].iloc[1:] == "").all()
    assert (
        table.loc[table["role"] == "secondary", "p_holm"] >= table.loc[table["role"] == "secondary", "p"]
    ).all()


def test_no_when_only_gradients_see_them():
    assert judged(shift=30.0, shifted=GRADIENT.members).iloc[0]["verdict"] == "no"


def test_not_shown_when_nothing_sees_them():
    assert judged(shift=0.0).iloc[0]["verdict"] == "not shown"


def test_not_yes_when_a_trivial_baseline_sees_them_too():
    table = judged(shift=30.0, shifted=(*HESSIAN.members, "weight_change"))
    assert table.iloc[0]["verdict"] == "not shown"
    best = table[(table["scope"] == verdict.ALL) & table["comparator"].str.startswith("best")].iloc[0]
    assert best["comparator"] == "best trivial baseline: weight_change"


def test_no_verdict_without_the_three_models():
    table = judged(models=("han", "decoder"))
    assert table.iloc[0]["verdict"] == "none: the study lacks cnn3d, distilbert"
    assert set(table["role"].iloc[1:]) == {"exploratory"}
    assert verdict.quantities(table).isna().all().all()


def test_the_endpoint_weighs_models_alike():
    parts = [
        evaluation.redraw(made_up("han", faults=2), draws=100, seed=1),
        evaluation.redraw(made_up("cnn3d", faults=9), draws=100, seed=1),
    ]
    found = verdict.compare(parts, "gradient_norm", permutations=99, level=0.95, seed=1)
    means = [part.mean(HESSIAN.name) for part in parts]
    assert found["hessian_mrr"] == pytest.approx(np.mean(means))
    assert verdict._differences(parts, "gradient_norm").mean() == pytest.approx(found["difference"])


@pytest.mark.parametrize("seed", range(5))
def test_the_two_sided_test_tries_all_flips(seed):
    differences = np.random.default_rng(seed).normal(0.3, 1, 7).round(2)
    sums = [np.dot(flips, differences) for flips in itertools.product([-1, 1], repeat=7)]
    expected = np.mean(np.abs(sums) >= abs(differences.sum()) - 1e-9)
    assert sign_flip_p(differences, alternative="two-sided") == pytest.approx(expected)


def test_the_test_holds_its_level():
    generator = np.random.default_rng(0)
    p = [sign_flip_p(generator.normal(size=9), alternative="two-sided") for _ in range(400)]
    assert 0.02 <= np.mean(np.array(p) <= 0.05) <= 0.08


def test_a_comparator_chosen_after_the_fact_is_tested_as_the_best_of_all():
    generator = np.random.default_rng(0)
    differences = generator.normal(0.4, 1, (8, 3)).round(3)
    chosen = int(differences.mean(axis=0).argmin())
    largest = [np.abs(np.array(flips) @ differences).max() for flips in itertools.product([-1, 1], repeat=8)]
    expected = np.mean(np.array(largest) >= abs(differences[:, chosen].sum()) - 1e-9)
    assert verdict.selected_p(differences, chosen, draws=2**8, seed=1) == pytest.approx(expected)
    drawn = verdict.selected_p(differences, chosen, draws=255, seed=1)
    assert drawn == pytest.approx(expected, abs=0.1)
    plain = sign_flip_p(differences[:, chosen], alternative="two-sided")
    assert verdict.selected_p(differences[:, [chosen]], 0, draws=2**8, seed=1) == pytest.approx(plain)
    assert plain <= expected


def test_the_test_of_the_best_of_five_holds_its_level():
    generator = np.random.default_rng(1)
    found = []
    for _ in range(300):
        ours, theirs = generator.normal(size=(8, 1)), generator.normal(size=(8, 5))
        differences = ours - theirs
        found.append(
            verdict.selected_p(differences, int(differences.mean(axis=0).argmin()), draws=2**8, seed=1)
        )
    assert np.mean(np.array(found) <= 0.05) <= 0.08


def test_better_than_gradients_is_better_than_both():
    table = judged(shift=30.0, shifted=(*HESSIAN.members, "gradient_max", "gradient_variance"))
    ours = verdict.quantities(table).loc["hessian_minus_gradient"]
    both = (
        table[(table["scope"] == verdict.ALL)].set_index("comparator").loc[["gradient_norm", GRADIENT.name]]
    )
    assert ours["value"] == both["difference"].min() < both["difference"].max()


def test_models_without_curvature_are_not_compared():
    from dataclasses import replace  # noqa: PLC0415

    blind = made_up("han")
    values = {name: array for name, array in blind.values.items() if not name.startswith("hessian")}
    parts = [evaluation.redraw(replace(blind, values=values), draws=20, seed=1)]
    parts += [evaluation.redraw(made_up(name), draws=20, seed=1) for name in ("cnn3d", "distilbert")]
    table = verdict.judge(parts, permutations=99, level=0.95, seed=1)
    assert table.iloc[0]["verdict"] == "none: the study lacks han"


def test_rank_biserial_by_hand():
    # ranks of |d|: 1, 2, 3; the middle one is unfavourable
    assert verdict.rank_biserial(np.array([0.1, -0.2, 0.3, 0.0])) == pytest.approx((1 - 2 + 3) / 6)
    assert np.isnan(verdict.rank_biserial(np.zeros(3)))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0.1, 0.05, 0.2, 0.01)] * 3, "yes"),
        ([(0.1, 0.05, 0.2, 0.06)] * 3, "not shown"),
        ([(0.1, 0.05, 0.2, 0.01)] * 2 + [(0.1, -0.01, 0.2, 0.01)], "not shown"),
        ([(0.1, 0.05, 0.2, 0.01)] * 2 + [(-0.1, -0.2, -0.01, 0.9)], "not shown"),
        ([(0.1, 0.05, 0.2, 0.01), (-0.1, -0.2, -0.01, 0.9), (0.1, 0.05, 0.2, 0.01)], "no"),
        ([(-0.1, -0.2, 0.05, 0.01)] * 3, "not shown"),
    ],
)
def test_the_answer_follows_the_protocol(rows, expected):
    assert verdict.answer(pd.DataFrame(rows, columns=["difference", "low", "high", "p"])) == expected
