import pytest
from support.evidence import METRICS, made_up

from attention_faults.localisation import learnt
from attention_faults.localisation.rankers import GRADIENT

CATEGORIES = {f"operator{number}": f"category{number % 2}" for number in range(4)}


@pytest.fixture(scope="module")
def table():
    evidences = [
        made_up(name, seed=seed, faults=12, seeds=2, shift=30.0, shifted=GRADIENT.members)
        for seed, name in enumerate(("a", "b"))
    ]
    return learnt.generalise(evidences, CATEGORIES, draws=100, level=0.95, seed=1).set_index(
        ["left_out", "metrics"]
    )


@pytest.mark.parametrize("left_out", learnt.LEFT_OUT)
def test_what_is_learnt_from_gradients_carries_over(table, left_out):
    assert table.loc[left_out, "gradient"]["mrr"] == 1
    assert table.loc[left_out, "all"]["mrr"] > 0.9


@pytest.mark.parametrize("left_out", learnt.LEFT_OUT)
def test_metrics_that_see_nothing_are_near_chance(table, left_out):
    row = table.loc[left_out, "hessian and interaction"]
    assert abs(row["mrr"] - row["chance_mrr"]) < 0.15


def test_permuted_blocks_are_at_chance(table):
    assert (abs(table["control_mrr"] - table["chance_mrr"]) < 4 * table["control_stderr"] + 0.01).all()


def test_no_subject_is_on_both_sides():
    twins = [made_up(name, subject="a", faults=12, seeds=1, shift=30.0) for name in ("a", "a_slow")]
    table = learnt.generalise(twins, CATEGORIES, draws=100, level=0.95, seed=1)
    assert set(table["left_out"]) == {"operator", "category"}


def test_all_is_every_family_that_was_measured(table):
    features = table["features"]["operator"]
    assert features["all"] == len(set(METRICS))
    assert features["all"] >= features["gradient"] + features["hessian and interaction"] + features["trivial"]


def test_one_model_cannot_be_left_out():
    table = learnt.generalise([made_up(faults=12, seeds=1)], CATEGORIES, draws=100, level=0.95, seed=1)
    assert set(table["left_out"]) == {"operator", "category"}
    assert learnt.generalise([made_up(faults=0)], CATEGORIES, draws=100, level=0.95, seed=1).empty
