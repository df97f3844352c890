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
def accuracy_drops(mutants: pd.DataFrame, drops: pd.DataFrame, model: str, note: str) -> Figure:
    """Draw how much accuracy the faults of a model cost: a row an operator, every mutant and every seed.

    Args:
        mutants: as from `faults.mutants.screen`, of one model.
        drops: as from `faults.mutants.paired_drops`, of that model.
        model: its name.
        note: shown below.
    """
    title = f"{model}: what each fault costs in test accuracy"
    if mutants.empty:
        return style.nothing(title, "This model is not broken in this study.", note)
    operators = style.in_order(mutants["operator"])
    parts = [mutants[mutants["operator"] == operator] for operator in operators]
    labels = [_name(part) for part in parts]
    figure = style.page(style.pitch(labels) * len(labels) + 0.9, title, note)
    axes = figure.subplots()
    axes.axvline(0, color=GREY, linewidth=0.6)
    axes.axvline(LEAST_DROP, color=GREY, linewidth=0.6, linestyle=":")
    for y, (operator, part) in enumerate(zip(operators, parts, strict=True)):
        seeds = drops.loc[drops["operator"] == operator, "drop"]
        axes.plot(seeds, np.full(len(seeds), y), "|", color=GREY, ms=6, mew=0.8)
        for verdict, mean in zip(part["verdict"], part["mean_drop"], strict=True):
            axes.plot([mean], [y], linestyle="none", **_look(verdict))
        style.beside(axes, y, _verdicts(part))
    style.name_rows(axes, labels)
    axes.grid(axis="x")
    axes.set_xlabel("clean minus faulty accuracy, matched seeds (dotted: one point)")
    seen = [verdict for verdict in VERDICTS if (mutants["verdict"] == verdict).any()]
    handles = [Line2D([], [], linestyle="none", label=verdict, **_look(verdict)) for verdict in seen]
    handles.append(Line2D([], [], linestyle="none", marker="|", color=GREY, label="one seed"))
    style.legend_above(axes, handles, columns=len(handles))
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


def _name(mutants: pd.DataFrame) -> str:
    """Name a row by its operator; a single mutant of it by place and severity too."""
    operator = str(mutants["operator"].iloc[0])
    if len(mutants) > 1:
        return readable(operator, 44)
    place, severity = mutants["place"].iloc[0], mutants["severity"].iloc[0]
    degree = "" if severity == 1 else f" ({severity:g})"
    return readable(f"{operator}{degree}" + (f", {place}" if place else ""), 44)


def _verdicts(mutants: pd.DataFrame) -> str:
    """Say the verdict of a single mutant, or how many of several are killed."""
    if len(mutants) == 1:
        return str(mutants["verdict"].iloc[0])
    return f"{(mutants['verdict'] == KILLED).sum()} of {len(mutants)} killed"


def _look(verdict: str) -> dict[str, Any]:
    colour, marker = LOOKS[verdict]
    return {"color": colour, "marker": marker, "ms": 5, "mec": "black", "mew": 0.4}
