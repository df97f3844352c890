"""Which labels go together more, or less, often than chance."""

from collections.abc import Mapping
from itertools import groupby

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.style import (
    CHARACTER,
    DIVERGING,
    FAINT,
    GREY,
    LINE,
    NARROWEST,
    SMALL,
    WIDTH,
    readable,
)

LIMIT = 6.0  # adjusted residual at which the colours end
NOTABLE = 2.0  # below minus this, cells are hatched: greyscale has no blue
GROUP_WIDTH = 24  # characters


@style.styled
def association_heatmap(
    cells: pd.DataFrame,
    facet: str,
    outcome: str,
    note: str,
    *,
    groups: Mapping[str, str] | None = None,
    level: float = 0.95,
) -> Figure:
    """Draw the adjusted residual of every label of a facet with every label of an outcome.

    Orange cells hold more faults than under independence, blue ones fewer; counts stand in the cells; a cell
    whose Benjamini-Hochberg adjusted p is below 1 - `level` is framed.

    Args:
        cells: as from `taxonomy.association.test_cells`, of one sample.
        facet: across, for example symptom.
        outcome: down, for example root_cause.
        note: shown below.
        groups: group of each label of the outcome, named beside its rows, for example `Codebook.category_of`.
        level: 1 minus the false discovery rate.

    Raises:
        ValueError: if a cell occurs twice, as when the cells of several samples are given.
    """
    ours = cells[(cells["facet"] == facet) & (cells["outcome"] == outcome)]
    title = f"{style.heading(facet)} and {readable(outcome)} of {ours['n'].max():,} faults"
    if ours.empty:
        title = f"{style.heading(facet)} and {readable(outcome)}"
        return style.nothing(title, f"No fault has both a {readable(facet)} and a {readable(outcome)}.", note)
    rows, columns = style.in_order(ours["outcome_label"]), style.in_order(ours["facet_label"])
    residual, support, p = (
        ours.pivot(index="outcome_label", columns="facet_label", values=name)
        .loc[rows, columns]
        .to_numpy(dtype=float)
        for name in ("adjusted_residual", "support", "p_bh")
    )
    names, across = [readable(label) for label in rows], [readable(label, 22) for label in columns]
    spans = _spans(rows, groups or {})
    pitch = max([style.pitch(names), *(style.pitch([name]) / (stop - start) for name, start, stop in spans)])
    beside = 1.9 + 1.7 * bool(spans)
    narrowest = max(0.27, LINE * style.lines(across) + 0.04) * len(columns)
    width = max(beside + narrowest, min(WIDTH, beside + 0.6 * len(columns)), NARROWEST)
    above = CHARACTER * max((len(line) for name in across for line in name.splitlines()), default=1)
    figure = style.page(above + pitch * len(rows) + 0.9, title, note, width)
    axes = figure.subplots()
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(residual),
        cmap=DIVERGING.with_extremes(bad=FAINT),
        vmin=-LIMIT,
        vmax=LIMIT,
        edgecolors="white",
        linewidth=0.5,
    )
    style.name_cells(axes, names, across)
    _mark_cells(axes, mesh, residual, support, p < 1 - level)
    _name_groups(axes, spans)
    bar = figure.colorbar(
        mesh,
        ax=axes,
        location="bottom",
        shrink=0.42,
        aspect=22,
        anchor=(0, 1),
        pad=0.01,
        extend="both",
        ticks=np.arange(-LIMIT, LIMIT + 1, 2),
    )
    bar.set_label("adjusted residual", fontsize=SMALL)
    marks = [
        Patch(fill=False, edgecolor="black", linewidth=1.2, label=f"adjusted p < {1 - level:.2g}"),
        Patch(
            fill=False,
            edgecolor=GREY,
            linewidth=0,
            hatch="/////",
            label=f"residual below \N{MINUS SIGN}{NOTABLE:g}",
        ),
    ]
    bar.ax.legend(handles=marks, loc="center left", bbox_to_anchor=(1.08, 0.5))
    return figure


def _spans(rows: list[str], groups: Mapping[str, str]) -> list[tuple[str, int, int]]:
    """Return the runs of rows of one group: its name in lines, first row, row after the last."""
    spans = []
    start = 0
    for group, run in groupby(rows, key=lambda row: groups.get(row, "")):
        stop = start + len(list(run))
        if group:
            spans.append((readable(group, GROUP_WIDTH), start, stop))
        start = stop
    return spans


def _mark_cells(
    axes: Axes, mesh: QuadMesh, residual: style.Floats, support: style.Floats, framed: npt.NDArray[np.bool_]
) -> None:
    colours = np.asarray(mesh.to_rgba(residual))
    for row, column in np.ndindex(residual.shape):
        if residual[row, column] < -NOTABLE:
            axes.add_patch(
                Rectangle((column + 0.02, row + 0.03), 0.96, 0.94, fill=False, ec=GREY, lw=0, hatch="/////")
            )
        if framed[row, column]:
            inset = Rectangle(
                (column + 0.04, row + 0.05), 0.92, 0.9, fill=False, ec="black", lw=1.2, zorder=3
            )
            axes.add_patch(inset)
        if support[row, column] > 0:
            count = f"{support[row, column]:,.0f}"
            style.in_cell(axes, row, column, count, style.ink(colours[row, column].tolist()))


def _name_groups(axes: Axes, spans: list[tuple[str, int, int]]) -> None:
    """Bracket the rows of each group on the right and name them."""
    for name, start, stop in spans:
        transform = axes.get_yaxis_transform()
        axes.plot(
            [1.012, 1.012],
            [start + 0.15, stop - 0.15],
            color=GREY,
            lw=1.2,
            transform=transform,
            clip_on=False,
        )
        style.beside(axes, (start + stop) / 2, f" {name}".replace("\n", "\n "))
        if start:
            axes.axhline(start, color="black", linewidth=0.5)
