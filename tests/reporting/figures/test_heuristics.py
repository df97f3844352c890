import numpy as np
import pandas as pd
import pytest

from attention_faults.reporting import figures, tables
from attention_faults.taxonomy.heuristics import COLUMNS

CURVES = {"coverage": "-", "out_of_sample_coverage": "--", "null_mean": ":"}


def panels(figure):
    return [axes for axes in figure.axes if axes.axison]


def at(study, analysis):
    grid = study.grid
    return grid[(grid["analysis"] == analysis) & (grid["min_confidence"] == 0.3)]


def test_each_analysis_has_a_panel_with_its_curves_at_the_threshold_of_the_summary(small):
    figure = figures.heuristics_coverage(small.grid, small.summary, 0.33, "")
    assert len(panels(figure)) == len(small.summary)
    for axes, analysis in zip(panels(figure), small.summary["analysis"], strict=True):
        curve = at(small, analysis)
        for name, dashes in CURVES.items():
            line = next(x for x in axes.lines if x.get_linestyle() == dashes and len(x.get_xdata()) == 10)
            np.testing.assert_array_equal(line.get_xdata(), curve["rules"])
            np.testing.assert_allclose(line.get_ydata(), curve[name])


def test_the_band_reaches_from_the_mean_of_the_null_to_its_95th_percentile(small):
    axes = panels(figures.heuristics_coverage(small.grid, small.summary, None, ""))[0]
    vertices = axes.collections[0].get_paths()[0].vertices
    for row in at(small, "primary").itertuples():
        heights = vertices[vertices[:, 0] == row.rules, 1]
        assert (heights.min(), heights.max()) == pytest.approx((row.null_mean, row.null_p95))


def test_the_published_value_stands_in_the_primary_panel_alone(small, words):
    figure = figures.heuristics_coverage(small.grid, small.summary, 0.33, "")
    stars = [
        [line.get_xydata().tolist() for line in x.lines if line.get_marker() == "*"] for x in panels(figure)
    ]
    assert stars == [[[[4, 0.33]]], *[[]] * (len(stars) - 1)]
    assert "published: 33.0%" in words(figure)


def test_without_a_published_value_none_is_mentioned(small, words):
    assert "published" not in words(figures.heuristics_coverage(small.grid, small.summary, None, ""))


def test_the_primary_list_is_given_in_numbers(small, words):
    text = words(figures.heuristics_coverage(small.grid, small.summary, 0.33, ""))
    for part in ("in sample 16.3%", "permuted 8.0%, p = 0.012", "out of sample 10.0%", "confidence ≥ 0.3"):
        assert part in text


def test_all_panels_share_an_axis_that_starts_at_zero(small):
    axes = panels(figures.heuristics_coverage(small.grid, small.summary, 0.33, ""))
    assert len({x.get_ylim() for x in axes}) == 1
    assert axes[0].get_ylim()[0] == 0
    assert axes[0].get_ylim()[1] > 0.4


def test_without_a_primary_analysis_the_first_one_is_large_and_has_no_published_value(small, words, problems):
    figure = figures.heuristics_coverage(small.grid, small.summary[1:], 0.33, "")
    assert panels(figure)[0].get_title(loc="left") == "symptom → category"
    assert len(panels(figure)) == len(small.summary) - 1
    assert "published" not in words(figure)
    assert "primary" not in words(figure)
    assert problems(figure) == []


def test_no_analysis_gives_a_page_that_says_so(tmp_path, words, problems):
    nothing = {name: pd.DataFrame(columns=COLUMNS[name]) for name in ("grid", "summary")}
    for name, frame in nothing.items():
        tables.write(frame, tmp_path / f"{name}.csv", title="", note="")
        nothing[name] = tables.read(tmp_path / f"{name}.csv")
    figure = figures.heuristics_coverage(nothing["grid"], nothing["summary"], 0.33, "")
    assert "No attention-specific fault" in words(figure)
    assert problems(figure) == []


def test_a_primary_analysis_without_extensions_is_drawn_alone(small, problems):
    figure = figures.heuristics_coverage(small.grid, small.summary[:1], 0.33, "")
    assert len(panels(figure)) == 1
    assert problems(figure) == []
