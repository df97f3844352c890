"""Figures of how often each label occurs."""

from itertools import cycle, product
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.style import GENERIC, GREY, PALETTE, SPECIFIC, readable
from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC
from attention_faults.taxonomy.prevalence import BOOTSTRAP

FRAMEWORKS_SHOWN = 12
CATEGORIES_SHOWN = 20  # a stack of more cannot be read
FILLS = [(colour, hatch) for hatch, colour in product(("", "////", "...."), PALETTE)]
EDGE: dict[str, Any] = {"edgecolor": "black", "linewidth": 0.3}
INTERVAL = ("share", "clustered_low", "clustered_high")


@style.styled
def label_bars(prevalence: pd.DataFrame, facet: str, note: str) -> Figure:
    """Draw the share of every label of a facet among all faults, with the clustered interval.

    Where the facet tells attention-specific from other faults (scope, category, root cause), the
    attention-specific labels come first, and each group is sorted by falling share; otherwise labels stand in
    the given order.

    Args:
        prevalence: as from `taxonomy.prevalence.measure`.
        facet: to show.
        note: shown below.
    """
    rows, specific = _rows_by_scope(prevalence, facet)
    title = f"{style.heading(facet)}: share of {rows['n'].max():,} faults"
    if not rows["n"].any():
        return style.nothing(style.heading(facet), f"No fault has a {readable(facet)}.", note)
    labels = [readable(label) for label in rows["label"]]
    figure = style.page(style.pitch(labels) * len(labels) + 0.95, title, note)
    axes = figure.subplots()
    y = np.arange(len(rows), dtype=float)
    shares = rows["share"].to_numpy(dtype=float)
    colours = np.where(specific, SPECIFIC, GENERIC).tolist() if specific.any() else SPECIFIC
    axes.barh(y, shares, height=0.68, color=colours, **EDGE)
    bootstrap = (rows["clustered_method"] == BOOTSTRAP).to_numpy()
    few: dict[str, Any] = {"color": "black", "marker": "o", "mfc": "white", "ms": 3}
    style.intervals(axes, rows[bootstrap], INTERVAL, y[bootstrap], color="black")
    style.intervals(axes, rows[~bootstrap], INTERVAL, y[~bootstrap], **few)
    if specific.any() and not specific.all():
        axes.axhline(specific.sum() - 0.5, color=GREY, linewidth=0.6)
    style.name_rows(axes, labels)
    style.share_axis(axes, "share of faults")
    for row, (count, share) in enumerate(zip(rows["count"], shares, strict=True)):
        style.beside(axes, row, f"{count:,} ({share:.1%})")
    methods = [
        Line2D([], [], color="black", lw=0.9, label="interval: bootstrap of projects"),
        Line2D([], [], lw=0.9, **few, label="interval: Wilson, n / design effect"),
    ]
    scopes = [style.patch(SPECIFIC, "attention-specific"), style.patch(GENERIC, "generic")]
    style.legend_above(axes, [*(scopes if specific.any() else []), *methods], columns=2)
    return figure


@style.styled
def framework_stack(counts: pd.DataFrame, note: str) -> Figure:
    """Draw the shares of the categories within the most frequent frameworks; the others are one bar.

    Args:
        counts: columns framework, category, count; categories are stacked in the order of their categorical,
            or of their first row.
        note: shown below.
    """
    table = _framework_table(counts)
    totals = table.sum(axis=1)
    shares = table.div(totals, axis=0)
    labels = [readable(label) for label in table.index]
    names = [readable(label, 26) for label in table.columns]
    columns = style.legend_columns(names)
    height = (
        1.3 * style.pitch(labels) * len(labels) + 0.6 + style.pitch(names) * np.ceil(len(names) / columns)
    )
    figure = style.page(height, "Categories within each framework", note)
    axes = figure.subplots()
    left = np.zeros(len(table))
    handles = []
    for name, category, (colour, hatch) in zip(names, table.columns, cycle(FILLS), strict=False):
        widths = shares[category].to_numpy(dtype=float)
        axes.barh(np.arange(len(table)), widths, left=left, height=0.74, color=colour, hatch=hatch, **EDGE)
        left = left + widths
        handles.append(style.patch(colour, name, hatch))
    style.name_rows(axes, labels)
    style.share_axis(axes, "share of the framework's faults")
    axes.set_xlim(0, 1)
    for row, total in enumerate(totals):
        style.beside(axes, row, f"n = {total:,}")
    style.legend_above(axes, handles, columns)
    return figure


@style.styled
def dataset_comparison(comparison: pd.DataFrame, note: str) -> Figure:
    """Draw datasets side by side: share of attention-specific faults, and of each category among these.

    Args:
        comparison: as from `taxonomy.comparison.stack`: `dataset` and the columns of `prevalence.measure`.
        note: shown below.
    """
    of_all, population, facet = (comparison[x] for x in ("label", "population", "facet"))
    scope = comparison[(population == "all") & (facet == "scope") & (of_all == ATTENTION_SPECIFIC)]
    categories = comparison[(population == ATTENTION_SPECIFIC) & (facet == "category")]
    datasets, names = style.in_order(comparison["dataset"]), style.in_order(categories["label"])
    labels = [readable(name) for name in (ATTENTION_SPECIFIC, *names)]
    legend = [readable(name) for name in datasets]
    columns = style.legend_columns(legend)
    pitch = max(style.pitch(labels), 0.12 * len(datasets) + 0.1)
    height = pitch * len(labels) + 1.1 + style.pitch(legend) * np.ceil(len(legend) / columns)
    figure = style.page(height, "Datasets side by side", note)
    above, below = figure.subplots(2, 1, height_ratios=[1, len(names)], sharex=True)
    handles = []
    for number, (dataset, offset) in enumerate(zip(datasets, style.spread(len(datasets)), strict=True)):
        look = style.mark(number)
        for axes, frame, order in ((above, scope, [ATTENTION_SPECIFIC]), (below, categories, names)):
            rows = frame[frame["dataset"] == dataset]
            y = np.array([order.index(label) for label in rows["label"]]) + offset
            style.intervals(axes, rows, INTERVAL, y, **look)
        handles.append(Line2D([], [], **look, label=legend[number]))
    style.name_rows(above, labels[:1])
    style.name_rows(below, labels[1:])
    style.share_axis(above, "share of all faults")
    style.share_axis(below, "share of attention-specific faults")
    above.tick_params(labelbottom=True)
    style.legend_above(above, handles, columns)
    return figure


def _rows_by_scope(prevalence: pd.DataFrame, facet: str) -> tuple[pd.DataFrame, npt.NDArray[np.bool_]]:
    """Return the rows of a facet in the order of `label_bars`, and which of them are attention-specific."""
    of_facet = prevalence[prevalence["facet"] == facet]
    rows = of_facet[of_facet["population"] == "all"]
    known = of_facet.loc[of_facet["population"] == ATTENTION_SPECIFIC, "label"]
    specific = rows["label"].isin([ATTENTION_SPECIFIC] if facet == "scope" else known).to_numpy(dtype=bool)
    if specific.any():
        order = np.lexsort((np.arange(len(rows)), -rows["count"].to_numpy(), ~specific))
        rows, specific = rows.iloc[order], specific[order]
    return rows, specific


def _framework_table(counts: pd.DataFrame) -> pd.DataFrame:
    """Count by framework (falling) and category, what is rare merged."""
    table = counts.pivot_table(
        index="framework", columns="category", values="count", aggfunc="sum", fill_value=0, observed=True
    )[style.in_order(counts["category"])]
    totals = table.sum(axis=1).sort_values(ascending=False, kind="stable")
    table = table.loc[totals[totals > 0].index]
    table = _merge_rare(table, FRAMEWORKS_SHOWN, "further frameworks")
    return _merge_rare(table.T, CATEGORIES_SHOWN, "further categories").T


def _merge_rare(table: pd.DataFrame, shown: int, rest: str) -> pd.DataFrame:
    """Keep the `shown` rows with most faults, in their order, and add the others up as a last row."""
    if len(table) <= shown:
        return table
    kept = table.index.isin(table.sum(axis=1).nlargest(shown).index)
    others = table[~kept]
    return pd.concat([table[kept], others.sum().to_frame(f"{len(others)} {rest}").T])
