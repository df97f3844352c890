"""The funnel shows every stage, every reason that dropped a thread, and how complete the queries are."""

import pandas as pd
import pytest

from attention_faults.reporting.figures import funnel_bars

NOTE = "12 queries found 150 threads and fetched 100: 50 are out of reach (truncated). " * 3


@pytest.fixture
def counts():
    rows = [
        ("found", "", 100), ("found", "same_url", 20), ("found", "cross_post", 0),
        ("found", "near_duplicate", 5),
        ("deduplicated", "", 75), ("deduplicated", "bot", 25), ("screened", "", 50),
        ("screened", "not_drawn", 40), ("sampled", "", 10),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["stage", "reason", "all"])


def test_bars_hang_from_the_stage_before(counts):
    figure = funnel_bars(counts, NOTE)
    (axes,) = figure.axes
    there, dropped = axes.containers
    assert [bar.get_width() for bar in there] == [100, 75, 50, 10]
    assert [(bar.get_x(), bar.get_width()) for bar in dropped] == [(80, 20), (75, 5), (50, 25), (10, 40)]
    assert [text.get_text() for text in axes.texts] == ["100", "20", "5", "75", "25", "50", "40", "10"]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [
        "Found",
        "same url",
        "near duplicate",
        "Deduplicated",
        "bot",
        "Screened",
        "not drawn",
        "Sampled",
    ]


def test_millions_are_written_out(counts):
    figure = funnel_bars(counts.assign(all=counts["all"] * 50_000), NOTE)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert "4,000,000" in [label.get_text() for label in axes.get_xticklabels()]
    assert axes.xaxis.get_offset_text().get_text() == ""


def test_the_note_on_completeness_is_drawn_and_all_is_legible(counts, problems, words):
    figure = funnel_bars(counts, NOTE)
    assert "50 are out of reach (truncated)" in words(figure)
    assert "From 100 threads found to 10 to label" in words(figure)
    assert problems(figure) == []


def test_nothing_found_is_drawn_too(counts, problems):
    assert problems(funnel_bars(counts.assign(all=0), NOTE)) == []
