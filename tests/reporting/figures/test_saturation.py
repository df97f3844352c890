import numpy as np
import pandas as pd
import pytest

from attention_faults.labelling import saturation
from attention_faults.reporting import figures

FACETS = ["category", "symptom"]


@pytest.fixture(scope="module")
def records():
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "project": rng.choice([f"p{n}" for n in range(20)], 80),
            "category": pd.Categorical(rng.choice(list("abcde"), 80)),
            "symptom": pd.Categorical(rng.choice(list("xyz"), 80, p=[0.9, 0.08, 0.02])),
        }
    )


@pytest.fixture(scope="module")
def frames(records):
    curves = saturation.accumulation_of(records, FACETS, orders=50, level=0.9, seed=1)
    return curves, saturation.richness(records, FACETS, 0.9)


def test_each_facet_has_its_curve_that_ends_at_all_its_labels(records, frames):
    drawn = figures.accumulation_curves(*frames, "Synthetic.").axes
    assert len(drawn) == len(FACETS)
    for axes, facet in zip(drawn, FACETS, strict=True):
        curve, estimate = axes.lines
        expected = frames[0][frames[0]["facet"] == facet]
        np.testing.assert_allclose(curve.get_xdata(), np.arange(1, 81))
        np.testing.assert_allclose(curve.get_ydata(), expected["mean"])
        assert curve.get_ydata()[-1] == pytest.approx(records[facet].nunique())
        row = frames[1][(frames[1]["facet"] == facet) & (frames[1]["unit"] == "project")].iloc[0]
        assert set(estimate.get_ydata()) == {row["estimate"]}
        assert axes.get_title(loc="left") == f"{facet}: {row['observed']} seen, Chao1 {row['estimate']:.1f}"
        assert axes.get_ylim()[0] == 0


def test_the_band_is_that_of_the_table(frames):
    axes = figures.accumulation_curves(*frames, "").axes[0]
    band = axes.collections[0].get_paths()[0].vertices
    curve = frames[0][frames[0]["facet"] == FACETS[0]]
    assert band[:, 1].min() == curve["low"].min()
    assert band[:, 1].max() == curve["high"].max()


def test_nothing_to_draw_is_said(frames, words):
    figure = figures.accumulation_curves(frames[0].head(0), frames[1].head(0), "")
    assert "No record has a label." in words(figure)
