"""Figures of how often each label occurs."""

from itertools import cycle, islice, product

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.style import GENERIC, MARKERS, PALETTE, SPECIFIC, readable
from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC
from attention_faults.taxonomy.prevalence import BOOTSTRAP

FRAMEWORKS_SHOWN = 12
CATEGORIES_SHOWN = 20  # a stack of more cannot be read
FILLS = [(colour, hatch) for hatch, colour in product(("", "////", "...."), PALETTE)]


@style.styled
def label_bars(prevalence: pd.DataFrame, facet: str, note: str) -> Figure:
    """Bars of the share of every label of a facet among all faults, with the clustered interval.

    Where the facet tells attention-specific from other faults (scope, category, root cause), attention-specific
    labels come first, and each group is sorted by falling share; otherwise labels stand in the given order.

    Args:
        prevalence: as from `taxonomy.prevalence.measure`.
        facet: to show.
        note: shown below.
    """
    rows, specific = _rows_by_scope(prevalence, facet)
    labels = [readable(label) for label in rows["label"]]
    title = f"{readable(facet).capitalize()}: share of {rows['n'].max():,} faults"
    figure = style.page(style.pitch(labels) * len(labels) + 0.95, title, note)
    axes = figure.subplots()
    y = np.arange(len(rows))
    shares = rows["share"].fillna(0)
    colours = np.where(specific, SPECIFIC, GENERIC) if specific.any() else SPECIFIC
    axes.barh(y, shares, height=0.68, color=colours, edgecolor="black", linewidth=0.3)
    bootstrap = (rows["clustered_method"] == BOOTSTRAP).to_numpy()
    _intervals(axes, rows[bootstrap], y[bootstrap], color="black")
    _intervals(axes, rows[~bootstrap], y[~bootstrap], color="black", marker="o", mfc="white", ms=3)
    style.name_rows(axes, labels)
    style.share_axis(axes, "share of faults")
    for position, count, share in zip(y, rows["count"], shares, strict=True):
        style.beside(axes, position, f"{count:,} ({share:.1%})")
    line = {"color": "black", "linewidth": 0.9}
    intervals = [
        Line2D([], [], **line, label="interval: bootstrap of projects"),
        Line2D([], [], **line, marker="o", mfc="white", ms=3, label="interval: Wilson, n / design effect"),
    ]
    scopes = [style.patch(SPECIFIC, "attention-specific"), style.patch(GENERIC, "generic")]
    style.legend_above(axes, [*(scopes if specific.any() else []), *intervals], columns=2)
    return figure


@style.styled
def framework_stack(counts: pd.DataFrame, note: str) -> Figure:
    """Stacked shares of the categories within the most frequent frameworks; the other frameworks are one bar.

    Args:
        counts: columns framework, category, count; categories are stacked in the order of their categorical,
            or of their first row.
        note: shown below.
    """
    table = counts.pivot_table(
        index="framework", columns="category", values="count", aggfunc="sum", fill_value=0, observed=True
    ).reindex(columns=style.in_order(counts["category"]), fill_value=0)
    table = table.loc[table.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    table = _merge_rare(table, FRAMEWORKS_SHOWN, "further frameworks")
    table = _merge_rare(table.T, CATEGORIES_SHOWN, "further categories").T
    totals = table.sum(axis=1)
    shares = table.div(totals.where(totals > 0, 1), axis=0)
    labels = [readable(label) for label in table.index]
    names = [readable(label, 26) for label in table.columns]
    height = 1.3 * style.pitch(labels) * len(labels) + 0.6 + style.pitch(names) * np.ceil(len(names) / 4)
    figure = style.page(height, "Categories within each framework", note)
    axes = figure.subplots()
    left = np.zeros(len(table))
    fills = list(islice(cycle(FILLS), len(names)))
    for name, (colour, hatch) in zip(table.columns, fills, strict=True):
        widths = shares[name].to_numpy()
        axes.barh(
            range(len(table)),
            widths,
            left=left,
            height=0.74,
            color=colour,
            hatch=hatch,
            edgecolor="black",
            linewidth=0.3,
        )
        left = left + widths
    style.name_rows(axes, labels)
    style.share_axis(axes, "share of the framework's faults")
    axes.set_xlim(0, 1)
    for row, total in enumerate(totals):
        style.beside(axes, row, f"n = {total:,}")
    handles = [style.patch(colour, name, hatch) for name, (colour, hatch) in zip(names, fills, strict=True)]
    style.legend_above(axes, handles, columns=4)
    return figure


@style.styled
def dataset_comparison(comparison: pd.DataFrame, note: str) -> Figure:
    """Datasets side by side: the share of attention-specific faults, and the share of each category among these.

    Args:
        comparison: as from `taxonomy.comparison.stack`: `dataset` and the columns of `prevalence.measure`.
        note: shown below.
    """
    scope = comparison[
        (comparison["population"] == "all")
        & (comparison["facet"] == "scope")
        & (comparison["label"] == ATTENTION_SPECIFIC)
    ]
    categories = comparison[
        (comparison["population"] == ATTENTION_SPECIFIC) & (comparison["facet"] == "category")
    ]
    datasets = style.in_order(comparison["dataset"])
    names = style.in_order(categories["label"])
    labels = [readable(label) for label in ["attention-specific", *names]]
    row_height = max(style.pitch(labels), 0.12 * len(datasets) + 0.1)
    legend = [readable(name, 40) for name in datasets]
    height = row_height * len(labels) + 0.95 + style.pitch(legend) * np.ceil(len(legend) / 2)
    figure = style.page(height, "Datasets side by side", note)
    above, below = figure.subplots(2, 1, height_ratios=[1.0, max(len(names), 1)], sharex=True)
    offsets = (np.arange(len(datasets)) - (len(datasets) - 1) / 2) * 0.72 / max(len(datasets), 2)
    handles = []
    for number, (dataset, offset) in enumerate(zip(datasets, offsets, strict=True)):
        mark = {
            "color": PALETTE[number % 8],
            "marker": MARKERS[number % 8],
            "ms": 4.5,
            "mec": "black",
            "mew": 0.4,
        }
        ours = scope[scope["dataset"] == dataset]
        _intervals(above, ours, np.full(len(ours), offset), **mark)
        ours = categories[categories["dataset"] == dataset]
        _intervals(below, ours, ours["label"].map(names.index).to_numpy() + offset, **mark)
        handles.append(Line2D([], [], **mark, label=legend[number]))
    style.name_rows(above, labels[:1])
    style.name_rows(below, labels[1:])
    style.share_axis(above, "share of all faults")
    style.share_axis(below, "share of attention-specific faults")
    above.tick_params(labelbottom=True)
    style.legend_above(above, handles, columns=2)
    return figure


def _rows_by_scope(prevalence: pd.DataFrame, facet: str) -> tuple[pd.DataFrame, npt.NDArray[np.bool_]]:
    """Rows of a facet in the order of `label_bars`, and which of them are attention-specific."""
    of_facet = prevalence[prevalence["facet"] == facet]
    rows = of_facet[of_facet["population"] == "all"]
    known = of_facet.loc[of_facet["population"] == ATTENTION_SPECIFIC, "label"]
    specific = rows["label"].isin([ATTENTION_SPECIFIC] if facet == "scope" else known).to_numpy()
    if specific.any():
        order = np.lexsort((np.arange(len(rows)), -rows["count"], ~specific))
        rows, specific = rows.iloc[order], specific[order]
    return rows, specific


def _intervals(axes: Axes, rows: pd.DataFrame, y: npt.NDArray[np.floating], **mark: object) -> None:
    share = rows["share"]
    # rounding may put an end on the wrong side of a share of 0 or 1
    reach = [(share - rows["clustered_low"]).clip(lower=0), (rows["clustered_high"] - share).clip(lower=0)]
    axes.errorbar(share, y, xerr=reach, linestyle="none", elinewidth=0.9, capsize=1.8, capthick=0.9, **mark)


def _merge_rare(table: pd.DataFrame, shown: int, rest: str) -> pd.DataFrame:
    """Keep the `shown` rows with most faults, in their order, and add the others up as a last row."""
    if len(table) <= shown:
        return table
    kept = table.sum(axis=1).nlargest(shown).index
    others = table.drop(kept)
    merged = others.sum().to_frame(f"{len(others)} {rest}").T
    return pd.concat([table[table.index.isin(kept)], merged])
