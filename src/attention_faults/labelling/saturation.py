"""Is the taxonomy complete? How many labels appear as records are added, and how many there may be in all."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Richness:
    """Estimated number of labels, seen or not.

    Attributes:
        observed: labels seen.
        singletons: labels of one record (or project).
        doubletons: labels of two.
        estimate: lower bound of the number of labels.
        low: lower end of its interval.
        high: upper end of its interval.
        coverage: estimated share of all faults whose label has been seen.
    """

    observed: int
    singletons: int
    doubletons: int
    estimate: float
    low: float
    high: float
    coverage: float


def chao1(counts: NDArray[np.int64], level: float) -> Richness:
    """Estimate the number of labels from how often each was seen.

    The bias-corrected estimator of Chao (1984), its variance and log-normal interval as in Chao (1987) and
    Colwell (EstimateS, appendix B, equations 5 to 7 and 13); coverage by Good (1953). It is a lower bound:
    labels too rare to show as singletons leave no trace.

    Args:
        counts: records of each label, zeros ignored.
        level: of the interval, for example 0.95.

    Raises:
        ValueError: if no label was seen.
    """
    seen = counts[counts > 0]
    if not len(seen):
        raise ValueError("no label was seen")
    n, observed = int(seen.sum()), len(seen)
    once, twice = int((seen == 1).sum()), int((seen == 2).sum())
    shrink = (n - 1) / n
    unseen = shrink * once * (once - 1) / (2 * (twice + 1))
    if twice > 0 and once > 0:
        ratio = once / twice
        variance = twice * (shrink * ratio**2 / 2 + shrink**2 * ratio**3 + shrink**2 * ratio**4 / 4)
    else:
        estimate = observed + unseen
        variance = (
            shrink * once * (once - 1) / 2
            + shrink**2 * once * (2 * once - 1) ** 2 / 4
            - shrink**2 * once**4 / (4 * estimate)
        )
    low = high = float(observed)
    if unseen > 0:
        spread = np.exp(norm.ppf((1 + level) / 2) * np.sqrt(np.log(1 + variance / unseen**2)))
        low, high = observed + unseen / spread, observed + unseen * spread
    return Richness(observed, once, twice, observed + unseen, low, high, 1 - once / n)


def richness(records: pd.DataFrame, facets: list[str], level: float) -> pd.DataFrame:
    """Estimate the number of labels of some facets, with records and with projects as the units.

    Records of one project are not independent: counted by project, a label that one project reports ten times
    is a singleton.

    Returns:
        One row a facet and unit: facet, unit (`record`, `project`), units, in_codebook, and the fields of
        `Richness`.
    """
    rows = []
    for facet in facets:
        known = records[records[facet].notna()]
        for unit, part in (("record", known), ("project", known.drop_duplicates(["project", facet]))):
            counts = part[facet].value_counts().to_numpy()
            found = chao1(counts.astype(np.int64), level)
            units = len(known) if unit == "record" else known["project"].nunique()
            row = {"facet": facet, "unit": unit, "units": units}
            rows.append(row | {"in_codebook": len(records[facet].cat.categories)} | vars(found))
    return pd.DataFrame(rows)


def accumulation(labels: pd.Series, *, orders: int, level: float, seed: int) -> pd.DataFrame:
    """Return how many different labels the first records hold, over random orders of the records.

    The mean is exact (Hurlbert 1971, rarefaction); the band is the range of the middle `level` of the orders.

    Args:
        labels: one a record; missing ones are left out.
        orders: random orders, at least 1.
        level: share of the orders within the band.
        seed: of the orders.

    Returns:
        records (1 to all), mean, low, high.
    """
    codes, names = pd.factorize(labels.dropna(), sort=True)
    n = len(codes)
    generator = np.random.default_rng(seed)
    first = np.empty((orders, len(names)), dtype=np.int64)
    for order in range(orders):
        shuffled = generator.permutation(codes)
        first[order] = np.unique(shuffled, return_index=True)[1]
    seen = np.sort(first, axis=1)
    steps = np.arange(1, n + 1)
    curves = np.stack([np.searchsorted(row, steps) for row in seen])
    low, high = np.quantile(curves, [(1 - level) / 2, (1 + level) / 2], axis=0)
    mean = _rarefaction(np.bincount(codes), steps)
    return pd.DataFrame({"records": steps, "mean": mean, "low": low, "high": high})


def accumulation_of(
    records: pd.DataFrame, facets: list[str], *, orders: int, level: float, seed: int
) -> pd.DataFrame:
    """Return the accumulation curves of several facets: facet, and the columns of `accumulation`."""
    curves = [
        accumulation(records[facet], orders=orders, level=level, seed=seed).assign(facet=facet)
        for facet in facets
    ]
    return pd.concat(curves, ignore_index=True)[["facet", "records", "mean", "low", "high"]]


def _rarefaction(counts: NDArray[np.int64], steps: NDArray[np.int64]) -> Floats:
    """Return the expected number of labels among `steps` records drawn without replacement."""
    n = counts.sum()
    expected = np.zeros(len(steps))
    for count in counts:
        # chance that none of the drawn records has the label: product of (n - count - i) / (n - i)
        factors = np.clip((n - count - steps + 1) / (n - steps + 1), 0, 1)
        expected += 1 - np.cumprod(factors)
    return expected
