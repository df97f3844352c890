"""Figures of mutants show every seed, every verdict, and say when there is nothing."""

import pandas as pd
import pytest

from attention_faults.faults import mutants
from attention_faults.reporting.figures import accuracy_drops, mutation_score_bars

DROPS = pd.DataFrame(
    {
        "model": ["a"] * 10 + ["b"] * 3,
        "operator": ["wrong_scale"] * 5 + ["mask_dropped"] * 5 + ["labels_wrong"] * 3,
        "place": ["layer0"] * 10 + [""] * 3,
        "severity": [4.0] * 5 + [1.0] * 8,
        "seed": [*range(5), *range(5), *range(3)],
        "outcome": "finished",
        "drop": [0.1, 0.2, 0.3, 0.2, 0.1, 0.0, -0.01, 0.01, 0.0, 0.0, 0.5, 0.4, 0.6],
    }
)


@pytest.fixture
def screened():
    table = mutants.screen(DROPS)
    return table.assign(category=["attention_score", "attention_masking", "training"])


def of(table, model):
    return table[table["model"] == model]


def test_every_seed_and_every_mean_is_drawn(screened):
    (axes,) = accuracy_drops(of(screened, "a"), of(DROPS, "a"), "a", "a note").axes
    ticks = [line.get_xdata() for line in axes.lines if line.get_marker() == "|"]
    assert [list(x) for x in ticks] == [[0.1, 0.2, 0.3, 0.2, 0.1], [0.0, -0.01, 0.01, 0.0, 0.0]]
    means = [line.get_xdata()[0] for line in axes.lines if line.get_marker() in ("o", "s")]
    assert means == pytest.approx([0.18, 0.0])
    assert [text.get_text() for text in axes.texts] == ["killed", "surviving"]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["wrong scale (4), layer0", "mask dropped, layer0"]


def test_several_mutants_of_one_operator_share_a_row(screened):
    both = of(screened, "a").assign(operator="wrong_scale")
    (axes,) = accuracy_drops(both, of(DROPS, "a").assign(operator="wrong_scale"), "a", "").axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["wrong scale"]
    assert [text.get_text() for text in axes.texts] == ["1 of 2 killed"]
    assert sorted(line.get_marker() for line in axes.lines if line.get_marker() in ("o", "s")) == ["o", "s"]


def test_bars_count_the_verdicts_of_each_category(screened):
    scores = mutants.mutation_scores(screened, {"a": 0.0, "b": 0.0})
    figure = mutation_score_bars(scores, "a note")
    (axes,) = figure.axes
    widths = [[bar.get_width() for bar in container] for container in axes.containers]
    assert widths == [[0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 1]]  # by verdict, then category
    assert [text.get_text() for text in axes.texts] == ["score 0%", "score 100%", "no verdict"]


def test_study_without_faults_says_so():
    nothing = mutants.screen(DROPS.head(0))
    figure = accuracy_drops(nothing, DROPS.head(0), "a", "")
    assert "not broken" in figure.axes[0].texts[0].get_text()
    scores = mutants.mutation_scores(nothing.assign(category=""), {})
    assert "No model is broken" in mutation_score_bars(scores, "").axes[0].texts[0].get_text()
