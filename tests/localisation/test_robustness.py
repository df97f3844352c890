import numpy as np
from support.evidence import made_up

from attention_faults.localisation import robustness

MAIN = ("main", "end")


def test_each_choice_has_its_row():
    found = [made_up("han", references=12)]
    table = robustness.vary({MAIN: found, ("main", "middle"): found}, MAIN, draws=50, level=0.95, seed=1)
    counts = table.groupby("choice", sort=False).size().to_dict()
    assert counts == {
        "protocol": 1,
        "left out of the Hessian aggregate": 4,
        "left out of the gradient aggregate": 4,
        "reference runs": 2,  # 20 are not there
        "measured": 1,
    }
    first, last = table.iloc[0], table.iloc[-1]
    np.testing.assert_allclose(first["hessian_mrr"], last["hessian_mrr"])
    assert (table["low"] <= table["high"]).all()


def test_leaving_out_what_sees_the_fault_shows():
    found = [made_up("han", shift=30.0, shifted=("interaction_sum",), faults=12)]
    table = robustness.vary({MAIN: found}, MAIN, draws=50, level=0.95, seed=1).set_index("value")
    assert table.loc["interaction_sum", "hessian_mrr"] < table.loc["as it is", "hessian_mrr"]


def test_blocks_drawn_at_random_are_found_by_chance():
    table = robustness.control([made_up("han", shift=30.0), made_up("cnn3d", seed=1)], level=0.95, seed=1)
    assert table["at_chance"].all()
    np.testing.assert_allclose(table["mean_mrr"], table["chance_mrr"], atol=0.02)


def test_the_three_models_alone_count_where_they_are_there():
    found = [made_up(name, faults=1) for name in ("decoder", "han", "cnn3d", "distilbert")]
    assert [evidence.model for evidence in robustness.chosen(found)] == ["han", "cnn3d", "distilbert"]
    assert [evidence.model for evidence in robustness.chosen(found[:2])] == ["decoder", "han"]
