import re
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from attention_faults.reporting import figures
from attention_faults.reporting.figures import style

FORMATS = ["pdf", "png", "svg"]

# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB
VISIONS = {
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "greyscale": [[0.2126, 0.7152, 0.0722]] * 3,
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def seen(colour: str, vision: str) -> np.ndarray:
    """Colour as somebody with a colour blindness sees it, in RGB as displayed."""
    return np.clip(np.array(VISIONS[vision]) @ linear(colour), 0, 1) ** (1 / 2.4)


def test_every_text_is_inside_of_the_figure_legible_and_free_of_others(study, draw, problems):
    assert problems(draw(study)) == []


def test_every_figure_carries_its_note(small, draw, words):
    assert " ".join(["Synthetic records, made for a test."] * 6) in words(draw(small))


def test_two_processes_write_the_same_bytes(tmp_path):
    code = f"""
import runpy, sys
names = runpy.run_path({str(Path(__file__).with_name("conftest.py"))!r})
study = names["STUDIES"]["small"]()
for name, draw in names["DRAWINGS"].items():
    names["figures"].save(draw(study), f"{{sys.argv[1]}}/{{name}}")
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path / seed], env={"PYTHONHASHSEED": seed})
        for seed in ("1", "2")
    ]
    assert [process.wait() for process in processes] == [0, 0]
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / seed).iterdir()} for seed in ("1", "2")
    )
    assert len(first) == 27
    assert first == second


@pytest.fixture(scope="module")
def saved(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figure")
    figures.save(figures.label_bars(small.prevalence, "category", "Note"), folder / "bars.png")
    return {path.suffix[1:]: path.read_bytes() for path in folder.iterdir()}


def test_a_figure_is_saved_in_three_formats(saved):
    assert sorted(saved) == FORMATS


@pytest.mark.parametrize("suffix", FORMATS)
def test_files_hold_no_date_and_no_version(saved, suffix):
    assert not re.search(rb"Date|[Mm]atplotlib v|\d{4}-\d\d-\d\dT|Software|Producer", saved[suffix])


def test_fonts_are_embedded(saved):
    assert b"/FontFile2" in saved["pdf"]
    assert b"/Type3" not in saved["pdf"]
    assert b"<text" not in saved["svg"]
    assert not re.search(rb'href="http|url\(http|@import', saved["svg"])


def test_the_users_settings_change_nothing(saved, small, tmp_path):
    with mpl.rc_context(
        {"font.size": 20, "savefig.dpi": 50, "svg.hashsalt": "mine", "axes.facecolor": "red"}
    ):
        figures.save(figures.label_bars(small.prevalence, "category", "Note"), tmp_path / "bars")
    assert {path.suffix[1:]: path.read_bytes() for path in tmp_path.iterdir()} == saved


def test_drawing_leaves_the_users_settings_alone(small):
    before = dict(mpl.rcParams)
    figures.label_bars(small.prevalence, "category", "Note")
    assert dict(mpl.rcParams) == before


@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_text_in_a_cell_has_the_better_contrast_of_black_and_white(colour):
    luminance = linear(colour) @ [0.2126, 0.7152, 0.0722]
    on_black, on_white = (luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)
    contrast = {"black": on_black, "white": on_white}
    assert contrast[style.ink(colour)] >= 0.99 * max(contrast.values())


@pytest.mark.parametrize("vision", ["deuteranopia", "protanopia"])
def test_colours_of_the_palette_differ_for_the_colour_blind(vision):
    colours = np.array([seen(colour, vision) for colour in style.PALETTE])
    distances = np.linalg.norm(colours[:, None] - colours[None, :], axis=2)
    assert distances[~np.eye(len(colours), dtype=bool)].min() > 0.09


@pytest.mark.parametrize("vision", VISIONS)
def test_attention_specific_and_generic_differ_in_every_vision(vision):
    assert np.linalg.norm(seen(style.SPECIFIC, vision) - seen(style.GENERIC, vision)) > 0.3


def test_colours_of_the_two_signs_of_a_residual_differ_for_the_colour_blind():
    ends = [mpl.colors.to_hex(style.DIVERGING(x)) for x in (0.0, 1.0)]
    assert np.linalg.norm(seen(ends[0], "deuteranopia") - seen(ends[1], "deuteranopia")) > 0.3


def test_labels_occur_in_the_order_of_their_categorical_else_of_their_rows():
    labels = ["b", "a", "b"]
    assert style.in_order(pd.Series(labels)) == ["b", "a"]
    assert style.in_order(pd.Series(pd.Categorical(labels, categories=["a", "x", "b"]))) == ["a", "b"]


def test_a_label_is_broken_even_without_spaces():
    assert max(map(len, style.readable("x" * 100).splitlines())) == 30


def test_a_page_has_one_canvas():
    figure = style.page(1, "Title", "Note")
    style.canvas(figure)
    with pytest.raises(ValueError, match="one canvas"):
        style.canvas(figure)
