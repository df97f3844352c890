"""The taxonomy as a tree."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path

from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.style import (
    CHARACTER,
    FAINT,
    GENERIC,
    GREY,
    LINE,
    SMALL,
    SPECIFIC,
    WIDTH,
    readable,
)
from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC, Codebook

# inches: left edge and width of the columns
ROOT, SCOPE, CATEGORY = (0.06, 0.62), (0.98, 1.02), (2.3, 1.36)
CAUSE, BARS = 3.98, 5.72
CAUSE_WIDTH = 30  # characters


@dataclass(frozen=True)
class _Layout:
    """Middle of each node, inches from above."""

    scopes: dict[str, float]
    categories: dict[str, float]
    causes: dict[str, float]
    height: float


@style.styled
def taxonomy_tree(prevalence: pd.DataFrame, codebook: Codebook, note: str) -> Figure:
    """Draw the tree scope -> category -> root cause with the number of faults of each.

    Args:
        prevalence: as from `taxonomy.prevalence.measure`, of records with this codebook.
        codebook: whose order the tree follows.
        note: shown below.
    """
    rows = prevalence[prevalence["population"] == "all"]
    counts = {
        str(facet): dict(zip(part["label"], part["count"], strict=True))
        for facet, part in rows.groupby("facet")
    }
    n = sum(counts["scope"].values())
    layout = _arrange(codebook)
    figure = style.page(layout.height, "Taxonomy: scope, category and root cause", note)
    axes = style.canvas(figure)
    middle = float(np.mean(list(layout.scopes.values())))
    _box(axes, ROOT, middle, f"all faults\n{n:,}", "black")
    for scope, y in layout.scopes.items():
        count = counts["scope"][scope]
        _branch(axes, (sum(ROOT), middle), (SCOPE[0], y), count / max(n, 1), _colour(scope))
        _box(axes, SCOPE, y, f"{readable(scope, 16)}\n{_counted(count, n)}", _colour(scope))
    for category, y in layout.categories.items():
        scope, count = codebook.categories[category].scope, counts["category"][category]
        _branch(axes, (sum(SCOPE), layout.scopes[scope]), (CATEGORY[0], y), count / max(n, 1), _colour(scope))
        _box(axes, CATEGORY, y, f"{readable(category, 20)}\n{_counted(count, n)}", _colour(scope))
    for cause, y in layout.causes.items():
        category = codebook.category_of[cause]
        share, colour = counts["root_cause"][cause] / max(n, 1), _colour(codebook.categories[category].scope)
        _branch(axes, (sum(CATEGORY), layout.categories[category]), (CAUSE, y), share, colour)
    _leaves(axes, layout.causes, codebook, counts["root_cause"], n)
    return figure


def _arrange(codebook: Codebook) -> _Layout:
    """Place root causes below one another, and each parent in the middle of its children."""
    pitch = {cause: style.pitch([readable(cause, CAUSE_WIDTH)]) for cause in codebook.category_of}
    layout = _Layout({}, {}, {}, 0)
    y = 0.05
    for scope in codebook.scopes:
        members = {name: entry for name, entry in codebook.categories.items() if entry.scope == scope}
        top = y
        for name, entry in members.items():
            pitches = np.array([pitch[cause] for cause in entry.root_causes])
            height = max(pitches.sum(), _box_height(readable(name, 20) + "\n"))
            places = y + (height - pitches.sum()) / 2 + np.cumsum(pitches) - pitches / 2
            layout.categories[name] = y + height / 2
            layout.causes.update(zip(entry.root_causes, places, strict=True))
            y += height + 0.07
        y = max(y, top + _box_height(readable(scope, 16) + "\n")) + 0.1
        layout.scopes[scope] = (top + y - 0.17) / 2
    return _Layout(layout.scopes, layout.categories, layout.causes, y)


def _leaves(axes: Axes, places: dict[str, float], codebook: Codebook, counts: dict[str, int], n: int) -> None:
    """Name root causes, with a bar of their count."""
    texts = {cause: _counted(counts[cause], n) for cause in places}
    longest = WIDTH - BARS - CHARACTER * max(map(len, texts.values())) - 0.1
    most = max(*counts.values(), 1)
    for cause, y in places.items():
        colour = _colour(codebook.categories[codebook.category_of[cause]].scope)
        length = longest * counts[cause] / most
        edge = 0.3 if counts[cause] else 0
        axes.add_patch(
            Rectangle((BARS, y - 0.05), length, 0.1, facecolor=colour, edgecolor="black", linewidth=edge)
        )
        for x, text in ((CAUSE + 0.04, readable(cause, CAUSE_WIDTH)), (BARS + length + 0.05, texts[cause])):
            ink = "black" if counts[cause] else GREY
            axes.text(x, y, text, fontsize=SMALL, va="center", color=ink)


def _box_height(text: str) -> float:
    return LINE * (text.count("\n") + 1) + 0.1


def _box(axes: Axes, column: tuple[float, float], y: float, text: str, colour: str) -> None:
    left, width = column
    height = _box_height(text)
    outline = FancyBboxPatch(
        (left, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.05",
        fc="white",
        ec=colour,
        lw=1.2,
    )
    axes.add_patch(outline)
    axes.text(left + width / 2, y, text, fontsize=SMALL, ha="center", va="center")


def _branch(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], share: float, colour: str
) -> None:
    """Curve between two nodes, the thicker the larger the share of faults; grey where there are none."""
    middle = (start[0] + end[0]) / 2
    path = Path([start, (middle, start[1]), (middle, end[1]), end], [Path.MOVETO, *[Path.CURVE4] * 3])
    colour = colour if share else FAINT
    axes.add_patch(PathPatch(path, fill=False, ec=colour, lw=0.6 + 10 * share, alpha=0.7, zorder=0))


def _colour(scope: str) -> str:
    return SPECIFIC if scope == ATTENTION_SPECIFIC else GENERIC


def _counted(count: int, n: int) -> str:
    return f"{count:,} ({count / max(n, 1):.1%})"
