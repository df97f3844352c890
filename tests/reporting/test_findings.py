"""The page says no more than interval and test show together."""

import pandas as pd
import pytest

from attention_faults.reporting import findings

ROW = {
    "scope": "all three models",
    "role": "secondary",
    "comparator": "gradient_aggregate",
    "units": 12,
    "hessian_mrr": 0.4,
    "comparator_mrr": 0.3,
    "relative": float("nan"),
    "verdict": "not shown",
}
COST = pd.DataFrame({"model": ["m"], "ranker": ["hessian_aggregate"], "cost": [100.0]})


@pytest.mark.parametrize(
    ("low", "high", "p", "p_holm", "said"),
    [
        (-0.1, 0.2, 0.01, 0.01, "no difference shown"),
        (0.1, 0.2, 0.01, 0.03, "better (p 0.030, Holm)"),
        (0.1, 0.2, 0.04, 0.12, "better by its interval, but not by the test (p 0.120, Holm)"),
        (-0.2, -0.1, 0.0001, 0.0002, "worse (p < 0.001, Holm)"),
        (-0.2, -0.1, 0.2, float("nan"), "worse by its interval, but not by the test (p 0.200)"),
    ],
)
def test_a_comparison_is_named_by_its_interval_and_its_test(low, high, p, p_holm, said):
    verdict = pd.DataFrame(
        [{**ROW, "difference": (low + high) / 2, "low": low, "high": high, "p": p, "p_holm": p_holm}]
    )
    assert f"- Against gradient aggregate: {said}." in findings._answer(verdict, COST)


def test_what_gradients_at_equal_cost_spent_is_told():
    cost = pd.concat(
        [COST, pd.DataFrame({"model": ["m"], "ranker": ["equal_cost_aggregate"], "cost": [7.0]})]
    )
    verdict = pd.DataFrame([{**ROW, "difference": 0.1, "low": 0.0, "high": 0.2, "p": 0.5, "p_holm": 0.5}])
    assert "it spends 7% to 7%." in "\n".join(findings._answer(verdict, cost))


def test_faults_stand_with_what_goes_with_their_gain():
    gains = pd.DataFrame(
        {
            "operator": ["a", "a", "b"],
            "gain": [0.5, 0.3, -0.2],
            "gradient_change": [0.0, 0.0, 2.0],
            "curvature_change": [1.0, 1.0, 0.0],
        }
    )
    moderators = pd.DataFrame(
        {
            "moderator": ["gradient_change", "accuracy_drop"],
            "units": [3, 3],
            "rho": [-0.9, float("nan")],
            "low": [-1.0, float("nan")],
            "high": [-0.1, float("nan")],
            "p_holm": [0.0001, float("nan")],
        }
    )
    page = findings._operators(gains, moderators)
    assert "| a | 2 | +0.400 | 1 | 2.7 |  |" in page
    assert "| b | 1 | -0.200 | 7.4 | 1 |  |" in page
    assert "| a larger gradient of the whole model | 3 | -0.90 [-1.00, -0.10] | < 0.001 |" in page
    assert not any("accuracy" in line for line in page)


def test_choices_are_told_by_how_far_they_move_the_differences():
    row = {"choice": "protocol", "value": "as it is", "comparator": "gradient_norm", "verdict": "not shown"}
    row |= {"hessian_mrr": 0.5, "comparator_mrr": 0.4, "difference": 0.1, "low": 0.0, "high": 0.2}
    other = {"choice": "measured", "value": "small_batch, end", "verdict": "no"}
    other |= {"difference": -0.05, "low": -0.1}
    without = {"choice": "left out of the Hessian aggregate", "value": "hessian_trace", "difference": 0.3}
    page = findings._choices(pd.DataFrame([row, row | other, row | without]))
    assert "- the difference from gradient norm is between -0.050 and +0.300 (3 distinct rows);" in page
    assert "- verdicts are not shown 2, no 1." in page
    assert "| measured: small_batch, end | gradient norm | 0.500 | 0.400 | -0.050 [-0.100, 0.200] |" in page
    assert not any("hessian_trace" in line for line in page)


def kept_run(name, verdict):
    plan = pd.DataFrame({"series": [1], "runs": [30]})
    return findings._Run(name, {}, {"plan": plan, "verdict": pd.DataFrame(verdict)})


def test_runs_stand_beside_each_other():
    row = ROW | {"difference": 0.1, "low": 0.0, "high": 0.2}
    norm = row | {"comparator": "gradient_norm", "role": "primary", "difference": -0.3, "low": -0.4}
    page = findings._beside([kept_run("whole", [norm, row])])
    assert "| whole | 30 | -0.300 [-0.400, 0.200] | 0.100 [0.000, 0.200] | not shown |" in page


def test_a_run_without_the_three_models_has_no_differences():
    none = {"role": "primary", "comparator": float("nan"), "verdict": "none: the study lacks han"}
    none |= {"difference": float("nan"), "low": float("nan"), "high": float("nan")}
    page = findings._beside([kept_run("part", [none])])
    assert page[-2] == "| part | 30 |  |  | none: the study lacks han |"
