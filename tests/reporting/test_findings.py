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
