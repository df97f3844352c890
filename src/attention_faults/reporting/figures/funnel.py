"""Figure of what became of the threads that were found."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.style import BLUE, ORANGE, readable


@style.styled
def funnel_bars(counts: pd.DataFrame, note: str) -> Figure:
    """Draw how many threads each stage holds, and between them why threads were dropped.

    Args:
        counts: as from `mining.funnel.count`.
        note: shown below: how complete the queries are.
    """
    stages = counts["reason"] == ""
    found = int(counts.loc[stages, "all"].iloc[0])
    title = f"From {found:,} threads found to {int(counts['all'].iloc[-1]):,} to label"
    rows = counts[stages | (counts["all"] > 0)].reset_index(drop=True)
    stages = rows["reason"] == ""
    labels = [
        readable(reason) if reason else style.heading(stage)
        for stage, reason in zip(rows["stage"], rows["reason"], strict=True)
    ]
    figure = style.page(style.pitch(labels) * len(labels) + 0.9, title, note)
    axes = figure.subplots()
    y = np.arange(len(rows))
    # what is dropped hangs from the end of what was there before
    before = rows["all"].where(stages).ffill()
    dropped = rows["all"].where(~stages, 0).groupby(stages.cumsum()).cumsum()
    axes.barh(y[stages], rows.loc[stages, "all"], height=0.68, color=BLUE, edgecolor="black", lw=0.3)
    axes.barh(
        y[~stages],
        rows.loc[~stages, "all"],
        left=(before - dropped)[~stages],
        height=0.68,
        color=ORANGE,
        hatch="////",
        edgecolor="black",
        lw=0.3,
    )
    for row, number in enumerate(rows["all"]):
        style.beside(axes, row, f"{number:,}")
    style.name_rows(axes, labels)
    axes.set_xlabel("threads")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.grid(axis="x")
    style.legend_above(axes, [style.patch(BLUE, "there"), style.patch(ORANGE, "dropped, and why", "////")], 2)
    return figure
