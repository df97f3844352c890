"""Figure of detection, from synthetic evidence."""

import pandas as pd
import pytest
from support.evidence import made_up

from attention_faults.localisation import detection, rankers
from attention_faults.reporting import figures

NOTE = "Synthetic runs, made for a test. " * 6


def frames(negatives):
    """Return what the rule makes of two models: how well each ranker detects, and its curve."""
    evidences = [made_up(f"model{i}", seed=i, negatives=negatives, shift=2) for i in range(2)]
    scored = pd.concat(map(detection.anomalies, evidences), ignore_index=True)
    found = detection.detect(evidences, draws=20, level=0.95, seed=0)
    return found, detection.curves(scored, rankers.SHOWN)


@pytest.fixture(scope="module")
def enough():
    return frames(10)


def test_every_shown_ranker_has_its_curve_and_area(enough, words, problems):
    found, curves = enough
    figure = figures.detection_roc(found, curves, NOTE)
    assert problems(figure) == []
    drawn = {line.get_label(): line.get_xydata() for line in figure.axes[0].lines}
    for name, part in curves.groupby("ranker"):
        row = found[found["ranker"] == name].iloc[0]
        label = next(x for x in drawn if f"{row['auroc']:.2f} ({row['low']:.2f} to {row['high']:.2f})" in x)
        assert name.split("_")[1] in label
        assert drawn[label].tolist() == part[["false_alarms", "recall"]].to_numpy().tolist()
    assert f"{row['false_alarms']:.0%} false alarms at 80% recall" in words(figure)
    assert "60 faulty, 20 clean" in words(figure)
    assert NOTE.strip() in words(figure)


def test_curves_differ_without_colour(enough):
    lines = [x for x in figures.detection_roc(*enough, "").axes[0].lines if len(x.get_xdata()) > 2]
    assert len({str(x._unscaled_dash_pattern) for x in lines}) == len(lines) == len(rankers.SHOWN)


def test_too_few_clean_runs_are_said_to_be_too_few(words, problems):
    figure = figures.detection_roc(*frames(4), NOTE)
    assert "Not estimable" in words(figure)
    assert "60 faulty runs and 8 clean ones" in words(figure)
    assert problems(figure) == []


def test_study_without_runs_says_so(enough, words):
    found, curves = enough
    assert "No run is scored." in words(figures.detection_roc(found.head(0), curves.head(0), ""))


def test_equal_tables_give_equal_bytes(enough, tmp_path):
    for name in ("first", "second"):
        figures.save(figures.detection_roc(*enough, NOTE), tmp_path / name)
    first, second = ([p.read_bytes() for p in sorted(tmp_path.glob(f"{x}.*"))] for x in ("first", "second"))
    assert len(first) == 3
    assert first == second
