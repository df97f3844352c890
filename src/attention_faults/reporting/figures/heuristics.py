"""How much diagnostic heuristics explain, and how much of it is real."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.style import BLUE, FAINT, GREY, ORANGE, VERMILLION, readable

PRIMARY = "primary"
COLUMNS = 3  # of small panels
IN_SAMPLE: dict[str, Any] = {"color": BLUE, "marker": "o", "ms": 3.5, "lw": 1.3}
OUT_OF_SAMPLE: dict[str, Any] = {
    "color": ORANGE, "marker": "s", "ms": 3.5, "mec": "black", "mew": 0.4, "lw": 1.3, "ls": "--"
}  # fmt: skip
NULL: dict[str, Any] = {"color": GREY, "lw": 1.2, "ls": ":"}
PUBLISHED: dict[str, Any] = {
    "color": VERMILLION,
    "marker": "*",
    "ms": 11,
    "mec": "black",
    "mew": 0.5,
    "ls": "none",
}


@style.styled
def heuristics_coverage(
    grid: pd.DataFrame, summary: pd.DataFrame, published: float | None, note: str
) -> Figure:
    """Coverage by number of rules, in and out of sample, beside what permuted causes give.

    The large panel is the first analysis, with the intervals of its list, and the published value where it is
    the primary analysis; each other analysis has a small panel. Every panel is at the confidence threshold of
    its row of the summary.

    Args:
        grid: as from `taxonomy.heuristics.derive`.
        summary: of the same analyses.
        published: coverage stated for as many rules as the primary analysis has, as a share; None if none is.
        note: shown below.
    """
    title = "Faults that heuristics explain"
    if summary.empty:
        return style.nothing(title, "No attention-specific fault has a label to start from.", note)
    first, others = summary.iloc[0], summary.iloc[1:]
    is_primary = first["analysis"] == PRIMARY
    comparable = published if is_primary else None
    rows = -(-len(others) // COLUMNS)
    figure = style.page(2.6 + 1.75 * rows, title, note)
    cells = figure.add_gridspec(1 + rows, COLUMNS, height_ratios=[1.6, *[1] * rows])
    main = figure.add_subplot(cells[0, :2])
    _panel(main, grid, first)
    main.set_title(_question(first, " ") + (" (primary analysis)" if is_primary else ""))
    _mark_list(main, first, comparable)
    main.set_xlabel("number of rules")
    main.set_ylabel("share of attention-specific faults")
    for number, (_, other) in enumerate(others.iterrows()):
        axes = figure.add_subplot(cells[1 + number // COLUMNS, number % COLUMNS], sharex=main, sharey=main)
        _panel(axes, grid, other)
        axes.set_title(_question(other, "\n"), fontsize=style.SMALL)
        axes.tick_params(labelleft=number % COLUMNS == 0, labelbottom=number + COLUMNS >= len(others))
    main.set_ylim(bottom=0)
    _explain(figure.add_subplot(cells[0, 2]), first, comparable)
    return figure


def _panel(axes: Axes, grid: pd.DataFrame, analysis: pd.Series) -> None:
    of_analysis = (grid["analysis"] == analysis["analysis"]).to_numpy()
    curve = grid[of_analysis & np.isclose(grid["min_confidence"], analysis["min_confidence"])].sort_values(
        "rules"
    )
    axes.fill_between(curve["rules"], curve["null_mean"], curve["null_p95"], color=FAINT, linewidth=0)
    axes.plot(curve["rules"], curve["null_mean"], **NULL)
    axes.plot(curve["rules"], curve["out_of_sample_coverage"], clip_on=False, **OUT_OF_SAMPLE)
    axes.plot(curve["rules"], curve["coverage"], clip_on=False, **IN_SAMPLE)
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _question(analysis: pd.Series, separator: str) -> str:
    antecedents = readable(analysis["antecedents"].replace("/", ", "), 38)
    return f"{antecedents}{separator}→ {readable(analysis['consequent'])}"


def _mark_list(axes: Axes, analysis: pd.Series, published: float | None) -> None:
    """Intervals of an analysis' list, and the published value."""
    for name, mark in (("coverage", IN_SAMPLE), ("out_of_sample_coverage", OUT_OF_SAMPLE)):
        ends = [f"{name.removesuffix('_coverage')}_{end}" for end in ("low", "high")]
        low, high = (abs(analysis[end] - analysis[name]) for end in ends)
        axes.errorbar(
            analysis["rules"], analysis[name], yerr=[[low], [high]], color=mark["color"], capsize=3, lw=1.3
        )
    if published is not None:
        axes.plot(analysis["rules"], published, **PUBLISHED)
        axes.annotate(
            f"published: {published:.1%}",
            (analysis["rules"], published),
            (9, 0),
            textcoords="offset points",
            va="center",
        )


def _explain(axes: Axes, analysis: pd.Series, published: float | None) -> None:
    """Legend, and an analysis' list in numbers."""
    axes.axis("off")
    handles = [
        Line2D([], [], **IN_SAMPLE, label="in sample"),
        Line2D([], [], **OUT_OF_SAMPLE, label="out of sample"),
        Line2D([], [], **NULL, label="permuted causes, mean"),
        style.patch(FAINT, "… up to 95th percentile"),
    ]
    if published is not None:
        handles.append(Line2D([], [], **PUBLISHED, label="published"))
    axes.legend(handles=handles, loc="upper left", borderaxespad=0)
    numbers = [
        f"Large panel at {analysis['rules']} rules",
        f"(found: {analysis['rules_found']}):",
        f"in sample {analysis['coverage']:.1%}",
        f"permuted {analysis['null_mean']:.1%}, p = {analysis['p']:.2g}",
        f"out of sample {analysis['out_of_sample_coverage']:.1%}",
        f"confidence ≥ {analysis['min_confidence']:g}",
    ]
    axes.text(0, 0, "\n".join(numbers), va="bottom", fontsize=style.SMALL, linespacing=1.4)
