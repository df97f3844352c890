"""How far raters agree, and what they confuse."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import PowerNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.style import (
    CHARACTER,
    FAINT,
    MARKERS,
    NARROWEST,
    PALETTE,
    SEQUENTIAL,
    readable,
)

MEASURES = {
    "percent_agreement": "share of equal ratings",
    "cohen_kappa": "Cohen's kappa",
    "krippendorff_alpha": "Krippendorff's alpha",
    "fleiss_kappa": "Fleiss' kappa",
}


@style.styled
def agreement_dots(agreement: pd.DataFrame, note: str) -> Figure:
    """Agreement with its interval, per facet, one panel a phase; what is undefined is named.

    Args:
        agreement: as from `taxonomy.agreement.measure`.
        note: shown below.
    """
    phases = style.in_order(agreement["phase"])
    facets = {phase: style.in_order(part["facet"]) for phase, part in agreement.groupby("phase", sort=False)}
    measures = [name for name in MEASURES if (agreement["measure"] == name).any()]
    pitch = max(
        style.pitch([readable(x) for names in facets.values() for x in names]), 0.12 * len(measures) + 0.08
    )
    sizes = [len(facets[phase]) for phase in phases]
    title = "Agreement of the ratings"
    figure = style.page(pitch * sum(sizes) + 0.45 * len(phases) + 0.95, title, note)
    panels = figure.subplots(len(phases), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
    offsets = (np.arange(len(measures)) - (len(measures) - 1) / 2) * 0.75 / max(len(measures), 2)
    marks = {
        name: {"color": PALETTE[number], "marker": MARKERS[number], "ms": 4, "mec": "black", "mew": 0.4}
        for number, name in enumerate(MEASURES)
    }
    for axes, phase in zip(panels, phases, strict=True):
        ours = agreement[agreement["phase"] == phase]
        for name, offset in zip(measures, offsets, strict=True):
            rows = ours[ours["measure"] == name]
            y = rows["facet"].map(facets[phase].index).to_numpy() + offset
            reach = [
                (rows["value"] - rows["low"]).clip(lower=0),
                (rows["high"] - rows["value"]).clip(lower=0),
            ]
            axes.errorbar(
                rows["value"], y, xerr=reach, linestyle="none", elinewidth=0.9, capsize=1.8, **marks[name]
            )
        style.name_rows(axes, [readable(facet) for facet in facets[phase]])
        axes.set_title(readable(phase, 60), pad=20 if axes is panels[0] else None)  # the legend comes between
        axes.grid(axis="x")
        for row, facet in enumerate(facets[phase]):
            style.beside(axes, row, _remark(ours[ours["facet"] == facet]))
    panels[-1].set_xlim(min(0, np.nanmin(agreement["low"])), 1.02)
    panels[-1].set_xlabel("agreement")
    handles = [Line2D([], [], **marks[name], label=MEASURES[name]) for name in measures]
    style.legend_above(panels[0], handles, columns=len(measures))
    return figure


@style.styled
def confusion_heatmap(
    confusion: pd.DataFrame, facet: str, phase: str, note: str, *, order: Sequence[str] | None = None
) -> Figure:
    """First against second rating of a facet: counts in the cells; agreement is grey, confusion coloured.

    Args:
        confusion: as from `taxonomy.agreement.confusion`.
        facet: to show.
        phase: to show.
        note: shown below.
        order: labels in the order to show them, for example `Codebook.labels(facet)`; those never given are left
            out, others follow by name.
    """
    ours = confusion[(confusion["facet"] == facet) & (confusion["phase"] == phase)]
    given = set(ours["first"]) | set(ours["second"])
    labels = [label for label in order or [] if label in given]
    labels += sorted(given - set(labels))
    counts = ours.pivot(index="first", columns="second", values="count").reindex(index=labels, columns=labels)
    table = counts.fillna(0).to_numpy(dtype=float)
    names = [readable(label) for label in labels]
    label_width = CHARACTER * max((len(line) for name in names for line in name.splitlines()), default=1)
    cell = max(style.pitch(names), 0.21, min(0.6, 3 / max(len(labels), 1)))
    width = max(NARROWEST, label_width + cell * len(labels) + 0.5)
    title = f"{readable(facet).capitalize()}: two ratings of {table.sum():,.0f} faults"
    figure = style.page(label_width + cell * len(labels) + 0.75, title, note, width)
    axes = figure.subplots()
    same = np.eye(len(labels), dtype=bool)
    shades = PowerNorm(0.5, vmin=1, vmax=max(table[~same].max(initial=0), 2))
    colours = matplotlib.colormaps[SEQUENTIAL](shades(np.maximum(table, 1)))
    colours[same] = to_rgba(FAINT)
    colours[table == 0] = to_rgba("white")
    axes.pcolormesh(colours, edgecolors="#E4E4E4", linewidth=0.5)
    for row, column in np.argwhere(table):
        ink, count = style.ink(colours[row, column]), f"{table[row, column]:,.0f}"
        style.in_cell(axes, row, column, count, ink)
    style.name_cells(axes, names, names)
    axes.set(xlabel="second rating", ylabel="first rating")
    axes.set_aspect("equal", anchor="NW")
    return figure


def _remark(rows: pd.DataFrame) -> str:
    """Number of records, and the measures without a value."""
    undefined = [MEASURES[name] for name in rows.loc[rows["value"].isna(), "measure"]]
    return "\n".join([f"n = {rows['records'].max():,}", *(f"{name}: undefined" for name in undefined)])
