"""Which metrics find the blocks at fault, how well, and at which cost."""

import textwrap
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, NullLocator

from attention_faults.localisation.evaluation import BLOCKS, WITH
from attention_faults.localisation.rankers import (
    EQUAL_COST,
    GRADIENT,
    GRADIENT_NORM,
    HESSIAN,
    RANDOM,
)
from attention_faults.localisation.verdict import TRIVIAL
from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.style import (
    CHARACTER,
    DIVERGING,
    FAINT,
    GREY,
    LINE,
    SMALL,
    readable,
)

AGGREGATES = (HESSIAN.name, GRADIENT.name, EQUAL_COST.name)
MEASURED = (*AGGREGATES, GRADIENT_NORM.name)
BASELINES = tuple(name for name in TRIVIAL if name != RANDOM.name)
PANELS = 4  # beside each other
NOTHING = "No faulty run has a block at fault."
NAMES = {EQUAL_COST.name: "equal-cost aggregate", EQUAL_COST.family: "gradient at equal cost"}
PROPER = {
    "hessian": "Hessian",
    "frobenius": "Frobenius",
    "fisher": "Fisher",
    "gauss newton": "Gauss-Newton",
}


@style.styled
def mrr_by_family(localisation: pd.DataFrame, note: str) -> Figure:
    """Draw the mean reciprocal rank of every ranker, with reference, by blocks: a panel a model.

    Args:
        localisation: as from `evaluation.with_intervals`, by model.
        note: shown below.
    """
    title = "How high up each metric ranks a block at fault (MRR; 1: always first)"
    rows = _by_blocks(localisation)
    if rows.empty:
        return style.nothing(title, NOTHING, note)
    families = _families(rows)
    groups = _grouped(rows)
    labels = [label for group, names in groups for label in (group, *(f"   {named(name)}" for name in names))]
    places = {name: y for y, name in enumerate(name for group, names in groups for name in ("", *names))}
    models = style.in_order(rows["model"])
    across = min(len(models), PANELS)
    down = -(-len(models) // across)
    figure = style.page(down * ((LINE + 0.025) * len(labels) + 0.6), title, note)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes, model in zip(panels.flat, models, strict=False):
        part = rows[rows["model"] == model]
        for family, of_family in part.groupby("family", sort=False):
            y = np.array([places[name] for name in of_family["ranker"]], dtype=float)
            columns = ("mrr", "mrr_low", "mrr_high")
            style.intervals(axes, of_family, columns, y, **families[str(family)])
        axes.axvline(part["chance_mrr"].iloc[0], color=GREY, linewidth=0.8, linestyle=":", zorder=0)
        axes.set_title(f"{model}\n{_faults(part['units'].iloc[0])}, {part['runs'].iloc[0]} runs")
        axes.grid(axis="x")
        axes.set_xlabel("MRR (dotted: chance)")
        axes.tick_params(axis="y", length=0)
    for axes in panels.flat[len(models) :]:
        axes.set_visible(False)
    panels[0, 0].set(xlim=(-0.03, 1.03), xticks=[0, 0.5, 1], xticklabels=["0", "0.5", "1"])
    for axes in panels[:, 0]:
        style.name_rows(axes, labels)
        for label in axes.get_yticklabels():
            if not label.get_text().startswith(" "):
                label.set_fontweight("bold")
            label.set_horizontalalignment("left")
        axes.tick_params(axis="y", pad=CHARACTER * 72 * 0.85 * max(map(len, labels)))
    return figure


@style.styled
def cost_accuracy(cost: pd.DataFrame, note: str) -> Figure:
    """Draw what every ranker costs and finds: a panel a model, the best for their cost joined by steps.

    Args:
        cost: as from `cost.beside_accuracy`.
        note: shown below.
    """
    title = "What each metric costs, and what it finds"
    rows = cost.dropna(subset=["cost", "mrr"])
    if rows.empty:
        return style.nothing(title, NOTHING, note)
    families = _families(rows)
    models = style.in_order(rows["model"])
    across = min(len(models), 2)
    down = -(-len(models) // across)
    handles = [Line2D([], [], linestyle="none", label=named(name), **look) for name, look in families.items()]
    handles.append(Line2D([], [], color="black", linewidth=0.8, label="best for its cost"))
    columns = style.legend_columns([str(handle.get_label()) for handle in handles])
    room = 0.17 * -(-len(handles) // columns)
    figure = style.page(2.1 * down + room + 0.2, title, note)
    grid = figure.add_gridspec(down + 1, across, height_ratios=[room, *[2.1] * down])
    above = figure.add_subplot(grid[0, :])
    above.axis("off")
    above.legend(handles=handles, ncols=columns, loc="upper left", borderaxespad=0)
    dearest = max(rows["cost"].max(), 1)
    for number, model in enumerate(models):
        axes = figure.add_subplot(grid[1 + number // across, number % across])
        part = rows[rows["model"] == model]
        for family, of_family in part.groupby("family", sort=False):
            axes.plot(of_family["cost"], of_family["mrr"], linestyle="none", **families[str(family)])
        best = best_for_their_cost(part)
        reach = [*best["cost"], 2 * dearest], [*best["mrr"], best["mrr"].iloc[-1]]
        axes.step(*reach, where="post", color="black", linewidth=0.8, zorder=1)
        chance = part.loc[part["ranker"] == RANDOM.name, "mrr"].mean()
        axes.axhline(chance, color=GREY, linewidth=0.8, linestyle=":", zorder=1)
        axes.set(title=model, xlabel="cost in gradients of the batch", ylabel="MRR (dotted: chance)")
        axes.set_xscale("symlog", linthresh=1, linscale=0.6)
        axes.set(xlim=(-0.3, 2 * dearest), ylim=(0, 1.04))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.grid()
        known = part["ranker"].isin([*AGGREGATES, GRADIENT_NORM.name])
        _name_points(axes, part[known | part.index.isin(best.index)])
    return figure


@style.styled
def category_by_family(by_group: pd.DataFrame, note: str) -> Figure:
    """Draw the mean reciprocal rank beyond chance of the aggregates and some baselines by fault category.

    Orange is better than chance, blue worse; the best of a row is framed.

    Args:
        by_group: as from `evaluation.by`.
        note: shown below.
    """
    title = "Which metrics find which faults"
    rows = _by_blocks(by_group)
    rows = rows[(rows["by"] == "category") & rows["ranker"].isin((*MEASURED, *BASELINES))]
    if rows.empty:
        return style.nothing(title, NOTHING, note)
    categories = style.in_order(rows["label"])
    columns = [name for name in (*MEASURED, *BASELINES) if (rows["ranker"] == name).any()]
    table = (
        rows.pivot(index="label", columns="ranker", values="mrr_above_chance")
        .loc[categories, columns]
        .to_numpy(dtype=float)
    )
    units = rows.groupby("label")["units"].max().astype(int)
    names = [f"{readable(name)} ({_faults(units[name])})" for name in categories]
    across = [textwrap.fill(named(name), 10) for name in columns]
    above = LINE * style.lines(across)
    figure = style.page(above + 0.26 * len(names) + 0.85, title, note)
    axes = figure.subplots()
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(table),
        cmap=DIVERGING.with_extremes(bad=FAINT),
        vmin=-1,
        vmax=1,
        edgecolors="white",
        linewidth=0.5,
    )
    colours = np.asarray(mesh.to_rgba(np.nan_to_num(table)))
    for row, column in np.argwhere(np.isfinite(table)):
        value = table[row, column]
        style.in_cell(axes, row, column, _signed(value), style.ink(colours[row, column].tolist()))
        if value < 0:
            axes.add_patch(_frame(row, column, ec=GREY, lw=0, hatch="/////"))
        if np.isclose(value, np.nanmax(table[row])):
            axes.add_patch(_frame(row, column, ec="black", lw=1.2, zorder=3))
    style.name_cells(axes, names, across)
    axes.tick_params(axis="x", labelrotation=0)
    axes.axvline(sum(name in MEASURED for name in columns), color="black", linewidth=0.8)
    bar = figure.colorbar(
        mesh,
        ax=axes,
        location="bottom",
        shrink=0.42,
        aspect=22,
        anchor=(0, 1),
        pad=0.02,
        ticks=[-1, -0.5, 0, 0.5, 1],
    )
    bar.set_label("MRR beyond chance (0: chance, 1: always first)", fontsize=SMALL)
    marks = [
        Patch(fill=False, edgecolor="black", linewidth=1.2, label="best of the row"),
        Patch(fill=False, edgecolor=GREY, linewidth=0, hatch="/////", label="worse than chance"),
    ]
    bar.ax.legend(handles=marks, loc="center left", bbox_to_anchor=(1.08, 0.5))
    return figure


def named(label: str) -> str:
    """Return the name of a ranker or family as in a sentence."""
    text = NAMES.get(label, label).replace("_", " ")
    for name, proper in PROPER.items():
        text = text.replace(name, proper)
    return text


def best_for_their_cost(rows: pd.DataFrame) -> pd.DataFrame:
    """Take the rankers that find more than any that costs no more, from the cheapest on."""
    ordered = rows.sort_values(["cost", "mrr"], ascending=[True, False], kind="stable")
    return ordered[ordered["mrr"] > ordered["mrr"].cummax().shift(fill_value=-np.inf)]


def _by_blocks(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["regime"] == WITH) & (table["granularity"] == BLOCKS)]


def _families(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Give each family its look."""
    return {family: style.mark(number) for number, family in enumerate(style.in_order(rows["family"]))}


def _grouped(rows: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Group rankers: aggregates, then the metrics of each family."""
    pairs = rows.drop_duplicates("ranker")[["ranker", "family"]]
    aggregates = [name for name in AGGREGATES if (pairs["ranker"] == name).any()]
    single = pairs[~pairs["ranker"].isin(aggregates)].to_numpy().tolist()
    runs = [
        (named(family), [name for name, _ in run])
        for family, run in groupby(single, key=lambda pair: pair[1])
    ]
    return [("aggregates", aggregates), *runs] if aggregates else runs


def _name_points(axes: Axes, rows: pd.DataFrame) -> None:
    """Name points in a column to the right, in the order of their heights, joined to them by thin lines."""
    rows = rows.sort_values(["mrr", "cost"], kind="stable")
    low, high = axes.get_ylim()
    step = (high - low) / max(12, len(rows))
    places = _apart(rows["mrr"].to_numpy(dtype=float), step, high)
    for place, (name, cost, mrr) in zip(places, rows[["ranker", "cost", "mrr"]].to_numpy(), strict=True):
        axes.annotate(
            "",
            (cost, mrr),
            (1.03, place),
            textcoords=axes.get_yaxis_transform(),
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 0, "shrinkB": 2},
        )
        style.beside(axes, place, f"  {named(name)}")


def _apart(heights: style.Floats, step: float, high: float) -> style.Floats:
    """Move sorted heights as little as it takes for `step` between them, none above `high`."""
    places = heights.copy()
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + step)
    places[-1] = min(places[-1], high)
    for i in range(len(places) - 2, -1, -1):
        places[i] = min(places[i], places[i + 1] - step)
    return places


def _faults(count: int) -> str:
    return f"{count} fault" if count == 1 else f"{count} faults"


def _signed(value: float) -> str:
    text = f"{abs(value):.2f}"
    return f"\N{MINUS SIGN}{text}" if value < 0 and float(text) else text


def _frame(row: int, column: int, **look: Any) -> Rectangle:
    return Rectangle((column + 0.03, row + 0.05), 0.94, 0.9, fill=False, **look)
