import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.patches import Rectangle

from attention_faults.reporting import figures


@pytest.fixture(scope="module")
def heatmap(study):
    return figures.association_heatmap(
        study.cells, "symptom", "root_cause", "", groups=study.book.category_of, level=0.95
    )


def labels(ticks):
    return [tick.get_text().replace("\n", " ") for tick in ticks]


def tables(study):
    wide = study.cells.pivot(index="outcome_label", columns="facet_label")
    rows = [x for x in study.book.labels("root_cause") if x in wide.index]
    columns = [x for x in study.book.labels("symptom") if x in wide["support"].columns]
    return {name: wide[name].loc[rows, columns] for name in ("support", "adjusted_residual", "p_bh")}


def test_colours_are_the_residuals_with_zero_in_the_middle(study, heatmap):
    axes = heatmap.axes[0]
    mesh = next(x for x in axes.collections if isinstance(x, QuadMesh))
    residual = tables(study)["adjusted_residual"]
    np.testing.assert_allclose(mesh.get_array(), residual)
    assert mesh.norm.vmin == -mesh.norm.vmax
    assert labels(axes.get_yticklabels()) == [x.replace("_", " ") for x in residual.index]
    assert labels(axes.get_xticklabels()) == [x.replace("_", " ") for x in residual.columns]


def test_cells_hold_their_counts_unless_zero(study, heatmap):
    axes = heatmap.axes[0]
    support = tables(study)["support"]
    drawn = np.zeros(support.shape)
    for text in (x for x in axes.texts if x.get_text().isdigit()):
        x, y = text.get_position()
        drawn[int(y), int(x)] = int(text.get_text())
    np.testing.assert_array_equal(drawn, support)


def test_significant_cells_are_framed(study, heatmap):
    axes = heatmap.axes[0]
    framed = {
        (int(x.get_y()), int(x.get_x()))
        for x in axes.patches
        if isinstance(x, Rectangle) and x.get_linewidth() and not x.get_hatch()
    }
    assert framed == set(zip(*np.nonzero(tables(study)["p_bh"].to_numpy() < 0.05), strict=True))


def test_negative_cells_have_a_hatch_that_greyscale_shows(study, heatmap):
    axes = heatmap.axes[0]
    hatched = {(int(x.get_y()), int(x.get_x())) for x in axes.patches if x.get_hatch()}
    residual = tables(study)["adjusted_residual"].to_numpy()
    assert hatched == set(zip(*np.nonzero(residual < -2), strict=True))


def test_rows_of_a_category_stand_under_its_name(study, heatmap, words):
    text = words(heatmap)
    shown = {study.book.category_of[x] for x in study.cells["outcome_label"]}
    assert all(name.replace("_", " ") in text for name in shown)


def test_a_cell_without_residual_is_drawn_without_colour(small):
    cells = small.cells.assign(adjusted_residual=np.nan)
    axes = figures.association_heatmap(cells, "symptom", "root_cause", "").axes[0]
    mesh = next(x for x in axes.collections if isinstance(x, QuadMesh))
    assert np.ma.getmaskarray(mesh.get_array()).all()


def test_cells_of_two_samples_are_refused(small):
    with pytest.raises(ValueError, match="duplicate"):
        figures.association_heatmap(pd.concat([small.cells] * 2), "symptom", "root_cause", "")


def test_a_facet_without_cells_is_said_to_be_empty(small, words):
    figure = figures.association_heatmap(small.cells, "trigger", "root_cause", "")
    assert "No fault has both a trigger and a root cause." in words(figure)
