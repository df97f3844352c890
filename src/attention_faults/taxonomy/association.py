"""Association of facets (symptom, trigger, ...) with outcomes (category, root cause).

Records are counted once into contingency tables; everything else works on the tables. Records that miss the
facet or one of the outcomes are left out, and so are labels that no remaining record has.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import false_discovery_control, fisher_exact
from scipy.stats.contingency import odds_ratio

from attention_faults.taxonomy.codebook import FACET_KEYS
from attention_faults.taxonomy.resampling import fixed_margin_tables, one_per_project

Array = npt.NDArray[Any]

CELLS_AT_ONCE = 2**21  # of random tables: 16 MiB a copy
NEGLIGIBLE = 37.0  # -log of a probability below the resolution of a double

TABLE_COLUMNS = [
    "facet",
    "outcome",
    "n",
    "rows",
    "columns",
    "chi2",
    "permutations",
    "p_permutation",
    "cramers_v",
    "cramers_v_corrected",
    "expected_below_5",
    "smallest_detectable_odds_ratio",
]
CELL_COLUMNS = [
    "facet",
    "outcome",
    "facet_label",
    "outcome_label",
    "support",
    "facet_count",
    "outcome_count",
    "n",
    "confidence",
    "lift",
    "leverage",
    "adjusted_residual",
    "odds_ratio",
    "odds_ratio_low",
    "odds_ratio_high",
    "p_fisher",
    "p_bh",
    "p_by",
]


def measure(
    records: pd.DataFrame,
    *,
    outcomes: Sequence[str],
    permutations: int,
    level: float,
    power: float,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test every facet of a dataset against `outcomes`, on all records and on one record a project.

    In the sample `one_per_project` no two records share a project.

    Returns:
        Results of `test_tables` and of `test_cells`, with `sample` as first column.
    """
    samples = {
        "all_records": records,
        "one_per_project": one_per_project(records, seed),
    }
    asked: dict[str, Any] = {"facets": [name for name in FACET_KEYS if name in records], "outcomes": outcomes}
    tables = {
        name: test_tables(sample, **asked, permutations=permutations, level=level, power=power, seed=seed)
        for name, sample in samples.items()
    }
    cells = {name: test_cells(sample, **asked, level=level) for name, sample in samples.items()}
    return _stack(tables), _stack(cells)


def _stack(of_samples: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(of_samples, names=["sample"]).reset_index("sample").reset_index(drop=True)


def test_tables(
    records: pd.DataFrame,
    *,
    facets: Sequence[str],
    outcomes: Sequence[str],
    permutations: int,
    level: float,
    power: float,
    seed: int,
) -> pd.DataFrame:
    """Test each facet against each outcome as a whole.

    `p_permutation` is the share of `permutations` of the facet's labels whose Pearson chi-square reaches the
    observed one, the observed one counted among them (Phipson and Smyth 2010); records are taken as
    exchangeable, also those of one project. One permutation serves all outcomes. `expected_below_5` is the
    share of cells whose count expected under independence is below 5.
    `smallest_detectable_odds_ratio` is that of a cell with the table's (lower) median margins, tested at the
    level that Bonferroni leaves to a cell, (1 - `level`) / cells.

    Args:
        records: one row a record; facets and outcomes are categorical.
        facets: columns to test.
        outcomes: columns to test them against.
        permutations: number of random permutations, at least 1.
        level: confidence level, in (0, 1).
        power: wanted probability of a detection, in (1 - `level`, 1).
        seed: of the permutations.

    Returns:
        `TABLE_COLUMNS`, one row a facet and outcome in the given order; none for a facet without records.

    Raises:
        ValueError: if `permutations`, `level` or `power` is out of range.
        KeyError: if a column is missing.
    """
    if permutations < 1:
        raise ValueError(f"a permutation test needs at least 1 permutation, got {permutations}")
    _check_level(level)
    streams = np.random.SeedSequence(seed).spawn(len(facets))
    rows: list[dict[str, Any]] = []
    for facet, stream in zip(facets, streams, strict=True):
        complete = _complete(records, facet, outcomes)
        if complete.empty:
            continue
        tables = {outcome: contingency_table(complete, facet, outcome).to_numpy() for outcome in outcomes}
        p_values = _permutation_p_values(complete, facet, tables, permutations, stream)
        for outcome, table in tables.items():
            row = {
                "facet": facet,
                "outcome": outcome,
                "n": table.sum(),
                "rows": table.shape[0],
                "columns": table.shape[1],
                "chi2": _chi2(table),
                "permutations": permutations,
                "p_permutation": p_values[outcome],
                "cramers_v": cramers_v(table),
                "cramers_v_corrected": cramers_v_corrected(table),
                "expected_below_5": np.mean(_expected(table) < 5),
                "smallest_detectable_odds_ratio": smallest_detectable_odds_ratio(
                    _lower_median(table.sum(axis=1)),
                    _lower_median(table.sum(axis=0)),
                    int(table.sum()),
                    alpha=(1 - level) / table.size,
                    power=power,
                ),
            }
            rows.append(row)
    return pd.DataFrame(rows, columns=TABLE_COLUMNS)


def test_cells(
    records: pd.DataFrame, *, facets: Sequence[str], outcomes: Sequence[str], level: float
) -> pd.DataFrame:
    """Test each label of each facet against each label of each outcome.

    `support` is the number of records with both labels; confidence, lift and leverage are those of the
    association rule facet label -> outcome label; `adjusted_residual` is Haberman's (1973), near standard
    normal under independence; `odds_ratio` is the conditional maximum likelihood estimate, with its exact
    interval (`odds_ratio_interval`); `p_fisher` is that of Fisher's two-sided exact test, adjusted over all
    cells of one table by Benjamini and Hochberg (`p_bh`) and by Benjamini and Yekutieli (`p_by`). A label
    that every record has admits no test: its odds ratio and residual are missing, its p is 1. A p below the
    smallest double is 0.

    Args:
        records: one row a record; facets and outcomes are categorical.
        facets: columns to test.
        outcomes: columns to test them against.
        level: confidence level of the odds ratio's interval, in (0, 1).

    Returns:
        `CELL_COLUMNS`, one row a cell: tables in the given order, labels in the order of their categories.

    Raises:
        ValueError: if `level` is out of range.
        KeyError: if a column is missing.
    """
    _check_level(level)
    frames = []
    for facet in facets:
        complete = _complete(records, facet, outcomes)
        if not complete.empty:
            frames += [_cells(contingency_table(complete, facet, outcome), level) for outcome in outcomes]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=CELL_COLUMNS)


def contingency_table(records: pd.DataFrame, facet: str, outcome: str) -> pd.DataFrame:
    """Count records by two categorical columns, without empty rows and columns.

    Returns:
        Counts; index: labels of `facet`, columns: labels of `outcome`, in the order of their categories.
    """
    return records.groupby([facet, outcome], observed=True).size().unstack(fill_value=0)


def cramers_v(table: Array) -> float:
    """Cramer's V of a table of counts without empty margins; nan if it has one row or one column."""
    degrees = min(table.shape) - 1
    return float(np.sqrt(_chi2(table) / table.sum() / degrees)) if degrees else np.nan


def cramers_v_corrected(table: Array) -> float:
    """Cramer's V with the bias correction of Bergsma (2013, section 3).

    Returns:
        A value of at least 0; nan where the corrected number of rows or columns is 1 (one row or column, or
        as many as there are records).
    """
    n = table.sum()
    if n < 2:
        return np.nan
    rows, columns = table.shape
    phi2 = max(0.0, _chi2(table) / n - (rows - 1) * (columns - 1) / (n - 1))
    size = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1))
    return float(np.sqrt(phi2 / (size - 1))) if size > 1 else np.nan


def odds_ratio_interval(
    support: int, facet_count: int, outcome_count: int, n: int, level: float
) -> tuple[float, float]:
    """Exact conditional interval of the odds ratio of a 2x2 table (Cornfield 1956, Fisher 1962).

    Its ends are the odds ratios at which a count as high, or as low, as the observed has probability
    (1 - `level`) / 2; an end is 0 or infinite where the count is as low or as high as the margins allow.

    Args:
        support: records with both labels.
        facet_count: records with the facet's label.
        outcome_count: records with the outcome's label.
        n: all records.
        level: confidence level, in (0, 1).
    """
    tail = (1 - level) / 2
    low = _odds_ratio_where(support, tail, facet_count, outcome_count, n)
    high = _odds_ratio_where(support + 1, 1 - tail, facet_count, outcome_count, n)
    return low, high


def smallest_detectable_odds_ratio(
    facet_count: int, outcome_count: int, n: int, *, alpha: float, power: float
) -> float:
    """Return the smallest odds ratio above 1 that Fisher's two-sided exact test finds with `power`.

    Not an approximation: given the margins, the count follows Fisher's noncentral hypergeometric
    distribution, and the test rejects from the smallest count above the mode whose p is at most `alpha`. A
    rejection for a low count has the wrong direction and is no detection.

    Args:
        facet_count: records with the facet's label.
        outcome_count: records with the outcome's label.
        n: all records.
        alpha: level of the test.
        power: wanted probability of a detection, in (`alpha`, 1).

    Returns:
        The odds ratio; infinite if no count that the margins allow is significant.

    Raises:
        ValueError: if `power` is out of range.
    """
    if not alpha < power < 1:
        raise ValueError(f"power must lie between the test's level {alpha:g} and 1, got {power}")
    mode = (facet_count + 1) * (outcome_count + 1) // (n + 2)
    counts = range(mode, min(facet_count, outcome_count) + 1)
    first = bisect_left(
        counts, True, key=lambda count: _fisher_p(count, facet_count, outcome_count, n) <= alpha
    )
    return _odds_ratio_where(mode + first, power, facet_count, outcome_count, n)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")


def _complete(records: pd.DataFrame, facet: str, outcomes: Sequence[str]) -> pd.DataFrame:
    return records[[facet, *outcomes]].dropna()


def _lower_median(counts: Array) -> int:
    return int(np.quantile(counts, 0.5, method="lower"))


def _expected(table: Array) -> Array:
    expected: Array = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return expected


def _chi2(table: Array) -> float:
    expected = _expected(table)
    return float(((table - expected) ** 2 / expected).sum())


def _permutation_p_values(
    complete: pd.DataFrame,
    facet: str,
    tables: dict[str, Array],
    permutations: int,
    seed: np.random.SeedSequence,
) -> dict[str, float]:
    """P of each outcome's table by permutation of the facet's labels.

    A permutation of labels is a random table with the observed margins. It is drawn against the combinations
    of outcomes that occur (root causes, where they are nested in categories), then summed for each outcome.
    """
    counts = complete.groupby(list(tables), observed=True).size()
    facet_counts = complete.groupby(facet, observed=True).size()
    membership = {outcome: _membership(counts.index.get_level_values(outcome)) for outcome in tables}
    rows, columns = (np.asarray(margin, dtype=np.int64) for margin in (facet_counts, counts))
    generator = np.random.default_rng(seed)
    reached = dict.fromkeys(tables, 1)
    for size in _chunks(permutations, largest=max(1, CELLS_AT_ONCE // (len(facet_counts) * len(counts)))):
        drawn = fixed_margin_tables(rows, columns, size, generator).astype(float)
        for outcome, table in tables.items():
            statistics = _chi2_of_each(drawn @ membership[outcome], _expected(table))
            # tables that differ by rounding alone are ties
            reached[outcome] += np.sum(statistics >= _chi2(table) - 1e-11 * table.sum())
    return {outcome: count / (permutations + 1) for outcome, count in reached.items()}


def _membership(labels: pd.Index) -> Array:
    """Return indicators of shape (labels, distinct labels), the latter in the order of their categories."""
    indicators = pd.get_dummies(labels, dtype=float)
    return indicators.loc[:, indicators.any()].to_numpy()


def _chunks(total: int, largest: int) -> list[int]:
    sizes = [largest] * (total // largest)
    return [*sizes, total % largest] if total % largest else sizes


def _chi2_of_each(tables: Array, expected: Array) -> Array:
    """Chi-square of tables of shape (number, rows, columns) with the same margins."""
    statistics: Array = np.einsum("trc,trc,rc->t", tables, tables, 1 / expected) - expected.sum()
    return statistics


def _cells(table: pd.DataFrame, level: float) -> pd.DataFrame:
    counts = table.to_numpy()
    n = int(counts.sum())
    row, column = (axis.ravel() for axis in np.indices(counts.shape))
    support = counts.ravel()
    facet_count = counts.sum(axis=1)[row]
    outcome_count = counts.sum(axis=0)[column]
    expected = facet_count * outcome_count / n
    variance = expected * (1 - facet_count / n) * (1 - outcome_count / n)
    cells = list(zip(support.tolist(), facet_count.tolist(), outcome_count.tolist(), strict=True))
    intervals = [odds_ratio_interval(*cell, n, level) for cell in cells]
    p_fisher = np.array([_fisher_p(*cell, n) for cell in cells])
    return pd.DataFrame(
        {
            "facet": table.index.name,
            "outcome": table.columns.name,
            "facet_label": table.index.astype(str)[row],
            "outcome_label": table.columns.astype(str)[column],
            "support": support,
            "facet_count": facet_count,
            "outcome_count": outcome_count,
            "n": n,
            "confidence": support / facet_count,
            "lift": support / expected,
            "leverage": (support - expected) / n,
            "adjusted_residual": (support - expected) / np.sqrt(np.where(variance > 0, variance, np.nan)),
            "odds_ratio": [odds_ratio(_fourfold(*cell, n)).statistic for cell in cells],
            "odds_ratio_low": [low for low, _ in intervals],
            "odds_ratio_high": [high for _, high in intervals],
            "p_fisher": p_fisher,
            "p_bh": false_discovery_control(p_fisher, method="bh"),
            "p_by": false_discovery_control(p_fisher, method="by"),
        }
    )


def _fourfold(support: int, facet_count: int, outcome_count: int, n: int) -> Array:
    others = n - facet_count - outcome_count + support
    return np.array([[support, facet_count - support], [outcome_count - support, others]])


def _fisher_p(support: int, facet_count: int, outcome_count: int, n: int) -> float:
    return float(fisher_exact(_fourfold(support, facet_count, outcome_count, n)).pvalue)


def _odds_ratio_where(
    support: int, probability: float, facet_count: int, outcome_count: int, n: int
) -> float:
    """Odds ratio at which a count of at least `support` has `probability`, given the margins.

    The count follows Fisher's noncentral hypergeometric distribution, summed by its recurrence and only near
    `support` (Liao and Rosen 2001). Less the smallest count that the margins allow, it is a sum of
    independent indicators (Vatutin and Mikhailov 1982; an odds ratio other than 1 keeps that), so Chernoff's
    bounds say how far the mean may lie from `support`, and from where on the rest is negligible.
    """
    smallest, largest = max(0, facet_count + outcome_count - n), min(facet_count, outcome_count)
    if support <= smallest:
        return 0.0
    if support > largest:
        return np.inf
    tail = -np.log(min(probability, 1 - probability))
    depth = tail + NEGLIGIBLE
    reach = int(3 * depth + 2 * np.sqrt(depth * min(support - smallest, largest - support)))
    count = np.arange(max(smallest, support - reach), min(largest, support + reach) + 1, dtype=float)
    before = count[:-1]
    # log of P(count + 1) / P(count) at odds ratio 1; it falls with the count
    step = np.log((facet_count - before) * (outcome_count - before)) - np.log(
        (before + 1) * (n - facet_count - outcome_count + before + 1)
    )
    log_weight = np.concatenate([[0.0], np.cumsum(step)])

    def excess(log_odds: float) -> float:
        exponent = log_weight + log_odds * (count - support)
        weight = np.exp(exponent - exponent.max())
        return float(weight[count >= support].sum() / weight.sum() - probability)

    # at these log odds all but exp(-tail - 1) of the weight lies on the first, or the last, count
    return float(np.exp(brentq(excess, -step[0] - tail - 1, -step[-1] + tail + 1, xtol=1e-13)))
