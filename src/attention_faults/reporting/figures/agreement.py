"""How far raters agree, and what they confuse."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import PowerNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.style import (
    CHARACTER,
    FAINT,
    NARROWEST,
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
    """Draw agreement with its interval for each facet, one panel a phase; what is undefined is named.

    Args:
        agreement: as from `taxonomy.agreement.measure`.
        note: shown below.
    """
    title = "Agreement of the ratings"
    if agreement.empty:
        return style.nothing(title, "No record is rated.", note)
    phases = {str(phase): part for phase, part in agreement.groupby("phase", sort=False, observed=True)}
    facets = {phase: style.in_order(part["facet"]) for phase, part in phases.items()}
    looks = {name: style.mark(number) for number, name in enumerate(MEASURES)}
    measures = [name for name in MEASURES if (agreement["measure"] == name).any()]
    remarks = [
        [_remark(part[part["facet"] == facet]) for facet in facets[phase]] for phase, part in phases.items()
    ]
    names = [[readable(facet) for facet in labels] for labels in facets.values()]
    pitch = max(*(style.pitch(texts) for texts in (*remarks, *names)), 0.12 * len(measures) + 0.1)
    sizes = [len(labels) for labels in names]
    figure = style.page(pitch * sum(sizes) + 0.45 * len(phases) + 1.0, title, note)
    panels = figure.subplots(len(phases), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
    for number, (axes, (phase, part)) in enumerate(zip(panels, phases.items(), strict=True)):
        for name, offset in zip(measures, style.spread(len(measures)), strict=True):
            rows = part[part["measure"] == name]
            y = np.array([facets[phase].index(facet) for facet in rows["facet"]]) + offset
            style.intervals(axes, rows, ("value", "low", "high"), y, **looks[name])
        style.name_rows(axes, names[number])
        axes.set_title(readable(phase, 60), pad=None if number else 30)  # the legend comes between
        axes.grid(axis="x")
        for row, remark in enumerate(remarks[number]):
            style.beside(axes, row, remark)
    panels[-1].set_xlim(min(0, agreement[["value", "low"]].min().min() - 0.02), 1.02)
    panels[-1].set_xlabel("agreement")
    style.legend_above(
        panels[0], [Line2D([], [], **looks[x], label=MEASURES[x]) for x in measures], columns=2
    )
    return figure


@style.styled
def confusion_heatmap(
    confusion: pd.DataFrame, facet: str, phase: str, note: str, *, order: Sequence[str] | None = None
) -> Figure:
    """Draw the counts of first against second ratings of a facet; agreement is grey, confusion coloured.

    Args:
        confusion: as from `taxonomy.agreement.confusion`.
        facet: to show.
        phase: to show.
        note: shown below.
        order: labels in the order to show them, for example `Codebook.labels(facet)`; those never given are
            left out, others follow by name.
    """
    ours = confusion[(confusion["facet"] == facet) & (confusion["phase"] == phase)]
    title = f"{style.heading(facet)}: two ratings of {ours['count'].sum():,} faults"
    if ours.empty:
        return style.nothing(title, f"No record has two ratings of its {readable(facet)}.", note)
    given = set(ours["first"]) | set(ours["second"])
    labels = [label for label in order or [] if label in given]
    labels += sorted(given - set(labels))
    counts = ours.pivot(index="first", columns="second", values="count").reindex(index=labels, columns=labels)
    table = counts.fillna(0).to_numpy(dtype=float)
    names = [readable(label) for label in labels]
    label_width = CHARACTER * max((len(line) for name in names for line in name.splitlines()), default=1)
    cell = max(style.pitch(names), 0.21, min(0.45, 3 / len(labels)))
    width = max(NARROWEST, label_width + cell * len(labels) + 0.5)
    figure = style.page(label_width + cell * len(labels) + 0.75, title, note, width)
    axes = figure.subplots()
    same = np.eye(len(labels), dtype=bool)
    shades = PowerNorm(0.5, vmin=1, vmax=max(table[~same].max(initial=0), 2))
    colours = colormaps[SEQUENTIAL](shades(np.maximum(table, 1)))
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
    """Return the number of records, and which measures have no value."""
    undefined = [f"no {MEASURES[name]}" for name in rows.loc[rows["value"].isna(), "measure"]]
    return "\n".join([f"n = {rows['records'].max():,}", *undefined])
