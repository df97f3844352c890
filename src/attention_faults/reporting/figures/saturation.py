"""Whether more records would bring more labels."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from attention_faults.reporting.figures import style
from attention_faults.reporting.figures.style import BLUE, GREY, SKY, readable


@style.styled
def accumulation_curves(curves: pd.DataFrame, richness: pd.DataFrame, note: str) -> Figure:
    """Draw how many labels of each facet the first records hold, and how many there may be in all.

    Args:
        curves: as from `labelling.saturation.accumulation_of`.
        richness: as from `labelling.saturation.richness`.
        note: shown below.
    """
    title = "Labels seen as records are added"
    if curves.empty:
        return style.nothing(title, "No record has a label.", note)
    facets = style.in_order(curves["facet"])
    figure = style.page(2.6, title, note)
    for axes, facet in zip(figure.subplots(1, len(facets), squeeze=False)[0], facets, strict=True):
        curve = curves[curves["facet"] == facet]
        estimate = richness[(richness["facet"] == facet) & (richness["unit"] == "project")].iloc[0]
        axes.fill_between(curve["records"], curve["low"], curve["high"], color=SKY, alpha=0.4, linewidth=0)
        axes.plot(curve["records"], curve["mean"], color=BLUE, lw=1.3)
        axes.axhline(estimate["estimate"], color=GREY, lw=1, ls=":")
        axes.axhspan(estimate["low"], estimate["high"], color=GREY, alpha=0.15, linewidth=0)
        axes.set_title(f"{readable(facet)}: {estimate['observed']} seen, Chao1 {estimate['estimate']:.1f}")
        axes.set_xlabel("records")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    return figure
