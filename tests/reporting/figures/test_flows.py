import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import PathPatch, Rectangle

from attention_faults.reporting import figures
from attention_faults.reporting.figures.style import SPECIFIC


def ribbons(axes):
    """Left and right edges (top, bottom) of every band, and whether it has the attention-specific colour."""
    return pd.DataFrame(
        [
            {
                "left_top": corners[0][1],
                "right_top": corners[3][1],
                "right_bottom": corners[4][1],
                "left_bottom": corners[7][1],
                "specific": to_rgb(patch.get_facecolor()) == to_rgb(SPECIFIC),
            }
            for patch in axes.patches
            if isinstance(patch, PathPatch)
            for corners in [patch.get_path().vertices]
        ]
    )


def nodes(axes):
    return [x for x in axes.patches if isinstance(x, Rectangle)]


@pytest.fixture
def axes(study):
    return figures.alluvial(study.records, "symptom", "category", "").axes[0]


def test_bands_are_as_thick_as_their_share_of_the_faults(study, axes):
    bands = ribbons(axes)
    counts = pd.crosstab(study.records["symptom"], study.records["category"]).stack()
    counts = counts[counts > 0]
    thickness = bands["left_bottom"] - bands["left_top"]
    np.testing.assert_allclose(thickness, bands["right_bottom"] - bands["right_top"])
    np.testing.assert_allclose(thickness, counts / counts.sum() * thickness.sum())


def test_bands_fill_every_node_without_overlap(study, axes):
    bands = ribbons(axes)
    for side, rectangles in (
        ("left", nodes(axes)[: study.records["symptom"].nunique()]),
        ("right", nodes(axes)[study.records["symptom"].nunique() :]),
    ):
        ordered = bands.sort_values([f"{side}_top", f"{side}_bottom"])
        for node in rectangles:
            low, high = sorted((node.get_y(), node.get_y() + node.get_height()))
            inside = ordered[
                (ordered[f"{side}_top"] >= low - 1e-9) & (ordered[f"{side}_bottom"] <= high + 1e-9)
            ]
            edges = [*inside[f"{side}_top"], high]
            np.testing.assert_allclose(edges[0], low)
            np.testing.assert_allclose(edges[1:], inside[f"{side}_bottom"])


def test_nodes_stand_in_codebook_order_with_their_counts(study, axes):
    texts = [" ".join(text.get_text().split()) for text in axes.texts][:-2]
    expected = [
        f"{label.replace('_', ' ')} {count:,}"
        for column in ("symptom", "category")
        for label, count in study.records[column].value_counts(sort=False).items()
        if count
    ]
    assert texts == expected
    heights = [node.get_y() for node in nodes(axes)[: study.records["symptom"].nunique()]]
    assert heights == sorted(heights)


def test_bands_of_a_label_are_split_by_scope(large):
    records = large.records.assign(framework=large.records["framework"].astype("category"))
    bands = ribbons(figures.alluvial(records, "symptom", "framework", "").axes[0])
    counts = records.groupby(["symptom", "framework", "scope"], observed=True).size()
    assert len(bands) == len(counts)
    share = (bands["left_bottom"] - bands["left_top"]).groupby(bands["specific"]).sum()
    expected = counts.groupby("scope", observed=True).sum() / counts.sum()
    np.testing.assert_allclose(share[True] / share.sum(), expected["attention_specific"])


def test_records_without_a_label_are_left_out_and_not_counted(small, words):
    records = small.records.assign(symptom=small.records["symptom"].where(np.arange(60) % 3 > 0))
    assert "Symptom and category of 40 faults" in words(figures.alluvial(records, "symptom", "category", ""))


def test_nothing_to_draw_is_said(small, words):
    records = small.records.assign(symptom=small.records["symptom"].where([False] * 60))
    figure = figures.alluvial(records, "symptom", "category", "Note")
    assert "No fault has both a symptom and a category." in words(figure)
