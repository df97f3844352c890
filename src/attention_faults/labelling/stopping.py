"""When raters may stop: recall of a ranking, estimated on a control sample rated whatever its rank."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint


@dataclass(frozen=True)
class Recall:
    """Estimated share of what is looked for that has been found.

    Attributes:
        value: the estimate; NaN without a control record of the kind looked for.
        low: its lower confidence bound.
        controls: control records of the kind looked for, on which it rests.
        stop: whether the bound has reached the wanted recall.
    """

    value: float
    low: float
    controls: int
    stop: bool


def recall(control_ranks: pd.Series, depth: int, *, wanted: float, level: float) -> Recall:
    """Estimate the recall of looking at the first `depth` candidates of a ranking.

    Control records are drawn uniformly from all candidates, rated, and kept out of the model's training. Of
    those that turn out to be what is looked for, the share that the ranking puts among the first is a
    binomial estimate of its recall; the bound is that of Clopper & Pearson (1934), one-sided. It holds with
    its level at a depth fixed before: looking at every depth and stopping at the first that passes is too
    hopeful.

    Args:
        control_ranks: ranks, from 1, of the control records that are what is looked for.
        depth: how many candidates of the ranking are looked at.
        wanted: recall.
        level: of the lower bound, for example 0.95.
    """
    number, found = len(control_ranks), int((control_ranks <= depth).sum())
    if number == 0:
        return Recall(np.nan, 0.0, 0, stop=False)
    low, _ = proportion_confint(found, number, alpha=2 * (1 - level), method="beta")
    return Recall(found / number, float(low), number, stop=bool(low >= wanted))


def controls_needed(wanted: float, level: float) -> int:
    """Return how many control records of the kind looked for must all be found before raters may stop."""
    return int(np.ceil(np.log(1 - level) / np.log(wanted)))
