"""How well metrics tell faulty runs from clean ones."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from attention_faults.localisation.detection import LEAST_NEGATIVES, RECALL
from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.localisation import named
from attention_faults.reporting.figures.style import GREY, NARROWEST, SMALL

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))


@style.styled
def detection_roc(detection: pd.DataFrame, curves: pd.DataFrame, note: str) -> Figure:
    """Draw recall against false alarms, a curve a ranker, and name the areas with their intervals.

    Args:
        detection: as from `detection.detect`.
        curves: as from `detection.curves`.
        note: shown below.
    """
    title = "Telling faulty runs from clean ones"
    if detection.empty:
        return style.nothing(title, "No run is scored.", note)
    judged = detection[detection["auroc"].notna()].set_index("ranker")
    shown = [name for name in style.in_order(curves["ranker"]) if name in judged.index]
    if not shown:
        return style.nothing(title, _why_not(detection), note)
    faulty, clean = judged["faulty_runs"].max(), judged["negatives"].max()
    figure = style.page(3.1, f"{title}: {faulty:,} faulty, {clean:,} clean", note, max(NARROWEST, 6.4))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    axes.text(0.62, 0.55, "chance", fontsize=SMALL, color=GREY, va="top")
    axes.axhline(RECALL, color=GREY, linewidth=0.5)
    for number, name in enumerate(shown):
        part = curves[curves["ranker"] == name]
        axes.plot(
            part["false_alarms"],
            part["recall"],
            color=style.PALETTE[number % len(style.PALETTE)],
            linestyle=LINES[number % len(LINES)],
            linewidth=1.4,
            label=_described(judged.loc[[name]]),
        )
    for along, label in (
        (axes.xaxis, "false alarms: share of clean runs that are called faulty"),
        (axes.yaxis, "recall: share of faulty runs that are called so"),
    ):
        along.set_major_formatter(PercentFormatter(1, decimals=0))
        along.set_label_text(label)
    axes.grid()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_aspect("equal", anchor="W")
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        borderaxespad=0,
        handlelength=3,
        labelspacing=0.9,
        title="area under the curve (interval)",
        title_fontsize=SMALL,
        alignment="left",
    )
    return figure


def _described(rows: pd.DataFrame) -> str:
    name, row = next(rows.iterrows())
    alarms = f"{row['false_alarms']:.0%} false alarms at {RECALL:.0%} recall"
    return f"{named(str(name))}: {row['auroc']:.2f} ({row['low']:.2f} to {row['high']:.2f})\n{alarms}"


def _why_not(detection: pd.DataFrame) -> str:
    found = f"{detection['faulty_runs'].max()} faulty runs and {detection['negatives'].max()} clean ones"
    return f"Not estimable: it takes a faulty run and {LEAST_NEGATIVES} clean ones; there are {found}."
