"""Prevalence: counts and shares of every label, with intervals that allow for records of one project."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from statsmodels.stats.proportion import proportion_confint

from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC, Codebook
from attention_faults.taxonomy.resampling import Floats, cluster_bootstrap, percentile_interval

TEXT_FACETS = ("framework", "source", "stratum")
SAMPLING_GROUPS = ("query_names_attention", "stratum")

BOOTSTRAP = "bootstrap"
WILSON_EFFECTIVE_N = "wilson_effective_n"

# with fewer, on either side of a share, the bootstrap of so few clusters is unreliable
MINIMUM_RECORDS = 5
MINIMUM_PROJECTS = 10

_COLUMNS = [
    "facet",
    "label",
    "count",
    "n",
    "share",
    "wilson_low",
    "wilson_high",
    "clustered_low",
    "clustered_high",
    "clustered_method",
    "projects",
    "design_effect",
]


def measure(
    records: pd.DataFrame, codebook: Codebook, *, draws: int, level: float, seed: int
) -> pd.DataFrame:
    """Count every label of every facet that the records have.

    Facets are the codebook's columns, framework, source, stratum and year (of `created`). A record without a
    label is not in the facet's `n`. Labels of the codebook stand in its order, unseen ones too; other labels
    by falling count, then name; years in time.

    Args:
        records: one row a fault, with `project`, label columns categorical (`Codebook.categorise`).
        codebook: of these records.
        draws: bootstrap samples of projects.
        level: coverage of the intervals, for example 0.95.
        seed: of the bootstrap.

    Returns:
        One row a population, facet and label:

        - population: `all`, or `attention_specific` (category and root cause among those records alone);
        - facet, label, count, n, share (count / n; empty, as are the intervals, where n is 0);
        - wilson_low, wilson_high: interval of Wilson (1927), records taken as independent;
        - clustered_low, clustered_high, clustered_method: `bootstrap` is the percentile interval of the
          project-clustered bootstrap; `wilson_effective_n` is Wilson's interval on n / design_effect, where
          fewer than 5 records or 10 projects have the label, or fewer have another one (a share near 1 is
          as hard to bootstrap as a share near 0);
        - projects: those with a record of the label;
        - design_effect: see the function of that name.
    """
    shares = partial(_shares, draws=draws, level=level, seed=seed)
    specific = records[records["scope"] == ATTENTION_SPECIFIC]
    populations = {
        "all": shares(_facets(records, codebook), records["project"]),
        ATTENTION_SPECIFIC: shares(_specific_facets(specific, codebook), specific["project"]),
    }
    return pd.concat(populations, names=["population"]).reset_index("population").reset_index(drop=True)


def by_group(
    records: pd.DataFrame, *, column: str, group: str, draws: int, level: float, seed: int
) -> pd.DataFrame:
    """Count the labels of `column` within each label of `group`.

    Args:
        records: one row a fault, with `project`; both columns are categorical or text.
        column: facet whose labels are counted.
        group: facet that splits the records; those without a label in it are left out.
        draws: bootstrap samples of the projects of each group.
        level: coverage of the intervals, for example 0.95.
        seed: of the bootstrap.

    Returns:
        One row a group and label: group, group_label (those seen, ordered as labels are in `measure`), then
        the columns of `measure` from `facet` on.

    Raises:
        KeyError: if `records` has no such column or group.
    """
    groups, labels = _labels(records[group]), _labels(records[column])
    parts = [
        _shares(
            {column: labels.loc[part.index]}, part["project"], draws=draws, level=level, seed=seed
        ).assign(group=group, group_label=label)
        for label, part in records.groupby(groups, observed=True)
    ]
    return _stack_groups(parts)


def scope_by_group(records: pd.DataFrame, *, draws: int, level: float, seed: int) -> pd.DataFrame:
    """Count scopes within each label of what shaped the sample: `SAMPLING_GROUPS`, those the records have.

    Arguments and columns are those of `by_group`.
    """
    parts = [
        by_group(records, column="scope", group=group, draws=draws, level=level, seed=seed)
        for group in SAMPLING_GROUPS
        if group in records
    ]
    return _stack_groups([part for part in parts if len(part)])


def share_intervals(
    holds: ArrayLike, projects: pd.Series, *, draws: int, level: float, seed: int
) -> pd.DataFrame:
    """Clustered intervals of the shares of records for which something holds, by the rule of `measure`.

    Args:
        holds: (records, shares) 1 where it holds, 0 where it does not, NaN where that is not known.
        projects: (records,) project of each record.
        draws: bootstrap samples of projects, the same for all shares.
        level: coverage of the intervals, for example 0.95.
        seed: of the bootstrap.

    Returns:
        One row a share: low, high, method (`bootstrap` or `wilson_effective_n`); no ends where nothing is
        known of any record.
    """
    codes, names = pd.factorize(projects, sort=True)
    known = np.asarray(holds, dtype=float).T
    tables = [
        np.column_stack([np.bincount(codes, x, len(names)) for x in (values == 1, values == 0)])
        for values in known
    ]
    intervals = _clustered([sparse.csc_array(table) for table in tables], draws=draws, level=level, seed=seed)
    of_holding = intervals[["clustered_low", "clustered_high", "clustered_method"]].iloc[::2]
    return of_holding.set_axis(["low", "high", "method"], axis=1).reset_index(drop=True)


def design_effect(table: sparse.csc_array) -> Floats:
    """Variance of each label's share under cluster over that under simple random sampling (Kish 1965).

    The clustered variance is the linearised one of a ratio, C/(C-1) sum_c (y_c - p n_c)^2 / n^2 over C
    clusters; the binomial one is p(1-p)/(n-1), so that clusters of one record give exactly 1. What is below 1
    is set to 1. A label never seen has no variance of its own and takes the mean design effect of its facet
    (Rao & Scott 1981). With one cluster, or one label for all records, nothing is known about clustering:
    records of a cluster are then taken to be all alike, which gives sum_c n_c^2 / n.

    Args:
        table: counts, shape (clusters, labels).

    Returns:
        Shape (labels,); NaN where the table is empty.
    """
    sizes, counts = table.sum(axis=1), table.sum(axis=0)
    n, clusters = sizes.sum(), np.float64(np.count_nonzero(sizes))
    seen = counts > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        share = counts / n
        squares = table.power(2).sum(axis=0) - 2 * share * (table.T @ sizes) + share**2 * (sizes @ sizes)
        clustered = clusters / (clusters - 1) * squares / n**2
        effect = clustered / (share * (1 - share) / (n - 1))
        mean = np.sum((1 - share[seen]) * effect[seen]) / np.float64(max(seen.sum() - 1, 0))
        effect = np.where(seen, effect, mean)
        effect = np.where(np.isfinite(effect), effect, sizes @ sizes / n)
    floored: Floats = np.maximum(effect, 1)
    return floored


def _facets(records: pd.DataFrame, codebook: Codebook) -> dict[str, pd.Series]:
    facets = {name: records[name] for name in (*codebook.columns, *TEXT_FACETS) if name in records}
    if "created" in records:
        years = records["created"].str[:4]
        facets["year"] = years.where(years != "").astype("category")
    return {name: _labels(values) for name, values in facets.items()}


def _specific_facets(specific: pd.DataFrame, codebook: Codebook) -> dict[str, pd.Series]:
    """Category and root cause without the labels that only other scopes can have."""
    categories = [x for x, entry in codebook.categories.items() if entry.scope == ATTENTION_SPECIFIC]
    causes = [x for x, category in codebook.category_of.items() if category in categories]
    return {
        "category": specific["category"].cat.set_categories(categories),
        "root_cause": specific["root_cause"].cat.set_categories(causes),
    }


def _labels(values: pd.Series) -> pd.Series:
    """Text as categorical, by falling count, then name, empty text missing; a categorical as it is."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values
    text = values.where(values != "")
    order = text.value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    return text.astype(pd.CategoricalDtype(order))


def _shares(
    facets: Mapping[str, pd.Series], projects: pd.Series, *, draws: int, level: float, seed: int
) -> pd.DataFrame:
    """Rows of `measure` for some facets of one population; all facets see the same draws of projects."""
    tables = [_contingency(projects, labels) for labels in facets.values()]
    counts = [
        _counted(name, labels.cat.categories, table, level)
        for (name, labels), table in zip(facets.items(), tables, strict=True)
    ]
    intervals = _clustered(tables, draws=draws, level=level, seed=seed)
    return pd.concat([pd.concat(counts, ignore_index=True), intervals], axis=1)[_COLUMNS]


def _stack_groups(parts: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ["group", "group_label", *_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _contingency(projects: pd.Series, labels: pd.Series) -> sparse.csc_array:
    """Count labels in each project, shape (projects, labels)."""
    codes, names = pd.factorize(projects, sort=True)
    label = labels.cat.codes.to_numpy()
    has_label = label >= 0
    cells = (codes[has_label], label[has_label])
    shape = (len(names), len(labels.cat.categories))
    return sparse.coo_array((np.ones(has_label.sum()), cells), shape=shape).tocsc()


def _counted(facet: str, labels: pd.Index, table: sparse.csc_array, level: float) -> pd.DataFrame:
    counts, n = table.sum(axis=0), table.sum()
    low, high = _wilson(counts, n, np.ones(len(counts)), level)
    return pd.DataFrame(
        {
            "facet": facet,
            "label": labels.astype(str),
            "count": counts.astype(np.int64),
            "n": int(n),
            "share": counts / (n or np.nan),
            "wilson_low": low,
            "wilson_high": high,
        }
    )


def _clustered(tables: Sequence[sparse.csc_array], *, draws: int, level: float, seed: int) -> pd.DataFrame:
    """Intervals of the shares of labels, one row a table and label; all tables see the same draws.

    Args:
        tables: counts, each of shape (projects, labels).
        draws: bootstrap samples of projects.
        level: coverage of the intervals.
        seed: of the bootstrap.
    """
    rows = pd.concat([_without_bootstrap(table, level) for table in tables], ignore_index=True)
    many = (rows["clustered_method"] == BOOTSTRAP).to_numpy()
    if many.any():
        facet = np.repeat(np.arange(len(tables)), [table.shape[1] for table in tables])[many]
        counts = sparse.hstack(tables, format="csc")[:, many].toarray()
        sizes = np.column_stack([table.sum(axis=1) for table in tables])
        totals = cluster_bootstrap(np.hstack([counts, sizes]), draws=draws, seed=seed)
        with np.errstate(invalid="ignore"):  # a draw may hold no record that has the facet
            shares = totals[:, : len(facet)] / totals[:, len(facet) :][:, facet]
        rows.loc[many, ["clustered_low", "clustered_high"]] = np.transpose(percentile_interval(shares, level))
    return rows


def _without_bootstrap(table: sparse.csc_array, level: float) -> pd.DataFrame:
    counts, sizes = table.sum(axis=0), table.sum(axis=1)
    n, effect = sizes.sum(), design_effect(table)
    low, high = _wilson(counts, n, effect, level)
    cells = table.tocoo()
    all_of_project = np.bincount(cells.col[cells.data == sizes[cells.row]], minlength=len(counts))
    projects = np.bincount(cells.col, minlength=len(counts))
    enough = (
        (np.minimum(counts, n - counts) >= MINIMUM_RECORDS)
        & (projects >= MINIMUM_PROJECTS)
        & (np.count_nonzero(sizes) - all_of_project >= MINIMUM_PROJECTS)
    )
    return pd.DataFrame(
        {
            "clustered_low": low,
            "clustered_high": high,
            "clustered_method": np.where(enough, BOOTSTRAP, WILSON_EFFECTIVE_N),
            "projects": projects,
            "design_effect": effect,
        }
    )


def _wilson(counts: NDArray[Any], n: Any, effect: Floats, level: float) -> tuple[Floats, Floats]:
    """Wilson's interval on n / effect; NaN where n is 0."""
    if n == 0:
        return np.full(len(counts), np.nan), np.full(len(counts), np.nan)
    low, high = proportion_confint(counts / effect, n / effect, alpha=1 - level, method="wilson")
    # rounding leaves ends like 4e-19
    return np.where(counts == 0, 0.0, low), np.where(counts == n, 1.0, high)
