"""Figures of which faults show in the task metric."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from attention_faults.faults.mutants import CRASHED, KILLED, LEAST_DROP, SURVIVING, UNDECIDED, VERDICTS
from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.style import BLUE, FAINT, GREY, ORANGE, VERMILLION, readable

LOOKS: dict[str, tuple[str, str]] = {
    KILLED: (BLUE, "o"),
    SURVIVING: (ORANGE, "s"),
    CRASHED: (VERMILLION, "X"),
    UNDECIDED: (GREY, "D"),
}
HATCHES = {KILLED: "", SURVIVING: "////", CRASHED: "xxxx", UNDECIDED: "...."}


@style.styled
def accuracy_drops(mutants: pd.DataFrame, drops: pd.DataFrame, note: str) -> Figure:
    """Draw how much accuracy each fault costs, one panel a model: every seed, and their mean by verdict.

    Args:
        mutants: as from `faults.mutants.screen`.
        drops: as from `faults.mutants.paired_drops`.
        note: shown below.
    """
    title = "What each fault costs in test accuracy"
    if mutants.empty:
        return style.nothing(title, "No model is broken in this study.", note)
    models = style.in_order(mutants["model"])
    rows = {model: mutants[mutants["model"] == model].reset_index(drop=True) for model in models}
    names = {model: [_name(row) for _, row in part.iterrows()] for model, part in rows.items()}
    pitch = max(style.pitch(labels) for labels in names.values())
    sizes = [len(labels) for labels in names.values()]
    figure = style.page(pitch * sum(sizes) + 0.45 * len(models) + 0.9, title, note)
    panels = figure.subplots(len(models), 1, sharex=True, squeeze=False, height_ratios=sizes)[:, 0]
    for number, (axes, model) in enumerate(zip(panels, models, strict=True)):
        axes.axvline(0, color=GREY, linewidth=0.6)
        axes.axvline(LEAST_DROP, color=GREY, linewidth=0.6, linestyle=":")
        for y, (_, row) in enumerate(rows[model].iterrows()):
            ours = drops.merge(row[["model", "operator", "place", "severity"]].to_frame().T, how="inner")
            axes.plot(ours["drop"], np.full(len(ours), y), "|", color=GREY, ms=6, mew=0.8)
            axes.plot([row["mean_drop"]], [y], linestyle="none", **_look(row["verdict"]))
        style.name_rows(axes, names[model])
        axes.set_title(readable(model), pad=None if number else 18)  # the legend comes between
        axes.grid(axis="x")
        for y, verdict in enumerate(rows[model]["verdict"]):
            style.beside(axes, y, verdict)
    panels[-1].set_xlabel("clean minus faulty accuracy, matched seeds (dotted: one point)")
    seen = [verdict for verdict in VERDICTS if (mutants["verdict"] == verdict).any()]
    handles = [Line2D([], [], linestyle="none", label=verdict, **_look(verdict)) for verdict in seen]
    handles.append(Line2D([], [], linestyle="none", marker="|", color=GREY, label="one seed"))
    style.legend_above(panels[0], handles, columns=len(handles))
    return figure


@style.styled
def mutation_score_bars(scores: pd.DataFrame, note: str) -> Figure:
    """Draw the verdicts on the mutants of each category, with the mutation score beside.

    Args:
        scores: as from `faults.mutants.mutation_scores`.
        note: shown below.
    """
    title = "Mutants killed, by category"
    rows = scores[scores["by"] == "category"].reset_index(drop=True)
    if rows.empty:
        return style.nothing(title, "No model is broken in this study.", note)
    labels = [readable(label) for label in rows["label"]]
    figure = style.page(style.pitch(labels) * len(labels) + 0.95, title, note)
    axes = figure.subplots()
    y, left = np.arange(len(rows)), np.zeros(len(rows))
    for verdict in VERDICTS:
        counts = rows[verdict].to_numpy(dtype=float)
        colour, hatch = LOOKS[verdict][0], HATCHES[verdict]
        axes.barh(y, counts, left=left, height=0.68, color=colour, hatch=hatch, edgecolor="black", lw=0.3)
        left = left + counts
    style.name_rows(axes, labels)
    axes.set_xlabel("mutants")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="x", color=FAINT)
    for row, score in enumerate(rows["mutation_score"]):
        style.beside(axes, row, "no verdict" if pd.isna(score) else f"score {score:.0%}")
    patches = [style.patch(LOOKS[verdict][0], verdict, HATCHES[verdict]) for verdict in VERDICTS]
    style.legend_above(axes, patches, columns=4)
    return figure


def _name(row: pd.Series) -> str:
    severity = "" if row["severity"] == 1 else f" ({row['severity']:g})"
    place = f", {row['place']}" if row["place"] else ""
    return readable(f"{row['operator']}{severity}{place}", 44)


def _look(verdict: str) -> dict[str, Any]:
    colour, marker = LOOKS[verdict]
    return {"color": colour, "marker": marker, "ms": 5, "mec": "black", "mew": 0.4}
