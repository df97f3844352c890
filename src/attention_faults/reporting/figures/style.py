"""How every figure looks, and how it is saved."""

import os
import textwrap
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib.style
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import PercentFormatter

from attention_faults.files import replacing

# Okabe & Ito (2008): told apart with every common colour blindness
ORANGE = "#E69F00"
SKY = "#56B4E9"
GREEN = "#009E73"
YELLOW = "#F0E442"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#6E6E6E"
FAINT = "#D4D4D4"
PALETTE = (BLUE, ORANGE, GREEN, SKY, VERMILLION, YELLOW, PURPLE, "#BBBBBB")
SPECIFIC, GENERIC = BLUE, ORANGE  # dark and light: apart in greyscale too
SEQUENTIAL = "cividis_r"
# both ends are dark: figures that use it mark negative values with a hatch
DIVERGING = LinearSegmentedColormap.from_list(
    "diverging", ["#08519C", "#6BAED6", "#FFFFFF", "#FDAE6B", "#A63603"]
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

WIDTH = 7.2  # inches: the text width of a printed page
NARROWEST = 4.8  # inches: notes need room
SMALL, NORMAL, TITLE = 7.0, 8.0, 9.5  # points
LINE = 0.125  # inches: a line of small text
CHARACTER = 0.066  # inches: a wide one of small text
MARGIN = 0.06  # inches
LABEL_WIDTH = 30  # characters

_RC: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.labelsize": NORMAL,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": NORMAL,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same shapes everywhere
    "font.size": NORMAL,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "hatch.linewidth": 0.6,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
    "svg.fonttype": "path",
    "svg.hashsalt": "attention-faults",
    "text.parse_math": False,  # labels are data
    "xtick.labelsize": SMALL,
    "xtick.major.width": 0.6,
    "ytick.labelsize": SMALL,
    "ytick.major.width": 0.6,
}
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

P = ParamSpec("P")
Floats = npt.NDArray[np.floating]


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw in the house style, whatever the user's matplotlibrc says, and fix the layout."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.style.context(["default", _RC]):
            figure = draw(*args, **kwargs)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # the same places in every format
            for axes in figure.axes:  # the last bits of a layout differ between runs, and SVG hashes them
                axes.set_position(np.round(axes.get_position(original=True).bounds, 6).tolist())
            return figure

    return wrapper


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, SVG and PDF, each file whole or not at all; equal figures give equal bytes.

    Args:
        figure: from one of the functions of this package.
        path: of the PNG file; the suffix may be left out. The other two lie beside it.
    """
    with matplotlib.style.context(["default", _RC]):
        for suffix, metadata in _METADATA.items():
            with replacing(Path(path).with_suffix(f".{suffix}")) as file:
                figure.savefig(file, format=suffix, metadata=metadata)


def page(height: float, title: str, note: str, width: float = WIDTH) -> Figure:
    """Return a figure with a title above and a note below an empty content area.

    Axes that the layout engine places stay in the content area; `canvas` covers it with one in inches.

    Args:
        height: of the content area, inches.
        title: what the figure shows.
        note: limits of the data; may be empty.
        width: of the figure, inches.
    """
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    heading = figure.text(0, 0, title, fontsize=TITLE, fontweight="bold", va="top")
    footer = figure.text(0, 0, note, fontsize=SMALL, color="#404040", va="bottom", linespacing=1.3)
    above, below = (_fit(figure, text, width - 2 * MARGIN) + 2 * MARGIN for text in (heading, footer))
    total = above + height + below
    figure.set_size_inches(width, total)
    heading.set_position((MARGIN / width, 1 - MARGIN / total))
    footer.set_position((MARGIN / width, MARGIN / total))
    area = (0, below / total, 1, height / total)
    figure.set_layout_engine("constrained", rect=area, w_pad=MARGIN, h_pad=MARGIN, wspace=0.03)
    return figure


def canvas(figure: Figure) -> Axes:
    """Cover the content area of a `page` with bare axes whose units are inches, y downwards.

    Raises:
        ValueError: if the page has one already.
    """
    engine = figure.get_layout_engine()
    if engine is None or "rect" not in engine.get():
        raise ValueError("a page has one canvas only")
    area = engine.get()["rect"]
    width, height = figure.get_size_inches()
    figure.set_layout_engine("none")
    axes = figure.add_axes(area, frame_on=False)
    axes.set(xlim=(0, width), ylim=(area[3] * height, 0), xticks=[], yticks=[])
    return axes


def nothing(title: str, reason: str, note: str) -> Figure:
    """Return a page that says why there is nothing to show."""
    figure = page(0.5, title, note)
    canvas(figure).text(MARGIN, 0.25, reason, va="center_baseline")
    return figure


def heading(text: str) -> str:
    """Return a label as the beginning of a title."""
    text = text.replace("_", " ")
    return f"{text[:1].upper()}{text[1:]}"


def readable(label: str, width: int = LABEL_WIDTH) -> str:
    """Return a label with spaces for underscores, in lines of at most `width` characters."""
    return textwrap.fill(label.replace("_", " "), width)


def lines(labels: Iterable[str]) -> int:
    """Return the number of lines of the tallest text."""
    return max((label.count("\n") + 1 for label in labels), default=1)


def pitch(labels: Iterable[str]) -> float:
    """Return the inches from one row of labels to the next."""
    return LINE * lines(labels) + 0.055


def share_axis(axes: Axes, name: str) -> None:
    """Make x a share from 0 on, in per cent."""
    axes.set_xlabel(name)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="x")
    axes.set_xlim(left=0)


def ink(colour: Sequence[float]) -> str:
    """Return black or white, whichever is read better on an RGB colour (relative luminance of WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "black" if luminance > 0.18 else "white"


def in_order(labels: pd.Series) -> list[str]:
    """Return the labels that occur, in the order of their categorical, or else of their first row."""
    if isinstance(labels.dtype, pd.CategoricalDtype):
        return [str(label) for label in labels.cat.remove_unused_categories().cat.categories]
    return [str(label) for label in labels.unique()]


def beside(axes: Axes, y: float, text: str) -> None:
    """Write a text to the right of the axes, at height `y` of the data."""
    axes.text(1.01, y, text, fontsize=SMALL, va="center_baseline", transform=axes.get_yaxis_transform())


def mark(number: int) -> dict[str, Any]:
    """Return how the points of a series are drawn: colour and shape tell the same."""
    return {
        "color": PALETTE[number % len(PALETTE)],
        "marker": MARKERS[number % len(MARKERS)],
        "ms": 4,
        "mec": "black",
        "mew": 0.4,
    }


def intervals(axes: Axes, rows: pd.DataFrame, columns: Sequence[str], y: Floats, **look: Any) -> None:
    """Draw the columns (value, low, high) of some rows at heights `y`; what is missing is not drawn."""
    value, low, high = (rows[column].to_numpy(dtype=float) for column in columns)
    # rounding may put an end on the wrong side of a share of 0 or 1
    reach = np.maximum([value - low, high - value], 0)
    axes.errorbar(value, y, xerr=reach, linestyle="none", elinewidth=0.9, capsize=1.8, capthick=0.9, **look)


def spread(count: int) -> Floats:
    """Return offsets that keep `count` points of one row apart."""
    return np.asarray((np.arange(count) - (count - 1) / 2) * 0.75 / max(count, 2))


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Give row i, from above, the label i."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)


def name_cells(axes: Axes, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Name the unit cells of a table on the left and above; row 0 is the uppermost."""
    axes.set_yticks([row + 0.5 for row in range(len(rows))], rows)
    axes.set_xticks([column + 0.5 for column in range(len(columns))], columns, rotation=90)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def in_cell(axes: Axes, row: int, column: int, text: str, colour: str) -> None:
    """Write into a unit cell."""
    axes.text(column + 0.5, row + 0.5, text, fontsize=SMALL, ha="center", va="center_baseline", color=colour)


def legend_columns(names: Sequence[str]) -> int:
    """Return how many columns of a legend fit beside row labels."""
    longest = max((len(line) for name in names for line in name.splitlines()), default=1)
    return max(1, min(4, int(5.2 / (0.06 * longest + 0.4))))


def legend_above(axes: Axes, handles: Sequence[Artist], columns: int) -> None:
    """Put a legend between the axes and the title."""
    axes.legend(
        handles=handles,
        ncols=columns,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        handlelength=1.8,
    )


def patch(colour: str, label: str, hatch: str = "") -> Patch:
    """Return the legend's entry of an area."""
    return Patch(facecolor=colour, edgecolor="black", linewidth=0.3, hatch=hatch, label=label)


def _fit(figure: Figure, text: Text, width: float) -> float:
    """Break the lines of a text until it is at most `width` inches wide; return its height in inches."""
    paragraphs = text.get_text().splitlines()
    characters = max(map(len, paragraphs), default=1)
    box = text.get_window_extent()
    while box.width > width * figure.dpi and characters > 1:
        characters = min(characters - 1, int(characters * width * figure.dpi / box.width))
        text.set_text("\n".join(textwrap.fill(paragraph, max(characters, 1)) for paragraph in paragraphs))
        box = text.get_window_extent()
    return box.height / figure.dpi
