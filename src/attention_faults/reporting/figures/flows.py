"""Where the faults with one label are found in another labelling."""

from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.style import (
    GENERIC,
    GREY,
    LINE,
    SMALL,
    SPECIFIC,
    WIDTH,
    readable,
)
from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC

# inches
NODE = 0.12
ALL = 4.5  # height of all faults
LABELS = 2.0  # room for labels on either side
HEAD = 0.5  # room for the legend and the names of the columns


@style.styled
def alluvial(records: pd.DataFrame, left: str, right: str, note: str) -> Figure:
    """Draw the flow of faults from the labels of one column to those of another.

    Records that miss either label are left out, and so are labels without records. Bands are split by whether
    the faults are attention-specific.

    Args:
        records: one row a fault; `left` and `right` are categorical, and `scope` is there.
        left: column on the left, for example symptom.
        right: column on the right, for example category.
        note: shown below.
    """
    bands = _bands(records, left, right)
    title = f"{style.heading(left)} and {readable(right)} of {bands['count'].sum():,} faults"
    if bands.empty:
        return style.nothing(title, f"No fault has both a {readable(left)} and a {readable(right)}.", note)
    sides = {side: _nodes(bands.groupby(side, observed=True)["count"].sum()) for side in (left, right)}
    height = max(nodes["bottom"].max() for nodes in sides.values())
    figure = style.page(HEAD + height + 0.05, title, note)
    axes = style.canvas(figure)
    for nodes in sides.values():
        nodes["top"] += HEAD + np.linspace(0, height - nodes["bottom"].max(), len(nodes))
    placed = _place(bands, sides)
    colours = np.where(placed["specific"], SPECIFIC, GENERIC).tolist()
    for start, end, thickness, colour in zip(
        *(placed[name].tolist() for name in ("start", "end", "height")), colours, strict=True
    ):
        axes.add_patch(PathPatch(_ribbon(start, end, thickness), facecolor=colour, alpha=0.55, linewidth=0))
    _draw_nodes(axes, sides[left], LABELS, -0.06, "right")
    _draw_nodes(axes, sides[right], WIDTH - LABELS - NODE, NODE + 0.06, "left")
    for x, side, alignment in ((LABELS, left, "left"), (WIDTH - LABELS, right, "right")):
        axes.text(x, HEAD - 0.08, readable(side), fontweight="bold", ha=alignment, va="bottom")
    handles = [style.patch(SPECIFIC, "attention-specific"), style.patch(GENERIC, "generic")]
    axes.legend(handles=handles, loc="upper left", ncols=2, borderaxespad=0.2)
    return figure


def _bands(records: pd.DataFrame, left: str, right: str) -> pd.DataFrame:
    """Count faults by both labels and scope: columns `left`, `right`, specific, count; in label order."""
    marked = records[[left, right]].assign(generic=records["scope"] != ATTENTION_SPECIFIC)
    counts = marked.groupby([left, right, "generic"], observed=True).size().reset_index(name="count")
    return counts.assign(specific=~counts.pop("generic").astype(bool))


def _nodes(counts: pd.Series) -> pd.DataFrame:
    """Place nodes below one another so that neither they nor their labels touch; inches from above."""
    height = ALL * counts.to_numpy() / max(counts.sum(), 1)
    text = [f"{readable(str(label), 22)}  {count:,}" for label, count in counts.items()]
    room = np.array([LINE * (line.count("\n") + 1) + 0.03 for line in text])
    distance = np.maximum((height[:-1] + height[1:]) / 2 + 0.05, (room[:-1] + room[1:]) / 2)
    extent = np.maximum(height, room)
    centre = np.cumsum(np.concatenate([extent[:1] / 2, distance]))
    return pd.DataFrame(
        {"text": text, "top": centre - height / 2, "height": height, "bottom": centre + extent / 2},
        index=counts.index,
    )


def _place(bands: pd.DataFrame, sides: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Add the upper edge of each band on the left (start) and right (end), and its height; inches."""
    height = ALL * bands["count"] / bands["count"].sum()
    edges = []
    for side, nodes in sides.items():
        above = height.groupby(bands[side], observed=True).cumsum() - height
        edges.append(bands[side].astype(object).map(nodes["top"]).astype(float) + above)
    return bands.assign(start=edges[0], end=edges[1], height=height)


def _ribbon(start: float, end: float, height: float) -> Path:
    left, right = LABELS + NODE, WIDTH - LABELS - NODE
    middle = (left + right) / 2
    there = [(left, start), (middle, start), (middle, end), (right, end)]
    back = [(x, y + height) for x, y in reversed(there)]
    curve = [Path.CURVE4] * 3
    return Path([*there, *back, there[0]], [Path.MOVETO, *curve, Path.LINETO, *curve, Path.CLOSEPOLY])


def _draw_nodes(
    axes: Axes, nodes: pd.DataFrame, x: float, offset: float, alignment: Literal["left", "right"]
) -> None:
    for text, top, height in zip(*(nodes[name].tolist() for name in ("text", "top", "height")), strict=True):
        axes.add_patch(Rectangle((x, top), NODE, height, facecolor=GREY, linewidth=0))
        axes.text(x + offset, top + height / 2, text, fontsize=SMALL, ha=alignment, va="center_baseline")
