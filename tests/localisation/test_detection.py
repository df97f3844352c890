import numpy as np
import pandas as pd
import pytest
from support.evidence import made_up

from attention_faults.localisation import detection


def test_false_alarms_by_hand():
    faulty, clean = np.array([5.0, 4.0, 3.0, 2.0, 1.0]), np.array([0.0, 2.0, 2.5, 9.0])
    assert detection.false_alarms(faulty, clean) == 3 / 4  # recall of 0.8 takes a threshold of 2
    assert detection.auroc(faulty, clean) == pytest.approx((5 + 3.5 + 3 + 0) / 20)


def test_faults_far_from_the_reference_are_detected():
    found = [made_up(name, negatives=10, shift=60.0) for name in ("a", "b")]
    table = detection.detect(found, draws=100, level=0.95, seed=1).set_index("ranker")
    row = table.loc["hessian_aggregate"]
    assert row[["auroc", "low", "high"]].tolist() == pytest.approx([1, 1, 1])
    assert row["false_alarms"] == 0
    # Wilson, none of 20: z^2 / (n + z^2)
    assert row[["alarms_low", "alarms_high"]].tolist() == pytest.approx(
        [0, 1.96**2 / (20 + 1.96**2)], abs=1e-4
    )
    assert (row["negatives"], row["faulty_runs"]) == (20, 60)


def test_without_an_effect_detection_is_at_chance():
    found = made_up(negatives=30, faults=30, seeds=2)
    table = detection.detect([found], draws=100, level=0.95, seed=1).set_index("ranker")
    row = table.loc["gradient_aggregate"]
    assert row["low"] <= 0.5 <= row["high"]


def test_few_negatives_are_not_estimable():
    table = detection.detect([made_up()], draws=100, level=0.95, seed=1)
    assert table["auroc"].isna().all()
    assert table["remark"].str.startswith("not estimable").all()


def test_a_run_without_evidence_is_not_suspect():
    found = made_up()
    for values in found.values.values():
        values[-1] = np.nan
    scored = detection.anomalies(found)
    last = scored[(scored["kind"] == "faulty") & (scored["seed"] == 204) & (scored["place"] == "place5")]
    assert (last["score"] == 0).all()


def test_curves_rise_from_nothing_to_everything():
    curves = detection.curves(detection.anomalies(made_up(negatives=20)), ["gradient_norm"])
    assert curves[["false_alarms", "recall"]].iloc[[0, -1]].to_numpy().tolist() == [[0, 0], [1, 1]]
    assert curves["recall"].is_monotonic_increasing


def test_redrawing_the_reference_widens_the_interval(monkeypatch):
    found = [made_up(negatives=20, faults=10, references=5, shift=1.0, seeds=2)]
    how = {"draws": 200, "level": 0.95, "seed": 1}
    width = detection.detect(found, **how).set_index("ranker").eval("high - low")
    monkeypatch.setattr(detection, "bootstrap", lambda generator, draws, count: np.ones((draws, count)))
    held = detection.detect(found, **how).set_index("ranker").eval("high - low")
    assert width.mean() > 1.05 * held.mean()


def test_by_label_all_negatives_are_compared_with():
    scored = pd.concat(detection.anomalies(made_up(name, negatives=10, shift=60.0)) for name in ("a", "b"))
    table = detection.by(scored, "model")
    row = table[(table["label"] == "a") & (table["ranker"] == "hessian_aggregate")].iloc[0]
    assert row[["by", "faulty_runs", "negatives", "auroc"]].tolist() == ["model", 30, 20, 1.0]
    assert detection.by(scored[scored["model"] == "a"], "model")["auroc"].isna().all()
