import numpy as np
from support.evidence import made_up

from attention_faults.localisation import robustness

MAIN = ("main", "end")


def test_each_choice_has_its_rows():
    found = [made_up("han", references=20)]
    table = robustness.vary({MAIN: found, ("main", "middle"): found}, MAIN, draws=50, level=0.95, seed=1)
    assert table.groupby("choice", sort=False)["value"].nunique().to_dict() == {
        "protocol": 1,
        "left out of the Hessian aggregate": 4,
        "left out of the gradient aggregate": 4,
        "reference runs": 2,
        "measured": 1,
    }
    for _, rows in table.groupby(["choice", "value"]):
        assert rows["comparator"].str.partition(":")[0].tolist() == list(robustness.COMPARATORS)
        assert rows["verdict"].nunique() == 1
    middle = table[table["choice"] == "measured"]
    as_it_is = table[table["choice"] == "protocol"]
    np.testing.assert_allclose(middle["difference"], as_it_is["difference"])
    assert (table["low"] <= table["high"]).all()


def test_leaving_out_what_sees_the_fault_shows():
    found = [made_up("han", shift=30.0, shifted=("interaction_sum", "gradient_max"), faults=12)]
    table = robustness.vary({MAIN: found}, MAIN, draws=50, level=0.95, seed=1)
    of = table.set_index(["value", "comparator"])
    as_it_is = of.loc["as it is", "gradient_aggregate"]
    assert of.loc["interaction_sum", "gradient_aggregate"]["hessian_mrr"] < as_it_is["hessian_mrr"]
    assert of.loc["gradient_max", "gradient_aggregate"]["comparator_mrr"] < as_it_is["comparator_mrr"]


def test_other_instances_of_the_three_subjects_are_a_choice():
    found = [made_up(name, seed=n) for n, name in enumerate(("han", "cnn3d", "distilbert"))]
    slow = [made_up(f"{e.model}_slow", subject=e.model, seed=n + 5) for n, e in enumerate(found)]
    table = robustness.vary({MAIN: [*found, *slow]}, MAIN, draws=20, level=0.95, seed=1)
    assert table.loc[table["choice"] == "models", "models"].unique().tolist() == [
        "han_slow, cnn3d_slow, distilbert_slow"
    ]
    assert (
        "models" not in robustness.vary({MAIN: found}, MAIN, draws=20, level=0.95, seed=1)["choice"].tolist()
    )


def test_blocks_drawn_at_random_are_found_by_chance():
    table = robustness.control([made_up("han", shift=30.0), made_up("cnn3d", seed=1)], seed=1)
    assert {"hessian_aggregate", "weight_norm", "fault_frequency", "random"} <= set(table["ranker"])
    assert table["at_chance"].all()
    np.testing.assert_allclose(table["mean_mrr"], table["chance_mrr"], atol=0.02)


def test_the_control_fails_an_evaluation_that_favours_a_ranker(monkeypatch):
    honest = robustness.ranking.reciprocal_rank
    monkeypatch.setattr(
        robustness.ranking, "reciprocal_rank", lambda s, t: honest(s, t) * (1 + 0.1 * s.any())
    )
    table = robustness.control([made_up("han"), made_up("cnn3d", seed=1)], seed=1).set_index("ranker")
    assert not table.drop(index="random")["at_chance"].any()


def test_the_three_models_alone_count_where_they_are_there():
    found = [made_up(name, faults=1) for name in ("decoder", "han", "cnn3d", "distilbert")]
    assert [evidence.model for evidence in robustness.chosen(found)] == ["han", "cnn3d", "distilbert"]
    assert [evidence.model for evidence in robustness.chosen(found[:2])] == ["decoder", "han"]
