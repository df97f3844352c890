"""Figures of one faulty run, from synthetic evidence."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from support.evidence import BLOCKS, made_up, without

from attention_faults.localisation import example
from attention_faults.reporting import figures, tables
from attention_faults.reporting.figures.style import VERMILLION

NOTE = "Synthetic runs, made for a test. " * 6
DRAWN = {
    name: getattr(figures, name) for name in ("example_scores", "example_interactions", "example_densities")
}


@pytest.fixture(scope="module")
def study():
    """Frames of a faulty run: scores, interactions, and densities made up on the spot."""
    evidence = made_up("distilbert", shift=20)
    row = int(np.flatnonzero(evidence.runs["kind"] == "faulty")[0])
    scores = example.scores(without(evidence, "weight_norm", row), row)
    rows = {example.CLEAN: 0, example.FAULTY: row}
    points = np.linspace(-1, 3, 50)
    about = scores.drop_duplicates("block")[["model", "fault", "seed", "block", "at_fault"]]
    densities = [
        pd.DataFrame(
            {
                **one,
                "state": state,
                "eigenvalue": points * (number + 1),
                "density": np.exp(-0.5 * ((points - peak) / 0.2) ** 2),
            }
        )
        for number, (_, one) in enumerate(about.iterrows())
        for state, peak in ((example.CLEAN, 0), (example.FAULTY, 1))
    ]
    return {
        "example_scores": scores,
        "example_interactions": example.interactions(evidence, rows),
        "example_densities": pd.concat(densities, ignore_index=True),
    }


@pytest.fixture(scope="module")
def faulty(study):
    table = study["example_scores"]
    return list(table.loc[table["at_fault"], "block"].unique())


@pytest.fixture(params=DRAWN)
def name(request):
    return request.param


def mesh_of(axes):
    return next(x for x in axes.collections if isinstance(x, QuadMesh)).get_array()


def framed(axes):
    return {x.get_bbox().bounds for x in axes.patches if x.get_linewidth() > 1 and not x.get_hatch()}


def test_text_is_legible_and_holds_the_note(study, name, problems, words):
    figure = DRAWN[name](study[name], NOTE)
    assert problems(figure) == []
    assert NOTE.strip() in words(figure)
    assert "distilbert with operator0, place0, 1 (seed 200)" in words(figure)


def test_tables_that_were_written_and_read_give_the_same_bytes(study, name, tmp_path):
    tables.write_csv(study[name], tmp_path / "table.csv")
    figures.save(DRAWN[name](study[name], NOTE), tmp_path / "first")
    figures.save(DRAWN[name](tables.read(tmp_path / "table.csv"), NOTE), tmp_path / "second")
    for suffix in ("png", "svg", "pdf"):
        first, second = (tmp_path / f"{x}.{suffix}" for x in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()


def test_study_without_an_example_says_so(study, name, words):
    assert "No faulty run is shown." in words(DRAWN[name](study[name].head(0), ""))


def test_blocks_at_fault_are_framed_and_named_in_bold(study, faulty):
    axes = figures.example_scores(study["example_scores"], "").axes[0]
    width = study["example_scores"]["metric"].nunique()
    assert framed(axes) == {(0, BLOCKS.index(block), width, 1) for block in faulty}
    bold = [x.get_text() for x in axes.get_yticklabels() if x.get_fontweight() == "bold"]
    assert sorted(x.split(" ")[1] for x in bold) == sorted(faulty)


def test_the_three_most_suspect_blocks_of_a_metric_are_numbered(study):
    axes = figures.example_scores(study["example_scores"], "").axes[0]
    table = study["example_scores"].pivot(index="block", columns="metric", values="score")
    metrics = list(study["example_scores"]["metric"].unique())
    drawn = {}
    for text in axes.texts:
        x, y = text.get_position()
        drawn[metrics[int(x)], int(text.get_text())] = BLOCKS[int(y)]
    for metric in metrics:
        if metric != "weight_norm":
            order = table[metric].sort_values(ascending=False).index[:3]
            assert [drawn[metric, place] for place in (1, 2, 3)] == list(order)


def test_undefined_scores_are_drawn_without_colour_and_number(study):
    axes = figures.example_scores(study["example_scores"], "").axes[0]
    column = list(study["example_scores"]["metric"].unique()).index("weight_norm")
    assert np.ma.getmaskarray(mesh_of(axes))[:, column].all()
    assert not np.delete(np.ma.getmaskarray(mesh_of(axes)), column, axis=1).any()
    assert column not in {int(text.get_position()[0]) for text in axes.texts}


def test_matrices_are_clean_faulty_and_their_difference(study, faulty):
    clean, broken, difference = figures.example_interactions(study["example_interactions"], "").axes[:3]
    table = study["example_interactions"].pivot(
        index=["state", "block"], columns="partner", values="interaction"
    )
    for axes, state in ((clean, "clean"), (broken, "faulty")):
        expected = table.loc[state].loc[list(BLOCKS), list(BLOCKS)].to_numpy()
        np.testing.assert_allclose(mesh_of(axes).filled(np.nan), expected)
    np.testing.assert_allclose(
        mesh_of(difference).filled(np.nan), (mesh_of(broken) - mesh_of(clean)).filled(np.nan)
    )
    places = [BLOCKS.index(block) for block in faulty]
    bands = {(0, place, len(BLOCKS), 1) for place in places} | {
        (place, 0, 1, len(BLOCKS)) for place in places
    }
    assert all(framed(axes) == bands for axes in (clean, broken, difference))


def test_what_is_clearly_weaker_in_the_faulty_run_is_hatched(study):
    swapped = study["example_interactions"].replace({"state": {"clean": "faulty", "faulty": "clean"}})
    axes = figures.example_interactions(swapped, "").axes[2]
    difference = mesh_of(axes).filled(0)
    hatched = {(int(x.get_y()), int(x.get_x())) for x in axes.patches if x.get_hatch()}
    assert hatched == set(zip(*np.nonzero(difference < -0.1 * np.abs(difference).max()), strict=True))
    assert hatched


def test_run_whose_curvature_was_refused_has_matrices_without_colour(study, problems):
    table = study["example_interactions"].assign(interaction=np.nan)
    figure = figures.example_interactions(table, "")
    assert all(np.ma.getmaskarray(mesh_of(axes)).all() for axes in figure.axes[:3])
    assert problems(figure) == []


def test_spectra_of_blocks_at_fault_come_first_then_the_widest_of_others(study, faulty):
    panels = figures.example_densities(study["example_densities"], "").axes[1:]
    titles = [axes.get_title(loc="left") for axes in panels]
    widest = [block for block in reversed(BLOCKS) if block not in faulty][:2]
    assert [title.split(" ")[1] for title in titles[:2]] == [f"{block}:" for block in faulty]
    assert titles[2:] == [f"{block}: healthy" for block in widest]
    colours = [axes._left_title.get_color() for axes in panels]
    assert colours[:2] == [VERMILLION] * 2
    assert VERMILLION not in colours[2:]


def test_both_states_of_a_block_share_a_panel(study, faulty):
    table = study["example_densities"]
    axes = figures.example_densities(table, "").axes[1]
    for line, state in zip(axes.lines, ("clean", "faulty"), strict=False):
        part = table[(table["block"] == faulty[0]) & (table["state"] == state)]
        assert line.get_xdata().tolist() == part["eigenvalue"].tolist()
        visible = part["density"].to_numpy() > 1e-10
        np.testing.assert_allclose(np.asarray(line.get_ydata())[visible], part["density"][visible])
