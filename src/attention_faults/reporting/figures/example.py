"""One faulty run in detail: what the metrics say of its blocks, and its curvature beside a clean run's."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from attention_faults.localisation.example import CLEAN, FAULTY
from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.localisation import named
from attention_faults.reporting.figures.style import (
    CHARACTER,
    DIVERGING,
    FAINT,
    GREY,
    LINE,
    SEQUENTIAL,
    SMALL,
    VERMILLION,
)

ARROW = "\N{BLACK RIGHT-POINTING TRIANGLE}"
FIRST = 3  # places of a metric's order of blocks that are written into its cells
UNUSUAL, FAR = 2.0, 100.0  # distances at which the colours begin and end
NOTABLE = 0.1  # of the largest difference; below minus this, cells are hatched: greyscale has no blue
BESIDE = 2  # healthy blocks whose spectra are shown
TICKS = (2, 5, 10, 20, 50, 100)
DECADES = 5  # of a density that are shown


@style.styled
def example_scores(scores: pd.DataFrame, note: str) -> Figure:
    """Draw how far each metric sees each block from the reference; blocks at fault are framed.

    The three most suspect blocks of each metric are numbered; ties share a number.

    Args:
        scores: as from `example.scores`.
        note: shown below.
    """
    if scores.empty:
        return style.nothing("What the metrics say of one faulty run", "No faulty run is shown.", note)
    blocks, metrics = style.in_order(scores["block"]), style.in_order(scores["metric"])
    table = scores.pivot(index="block", columns="metric", values="score").loc[blocks, metrics]
    values = table.to_numpy(dtype=float)
    faulty = _at_fault(scores)
    families = scores.drop_duplicates("metric").set_index("metric").loc[metrics, "family"].tolist()
    across = [named(name) for name in metrics]
    above = CHARACTER * max(map(len, across))
    title = f"What the metrics say of the blocks of {_run(scores)}"
    figure = style.page(above + (LINE + 0.04) * len(blocks) + 0.9, title, note)
    axes = figure.subplots()
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(np.maximum(values, UNUSUAL / 1000)),
        cmap=colormaps[SEQUENTIAL].with_extremes(under="white", bad=FAINT),
        norm=LogNorm(UNUSUAL, FAR),
        edgecolors="#E4E4E4",
        linewidth=0.5,
    )
    colours = np.asarray(mesh.to_rgba(np.nan_to_num(np.maximum(values, UNUSUAL / 1000), nan=UNUSUAL)))
    places = table.rank(ascending=False, method="min").to_numpy()
    for row, column in np.argwhere(places <= FIRST):
        ink = style.ink(colours[row, column].tolist())
        style.in_cell(axes, row, column, f"{places[row, column]:.0f}", ink)
    style.name_cells(axes, [_marked(block, faulty) for block in blocks], across)
    _emphasise(axes, blocks, faulty)
    for row in (row for row, block in enumerate(blocks) if block in faulty):
        axes.add_patch(
            Rectangle((0, row), len(metrics), 1, fill=False, ec=VERMILLION, lw=1.6, zorder=4, clip_on=False)
        )
    for column in (column for column in range(1, len(metrics)) if families[column] != families[column - 1]):
        axes.axvline(column, color="black", linewidth=0.8)
    bar = figure.colorbar(
        mesh,
        ax=axes,
        location="bottom",
        shrink=0.42,
        aspect=22,
        anchor=(0, 1),
        pad=0.02,
        extend="both",
        ticks=TICKS,
    )
    bar.set_label("distance from clean runs, in standard deviations", fontsize=SMALL)
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    bar.ax.xaxis.set_minor_locator(NullLocator())
    ranks = Line2D([], [], linestyle="none", label="1, 2, 3: the most suspect blocks of a metric")
    marks = [_fault_mark(), Patch(facecolor=FAINT, label="undefined"), ranks]
    bar.ax.legend(handles=marks, loc="center left", bbox_to_anchor=(1.1, 0.5))
    return figure


@style.styled
def example_interactions(interactions: pd.DataFrame, note: str) -> Figure:
    """Draw the normalised interactions of all pairs of blocks: clean, faulty, and their difference.

    Args:
        interactions: as from `example.interactions`.
        note: shown below.
    """
    if interactions.empty:
        return style.nothing("Interactions of one faulty run", "No faulty run is shown.", note)
    blocks, faulty = style.in_order(interactions["block"]), _at_fault(interactions)
    tables = {
        str(state): part.pivot(index="block", columns="partner", values="interaction")
        .reindex(index=blocks, columns=blocks)
        .to_numpy(dtype=float)
        for state, part in interactions.groupby("state", sort=False)
    }
    difference = tables[FAULTY] - tables[CLEAN]
    most = max(_largest(tables[CLEAN]), _largest(tables[FAULTY])) or 1.0
    limit = _largest(difference) or 1.0
    names = [f"{_marked(block, faulty)}  {number}" for number, block in enumerate(blocks, 1)]
    numbers = [str(number) for number in range(1, len(blocks) + 1)]
    side = max(LINE + 0.025, 0.14) * len(blocks)
    beside = CHARACTER * 0.9 * max(map(len, names))
    title = f"Interactions of the blocks of {_run(interactions)}"
    figure = style.page(2 * side + 1.3, title, note, max(style.WIDTH, 2 * side + beside + 0.6))
    panels = figure.subplots(2, 2)
    shades = Normalize(0, most)
    both = [
        _matrix(
            axes,
            tables[state],
            names if axes is panels[0, 0] else numbers,
            numbers,
            colormaps[SEQUENTIAL],
            shades,
        )
        for state, axes in ((CLEAN, panels[0, 0]), (FAULTY, panels[0, 1]))
    ]
    apart = _matrix(panels[1, 0], difference, names, numbers, DIVERGING, Normalize(-limit, limit))
    for row, column in np.argwhere(difference < -NOTABLE * limit):
        panels[1, 0].add_patch(Rectangle((column, row), 1, 1, fill=False, ec=GREY, lw=0, hatch="//////"))
    for axes, state in zip(panels.flat, (CLEAN, FAULTY, f"{FAULTY} minus {CLEAN}"), strict=False):
        axes.set_title(state, pad=4)
        _emphasise(axes, blocks, faulty)
        _frame_bands(axes, [blocks.index(block) for block in blocks if block in faulty], len(blocks))
    panels[1, 1].axis("off")
    for place, mesh, label in (
        (0.8, both[0], "normalised interaction"),
        (0.45, apart, "difference (hatched: lower in the faulty run)"),
    ):
        inset = panels[1, 1].inset_axes((0.06, place, 0.8, 0.05))
        low, high = mesh.get_clim()
        ticks = [tick for tick in MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
        bar = figure.colorbar(mesh, cax=inset, orientation="horizontal", ticks=ticks)
        bar.set_label(label, fontsize=SMALL)
    panels[1, 1].legend(
        handles=[_fault_mark(), Patch(facecolor=FAINT, label="not defined")],
        loc="upper left",
        bbox_to_anchor=(0.04, 0.25),
    )
    return figure


@style.styled
def example_densities(densities: pd.DataFrame, note: str) -> Figure:
    """Draw spectral densities, clean against faulty: blocks at fault, and the widest spectra of others.

    Args:
        densities: as from `example.densities`.
        note: shown below.
    """
    if densities.empty:
        return style.nothing("Spectra of one faulty run", "No faulty run is shown.", note)
    faulty = _at_fault(densities)
    width = densities["eigenvalue"].abs().groupby(densities["block"]).max()
    widest = width.drop(faulty).nlargest(BESIDE).index.tolist()
    chosen = [*faulty, *widest]
    down = -(-len(chosen) // 2)
    title = f"Spectra of the Hessian of blocks of {_run(densities)}"
    figure = style.page(1.65 * down + 0.35, title, note)
    grid = figure.add_gridspec(down + 1, 2, height_ratios=[0.2, *[1.65] * down])
    above = figure.add_subplot(grid[0, :])
    above.axis("off")
    looks: dict[str, dict[str, Any]] = {
        CLEAN: {"color": GREY, "linewidth": 1.6},
        FAULTY: {"color": VERMILLION, "linewidth": 1.2, "linestyle": "--"},
    }
    handles = [Line2D([], [], label=state, **look) for state, look in looks.items()]
    above.legend(handles=handles, ncols=2, loc="upper left", borderaxespad=0, handlelength=3)
    for number, block in enumerate(chosen):
        axes = figure.add_subplot(grid[1 + number // 2, number % 2])
        part = densities[densities["block"] == block]
        highest = part["density"].max()
        for state, look in looks.items():
            rows = part[part["state"] == state]
            axes.plot(rows["eigenvalue"], rows["density"].clip(lower=highest * 1e-12), **look)
        axes.set_yscale("log")
        axes.set_ylim(highest * 10.0**-DECADES, highest * 3)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
        axes.set(xlabel="eigenvalue", ylabel="density")
        if block in faulty:
            axes.set_title(f"{ARROW} {block}: at fault", color=VERMILLION, fontweight="bold")
        else:
            axes.set_title(f"{block}: healthy")
    return figure


def _run(rows: pd.DataFrame) -> str:
    """Name the run of a table."""
    model, fault, seed = rows[["model", "fault", "seed"]].iloc[0]
    return f"{model} with {str(fault).replace('_', ' ')} (seed {seed})"


def _at_fault(rows: pd.DataFrame) -> list[str]:
    """List the blocks at fault; tables are read with truth values as text."""
    return style.in_order(rows.loc[rows["at_fault"].astype(str) == "True", "block"])


def _marked(block: str, faulty: list[str]) -> str:
    return f"{ARROW} {block}" if block in faulty else block


def _emphasise(axes: Axes, blocks: list[str], faulty: list[str]) -> None:
    """Set the row labels of blocks at fault, in bold and red."""
    for block, label in zip(blocks, axes.get_yticklabels(), strict=True):
        if block in faulty:
            label.set(fontweight="bold", color=VERMILLION)


def _fault_mark() -> Patch:
    return Patch(fill=False, edgecolor=VERMILLION, linewidth=1.6, label=f"{ARROW} block at fault")


def _matrix(
    axes: Axes,
    table: style.Floats,
    rows: list[str],
    columns: list[str],
    colours: Colormap,
    norm: Normalize,
) -> QuadMesh:
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(table),
        cmap=colours.with_extremes(bad=FAINT),
        norm=norm,
        edgecolors="white",
        linewidth=0.3,
    )
    style.name_cells(axes, rows, columns)
    axes.tick_params(axis="x", labelrotation=0)
    axes.set_aspect("equal", anchor="NW")
    return mesh


def _frame_bands(axes: Axes, places: list[int], size: int) -> None:
    """Frame the rows and columns of blocks at fault."""
    for place in places:
        for corner, width, height in (((0, place), size, 1), ((place, 0), 1, size)):
            axes.add_patch(
                Rectangle(corner, width, height, fill=False, ec=VERMILLION, lw=1.2, zorder=4, clip_on=False)
            )


def _largest(table: style.Floats) -> float:
    """Return the largest size of what is defined, 0 if nothing is."""
    return float(np.abs(table[np.isfinite(table)]).max(initial=0.0))
