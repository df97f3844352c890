import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba

from attention_faults.reporting import figures
from attention_faults.reporting.figures.style import GENERIC, SPECIFIC


def tick_labels(axes):
    return [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]


def expected_names(labels):
    return [label.replace("_", " ") for label in labels]


def rows_of(prevalence, facet):
    chosen = (prevalence["population"] == "all") & (prevalence["facet"] == facet)
    return prevalence[chosen].set_index("label")


@pytest.mark.parametrize("facet", ["scope", "category", "root_cause", "symptom"])
def test_bars_are_as_long_as_the_shares(study, facet):
    axes = figures.label_bars(study.prevalence, facet, "").axes[0]
    rows = rows_of(study.prevalence, facet)
    drawn = pd.Series([bar.get_width() for bar in axes.patches], index=tick_labels(axes))
    rows.index = expected_names(rows.index)
    assert sorted(drawn.index) == sorted(rows.index)
    np.testing.assert_allclose(drawn, rows.loc[drawn.index, "share"])
    assert axes.get_xlim()[0] == 0


def test_bars_carry_counts_shares_and_clustered_intervals(study):
    axes = figures.label_bars(study.prevalence, "category", "").axes[0]
    rows = rows_of(study.prevalence, "category")
    rows.index = expected_names(rows.index)
    rows = rows.loc[tick_labels(axes)]
    assert [text.get_text() for text in axes.texts] == [
        f"{count:,} ({100 * share:.1f}%)" for count, share in zip(rows["count"], rows["share"], strict=True)
    ]
    ends = {}
    for collection in axes.collections:
        assert isinstance(collection, LineCollection)
        for (left, y), (right, _) in collection.get_segments():
            ends[round(y)] = (left, right)
    expected = rows[["clustered_low", "clustered_high"]].to_numpy()
    np.testing.assert_allclose([ends[row] for row in range(len(rows))], expected)


def test_attention_specific_labels_come_first_each_group_by_falling_share(study):
    axes = figures.label_bars(study.prevalence, "category", "").axes[0]
    scope = {name.replace("_", " "): entry.scope for name, entry in study.book.categories.items()}
    specific = [scope[name] == "attention_specific" for name in tick_labels(axes)]
    assert specific == sorted(specific, reverse=True)
    widths = np.array([bar.get_width() for bar in axes.patches])
    for group in (np.array(specific), ~np.array(specific)):
        assert (np.diff(widths[group]) <= 0).all()
    colours = [bar.get_facecolor() for bar in axes.patches]
    # a label that no fault has cannot be told from a generic one, and has no bar
    assert all(
        colour == to_rgba(SPECIFIC if special else GENERIC)
        for colour, special, width in zip(colours, specific, widths, strict=True)
        if width
    )


def test_labels_of_other_facets_keep_their_order(study):
    axes = figures.label_bars(study.prevalence, "symptom", "").axes[0]
    assert tick_labels(axes) == expected_names(study.book.labels("symptom"))


def test_unreliable_intervals_have_a_mark_of_their_own(small):
    axes = figures.label_bars(small.prevalence, "category", "").axes[0]
    marked = [line for line in axes.lines if line.get_marker() == "o"]
    few = rows_of(small.prevalence, "category")["clustered_method"] == "wilson_effective_n"
    assert sum(len(line.get_xdata()) for line in marked) == few.sum() > 0


def test_a_facet_that_no_fault_has_is_said_to_be_empty(small, words):
    assert "No fault has a trigger." in words(figures.label_bars(small.prevalence, "trigger", ""))


def stack_of(axes, rows):
    widths = np.array([bar.get_width() for bar in axes.patches]).reshape(-1, rows)
    lefts = np.array([bar.get_x() for bar in axes.patches]).reshape(-1, rows)
    return widths, lefts


def test_stacks_are_the_shares_of_the_categories_and_fill_the_bar(study, words):
    figure = figures.framework_stack(study.frameworks, "")
    axes = figure.axes[0]
    table = study.frameworks.pivot_table(
        index="framework", columns="category", values="count", aggfunc="sum", fill_value=0, observed=True
    )
    totals = table.sum(axis=1)
    names = tick_labels(axes)
    widths, lefts = stack_of(axes, len(names))
    np.testing.assert_allclose(widths.sum(axis=0), 1)
    np.testing.assert_allclose(lefts[1:], np.cumsum(widths, axis=0)[:-1], atol=1e-12)
    for row, name in enumerate(names[:12]):
        expected = table.loc[name.replace(" ", "_")] / totals[name.replace(" ", "_")]
        np.testing.assert_allclose(widths[:, row], expected)
    assert (
        sum(int(text.get_text().removeprefix("n = ").replace(",", "")) for text in axes.texts) == totals.sum()
    )
    assert all(name in words(figure) for name in expected_names(table.columns))


def test_only_twelve_frameworks_have_a_bar_of_their_own(study):
    names = tick_labels(figures.framework_stack(study.frameworks, "").axes[0])
    frameworks = study.frameworks["framework"].nunique()
    assert len(names) == 13
    assert names[-1] == f"{frameworks - 12} further frameworks"


def test_too_many_categories_are_merged_and_said_to_be(words):
    counts = pd.DataFrame(
        {"framework": "f", "category": [f"c{i:02}" for i in range(30)], "count": range(1, 31)}
    )
    figure = figures.framework_stack(counts, "")
    assert "10 further categories" in words(figure)
    widths, _ = stack_of(figure.axes[0], 1)
    np.testing.assert_allclose(widths[-1, 0], sum(range(1, 11)) / sum(range(1, 31)))


def test_datasets_are_compared_by_their_shares(study, words):
    figure = figures.dataset_comparison(study.comparison, "")
    above, below = figure.axes
    datasets = study.comparison["dataset"].unique()
    assert all(name.replace("_", " ") in words(figure) for name in datasets)
    comparison = study.comparison
    for axes, population, facet in ((above, "all", "scope"), (below, "attention_specific", "category")):
        rows = comparison[(comparison["population"] == population) & (comparison["facet"] == facet)]
        if facet == "scope":
            rows = rows[rows["label"] == "attention_specific"]
        points = [line for line in axes.lines if line.get_marker() not in ("|", "None", "")]
        assert len(points) == len(datasets)
        for line, dataset in zip(points, datasets, strict=True):
            ours = rows[rows["dataset"] == dataset]
            np.testing.assert_allclose(line.get_xdata(), ours["share"])
        assert tick_labels(axes) == expected_names(rows["label"].unique())


def test_points_of_datasets_in_one_row_do_not_coincide(large):
    below = figures.dataset_comparison(large.comparison, "").axes[1]
    heights = [line.get_ydata()[0] for line in below.lines if line.get_marker() not in ("|", "None", "")]
    assert len(set(heights)) == 9
    assert max(np.abs(heights)) < 0.5
