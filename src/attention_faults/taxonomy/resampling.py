"""Resampling of projects, whose records are not independent, and of tables with given margins."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import random_table

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# weights of projects held at once: bounds memory at some 100 MB whatever the number of projects
_CHUNK = 4_000_000


def cluster_bootstrap(sums: Floats, *, draws: int, seed: int) -> Floats:
    """Totals of bootstrap samples of clusters, drawn with replacement (Davison & Hinkley 1997, section 3.8).

    A statistic that is a function of totals (a share, kappa) is bootstrapped by computing it on every row.

    Args:
        sums: shape (clusters, totals), what each cluster adds to each total. Integers give totals that are
            exact, hence the same bytes whatever the order in which the processor adds.
        draws: number of bootstrap samples, each of as many clusters as there are.
        seed: of `numpy.random.default_rng`.

    Returns:
        Shape (draws, totals).

    Raises:
        ValueError: if there is no cluster to draw.
    """
    clusters = len(sums)
    if clusters == 0:
        raise ValueError("a cluster bootstrap needs at least one cluster")
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // clusters)
    return np.concatenate(
        [_weights(generator, min(rows, draws - start), clusters) @ sums for start in range(0, draws, rows)]
    )


def _weights(generator: np.random.Generator, draws: int, clusters: int) -> Floats:
    """Return how often each draw takes each cluster, shape (draws, clusters)."""
    drawn = generator.integers(clusters, size=(draws, clusters), dtype=np.int32)
    cells = drawn + np.arange(0, draws * clusters, clusters)[:, np.newaxis]
    return np.bincount(cells.ravel(), minlength=draws * clusters).reshape(draws, clusters).astype(np.float64)


def percentile_interval(values: Floats, level: float) -> tuple[Floats, Floats]:
    """Percentile interval of each column of bootstrap values (Efron & Tibshirani 1993, section 13.3).

    Draws in which a statistic is undefined (NaN) are left out: the interval is given that it is defined.

    Args:
        values: shape (draws, statistics).
        level: coverage, for example 0.95.

    Returns:
        Lower and upper ends, each of shape (statistics,); NaN where no draw is defined.
    """
    low, high = pd.DataFrame(values).quantile([(1 - level) / 2, (1 + level) / 2]).to_numpy()
    return low, high


def fixed_margin_tables(
    rows: Integers, columns: Integers, number: int, generator: np.random.Generator
) -> Integers:
    """Draw contingency tables as they arise when labels are permuted over records (Patefield 1981).

    Args:
        rows: (rows,) sums of the rows, at least 0.
        columns: (columns,) sums of the columns, at least 0, of the same total.
        number: of tables.
        generator: of the draws.

    Returns:
        Shape (number, rows, columns).
    """
    row, column = np.flatnonzero(rows), np.flatnonzero(columns)
    tables = np.zeros((number, len(rows), len(columns)), dtype=np.int64)
    if min(len(row), len(column)) < 2:
        # a single table has these margins; scipy 1.17 draws others
        tables[:] = np.outer(rows, columns) // max(rows.sum(), 1)
        return tables
    law = random_table(rows[row], columns[column])
    tables[:, row[:, np.newaxis], column] = law.rvs(number, random_state=generator)
    return tables


def one_per_project(records: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return one record of each project, drawn at random, in the order of `records`, index renumbered."""
    shuffled = records.sample(frac=1, random_state=np.random.default_rng(seed))
    return shuffled.drop_duplicates("project").sort_index().reset_index(drop=True)
