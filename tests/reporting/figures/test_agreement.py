import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgba

from attention_faults.reporting import figures
from attention_faults.reporting.figures.style import FAINT

MEASURES = ["percent_agreement", "cohen_kappa", "krippendorff_alpha", "fleiss_kappa"]


def test_points_are_the_values_of_each_facet_and_phase(study):
    figure = figures.agreement_dots(study.agreement, "")
    phases = study.agreement["phase"].unique()
    assert [axes.get_title(loc="left") for axes in figure.axes] == [x.replace("_", " ") for x in phases]
    for axes, phase in zip(figure.axes, phases, strict=True):
        points = [line for line in axes.lines if line.get_marker() not in ("|", "None", "")]
        for line, measure in zip(points, MEASURES, strict=True):
            ours = study.agreement[
                (study.agreement["phase"] == phase) & (study.agreement["measure"] == measure)
            ]
            np.testing.assert_allclose(line.get_xdata(), ours["value"])
            np.testing.assert_array_equal(np.round(line.get_ydata()), np.arange(len(ours)))


def test_the_axis_shows_zero_one_and_what_is_below_zero(study):
    low, high = figures.agreement_dots(study.agreement, "").axes[0].get_xlim()
    assert low < study.agreement["low"].min() < 0
    assert high >= 1
    positive = study.agreement[study.agreement["measure"] == "percent_agreement"]
    assert figures.agreement_dots(positive, "").axes[0].get_xlim()[0] == 0


def test_undefined_measures_are_named_beside_their_facet(small):
    axes = figures.agreement_dots(small.agreement, "").axes[0]
    assert [text.get_text() for text in axes.texts][:2] == [
        "n = 1,234\nno Krippendorff's alpha\nno Fleiss' kappa",
        "n = 1,234",
    ]


def test_ratings_of_nothing_are_said_to_be_none(small, words):
    assert "No record is rated." in words(figures.agreement_dots(small.agreement[:0], ""))


def table_of(axes):
    table = np.zeros((len(axes.get_yticks()), len(axes.get_xticks())))
    for text in axes.texts:
        x, y = text.get_position()
        table[int(y), int(x)] = int(text.get_text().replace(",", ""))
    return table


@pytest.mark.parametrize("ordered", [True, False])
def test_confusion_is_counted_in_its_cells(study, ordered):
    order = study.book.labels("root_cause") if ordered else None
    axes = figures.confusion_heatmap(study.confusion, "root_cause", "pilot", "", order=order).axes[0]
    names = [tick.get_text().replace("\n", " ") for tick in axes.get_yticklabels()]
    counts = study.confusion.pivot(index="first", columns="second", values="count").fillna(0)
    expected = [x for x in (order or sorted(counts.index)) if x in counts.index or x in counts.columns]
    assert names == [x.replace("_", " ") for x in expected]
    assert [tick.get_text().replace("\n", " ") for tick in axes.get_xticklabels()] == names
    np.testing.assert_array_equal(table_of(axes), counts.reindex(index=expected, columns=expected).fillna(0))


def test_agreement_is_grey_and_what_never_occurs_white():
    confusion = pd.DataFrame(
        {"phase": "p", "facet": "f", "first": ["a", "a", "b"], "second": ["a", "b", "b"], "count": [5, 2, 7]}
    )
    axes = figures.confusion_heatmap(confusion, "f", "p", "").axes[0]
    mesh = next(x for x in axes.collections if isinstance(x, QuadMesh))
    colours = [[tuple(cell) for cell in row] for row in np.asarray(mesh.get_array())]
    assert colours[0][0] == colours[1][1] == to_rgba(FAINT)
    assert colours[1][0] == to_rgba("white")
    assert colours[0][1] not in (to_rgba(FAINT), to_rgba("white"))


def test_a_facet_without_pairs_is_said_to_be_empty(small, words):
    figure = figures.confusion_heatmap(small.confusion, "trigger", "pilot", "")
    assert "No record has two ratings of its trigger." in words(figure)
