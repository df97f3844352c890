"""Agreement between the ratings of a record, per phase and facet."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import krippendorff
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa

from attention_faults.errors import InputError
from attention_faults.taxonomy.resampling import Floats, cluster_bootstrap, percentile_interval

Integers = NDArray[np.intp]

ADJUDICATION = "adjudication"
PAIRED_ROUNDS = ["first", "second"]

_NOT_FACETS = ["record_id", "phase", "round", "rater", "confidence"]


def measure(
    ratings: pd.DataFrame, projects: pd.Series, *, draws: int, level: float, seed: int
) -> pd.DataFrame:
    """Measure the agreement of the first with the second round, and of all where more than two rated.

    An empty cell is "not rated"; an adjudication is no rating. Raters rotate, so kappa is of rounds, not of
    persons. Fleiss' kappa (1971) wants equally many ratings of every record: it is taken over the records
    that have the most frequent number of ratings above two (the larger number on a tie).

    Values come from scikit-learn, krippendorff (whose memory grows with pairs x labels^2) and statsmodels.
    Intervals are percentile intervals of a bootstrap that redraws projects with all their records.

    Undefined is NaN: every measure without a pair; the chance-corrected ones where all ratings are one and
    the same label (agreement is 1 there); every interval where the ratings are of one project. A bootstrap
    draw in which a measure is undefined is left out of its interval.

    Args:
        ratings: text, one row a record, phase, round and rater; its facets are what `facets` returns.
        projects: project of each record, indexed by `record_id`.
        draws: bootstrap samples of projects.
        level: coverage of the intervals, for example 0.95.
        seed: of the bootstrap.

    Returns:
        One row a phase and facet (in order of appearance, those with a rating) and measure
        (`percent_agreement`, `cohen_kappa`, `krippendorff_alpha`, and `fleiss_kappa` where it applies):
        phase, facet, measure, value, low, high, records (how many the value rests on).

    Raises:
        InputError: if a record has no project, or is rated twice on a facet in one round.
    """
    unknown = ratings.loc[~ratings["record_id"].isin(projects.index), "record_id"].unique()
    if len(unknown):
        raise InputError(
            f"ratings: column `record_id`: `{x}` is not among the fault records" for x in unknown
        )
    columns = ["phase", "facet", "measure", "value", "low", "high", "records"]
    tables = [
        sample.table(draws=draws, level=level, seed=seed).assign(phase=phase, facet=facet)
        for phase, facet, labels in _by_facet(ratings)
        for sample in (_of_pairs(labels, projects), *_of_many(labels, projects))
    ]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def pair_values(ratings: pd.DataFrame) -> pd.DataFrame:
    """Return the agreement of the first with the second round, without intervals.

    Args:
        ratings: as in `measure`.

    Returns:
        One row a phase and facet, in order of appearance: phase, facet, percent_agreement, cohen_kappa,
        krippendorff_alpha (undefined ones as in `measure`), records (pairs they rest on).

    Raises:
        InputError: if a record is rated twice on a facet in one round.
    """
    rows = []
    for phase, facet, labels in _by_facet(ratings):
        pairs = _pairs(labels)
        codes, vocabulary = pd.factorize(pairs.to_numpy().ravel())
        first, second = codes.reshape(-1, 2).T
        values = _pair_values(first, second, len(vocabulary))
        rows.append({"phase": phase, "facet": facet, **values, "records": len(pairs)})
    columns = ["phase", "facet", "percent_agreement", "cohen_kappa", "krippendorff_alpha", "records"]
    return pd.DataFrame(rows, columns=columns)


def confusion(ratings: pd.DataFrame) -> pd.DataFrame:
    """Count the pairs of labels that the first and the second round gave to one record.

    Args:
        ratings: as in `measure`.

    Returns:
        One row a pair that occurs: phase, facet, first, second, count; phases and facets in order of
        appearance, labels by name.

    Raises:
        InputError: if a record is rated twice on a facet in one round.
    """
    columns = ["phase", "facet", *PAIRED_ROUNDS, "count"]
    tables = []
    for phase, facet, labels in _by_facet(ratings):
        counts = _pairs(labels).groupby(PAIRED_ROUNDS).size()
        tables.append(counts.reset_index(name="count").assign(phase=phase, facet=facet))
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def facets(ratings: pd.DataFrame) -> list[str]:
    """Return the columns that hold labels: all but record, phase, round, rater and confidence."""
    return [name for name in ratings.columns if name not in _NOT_FACETS]


def _by_facet(ratings: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield phase, facet and its labels: one row a record, one column a round, NaN where not rated."""
    key = ["record_id", "round"]
    for phase, part in ratings[ratings["round"] != ADJUDICATION].groupby("phase", sort=False):
        for facet in facets(ratings):
            rated = part.loc[part[facet].notna() & (part[facet] != ""), [*key, facet]]
            twice = rated.loc[rated.duplicated(key), key].drop_duplicates()
            if len(twice):
                raise InputError(
                    f"ratings: phase `{phase}`: `{record}` is rated twice on `{facet}` in round `{name}`"
                    for record, name in twice.itertuples(index=False)
                )
            if len(rated):
                yield str(phase), facet, rated.pivot(index="record_id", columns="round", values=facet)


def _pairs(labels: pd.DataFrame) -> pd.DataFrame:
    return labels.reindex(columns=PAIRED_ROUNDS).dropna()


@dataclass(frozen=True)
class _Sample:
    """Measures of one sample of ratings, and what it takes to bootstrap them."""

    values: dict[str, float]
    records: int
    totals: Floats  # shape (projects, totals)
    of_totals: Callable[[Floats], Floats]  # shape (draws, totals) -> (draws, measures)

    def table(self, *, draws: int, level: float, seed: int) -> pd.DataFrame:
        low = high = np.full(len(self.values), np.nan)
        if len(self.totals) > 1:
            drawn = cluster_bootstrap(self.totals, draws=draws, seed=seed)
            low, high = percentile_interval(self.of_totals(drawn), level)
        measures = {"measure": list(self.values), "value": list(self.values.values())}
        return pd.DataFrame({**measures, "low": low, "high": high, "records": self.records})


def _of_pairs(labels: pd.DataFrame, projects: pd.Series) -> _Sample:
    pairs = _pairs(labels)
    codes, vocabulary = pd.factorize(pairs.to_numpy().ravel())
    first, second = codes.reshape(-1, 2).T
    project, names = pd.factorize(projects.loc[pairs.index], sort=True)
    shape = (len(names), len(vocabulary))
    agreed = np.bincount(project[first == second], minlength=len(names))
    totals = np.column_stack([agreed, _count(project, first, shape), _count(project, second, shape)])
    values = _pair_values(first, second, len(vocabulary))
    return _Sample(values, len(pairs), totals.astype(np.float64), _pair_measures)


def _pair_values(first: Integers, second: Integers, vocabulary: int) -> dict[str, float]:
    agreement = kappa = alpha = np.nan
    if len(first):
        agreement = float(np.mean(first == second))
    if vocabulary > 1:
        record, shape = np.arange(len(first)), (len(first), vocabulary)
        ratings = _count(record, first, shape) + _count(record, second, shape)
        kappa = float(cohen_kappa_score(first, second))
        alpha = float(krippendorff.alpha(value_counts=ratings, level_of_measurement="nominal"))
    return {"percent_agreement": agreement, "cohen_kappa": kappa, "krippendorff_alpha": alpha}


def _pair_measures(totals: Floats) -> Floats:
    """Return the measures of `_pair_values` from totals: agreed pairs, then labels of either round.

    Cohen (1960, equation 1); Krippendorff (2011, section B): nominal, two observers, nothing missing.
    """
    first, second = np.split(totals[:, 1:], 2, axis=1)
    pairs, pooled = first.sum(axis=1), first + second
    agreement = totals[:, 0] / pairs
    by_chance = (first * second).sum(axis=1) / pairs**2
    disagreement_by_chance = 1 - (pooled * (pooled - 1)).sum(axis=1) / (2 * pairs * (2 * pairs - 1))
    with np.errstate(invalid="ignore"):  # a draw may hold one label only
        kappa = (agreement - by_chance) / (1 - by_chance)
        alpha = 1 - (1 - agreement) / disagreement_by_chance
    return np.column_stack([agreement, kappa, alpha])


def _of_many(labels: pd.DataFrame, projects: pd.Series) -> list[_Sample]:
    """Return the sample of Fleiss' kappa, or nothing where no record has more than two ratings."""
    number = labels.notna().sum(axis=1)
    frequency = number[number > 2].value_counts()
    if frequency.empty:
        return []
    raters = int(frequency.index[frequency == frequency.max()].max())
    rated = labels[number == raters]
    codes, vocabulary = pd.factorize(rated.stack().dropna().to_numpy())
    counts = _count(np.repeat(np.arange(len(rated)), raters), codes, (len(rated), len(vocabulary)))
    value = float(fleiss_kappa(counts)) if len(vocabulary) > 1 else np.nan
    project, names = pd.factorize(projects.loc[rated.index], sort=True)
    totals = np.zeros((len(names), 1 + len(vocabulary)))
    np.add.at(totals, project, np.column_stack([(counts**2).sum(axis=1), counts]))
    return [_Sample({"fleiss_kappa": value}, len(rated), totals, partial(_fleiss_kappa, raters=raters))]


def _fleiss_kappa(totals: Floats, raters: int) -> Floats:
    """Fleiss' kappa (1971) from totals: squared counts of labels of a record, then counts of labels."""
    ratings = totals[:, 1:].sum(axis=1)
    agreement = (totals[:, 0] / ratings - 1) / (raters - 1)
    by_chance = (totals[:, 1:] ** 2).sum(axis=1) / ratings**2
    with np.errstate(invalid="ignore"):  # a draw may hold one label only
        kappa: Floats = (agreement - by_chance) / (1 - by_chance)
    return kappa[:, np.newaxis]


def _count(rows: Integers, labels: Integers, shape: tuple[int, int]) -> Integers:
    """Count labels in each row."""
    return np.bincount(rows * shape[1] + labels, minlength=shape[0] * shape[1]).reshape(shape)
