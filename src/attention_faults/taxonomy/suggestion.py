"""Likely categories and root causes of a fault of which some facets are known."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from attention_faults.errors import InputError, nearest
from attention_faults.taxonomy.codebook import TAXONOMY_COLUMNS
from attention_faults.taxonomy.folds import project_folds
from attention_faults.taxonomy.itemsets import (
    Cells,
    Floats,
    Integers,
    Itemsets,
    available_facets,
    itemsets_of,
    tabulate_cells,
)
from attention_faults.taxonomy.prevalence import share_intervals
from attention_faults.taxonomy.resampling import cluster_bootstrap, percentile_interval

TOPS = (1, 3)

_COLUMNS = [
    "outcome",
    "top",
    "n",
    "accuracy",
    "low",
    "high",
    "interval",
    "baseline_accuracy",
    "baseline_low",
    "baseline_high",
    "baseline_interval",
    "difference",
    "difference_low",
    "difference_high",
]


def suggest(
    records: pd.DataFrame,
    observed: Mapping[str, str],
    *,
    outcome: str,
    prior_weight: float,
    level: float,
    top: int,
    examples: int,
) -> pd.DataFrame:
    """Rank the labels of `outcome` for a fault with the observed facets.

    Facets are taken in the order symptom, trigger, visibility, stage. At each step the share of a label is
    smoothed towards its share at the step before by a Dirichlet prior that weighs as much as `prior_weight`
    records, from the overall share on: (count + weight x previous share) / (matching + weight). Hence a rare
    combination says little more than the commoner one that it narrows.

    Args:
        records: a row for each fault, with `url`, `outcome` and the observed facets as categoricals.
        observed: facet -> label, at least one.
        outcome: `scope`, `category` or `root_cause`.
        prior_weight: of the previous step, in records.
        level: of the interval, quantiles of the Beta posterior of the last step.
        top: most labels to return.
        examples: most URLs for each label.

    Returns:
        label; count (records with the observed facets and the label) of `matching` (records with the observed
        facets); probability, low, high; lift (probability over the overall share); example_urls, of records
        that count, joined by "; ". The most probable label comes first, ties in codebook order.

    Raises:
        InputError: with every unknown outcome, facet and label, or if nothing is observed.
        ValueError: if `prior_weight` is not positive.
    """
    problems = _problems(records, observed, outcome)
    if problems:
        raise InputError(problems)
    codes, labels = _occurring(records[outcome])
    matching = np.ones(len(records), dtype=bool)
    counts = np.bincount(codes)
    share = previous = counts / len(records)
    for facet in available_facets(records):
        if facet in observed:
            matching &= (records[facet] == observed[facet]).to_numpy()
            counts = np.bincount(codes[matching], minlength=len(labels))
            share, previous = _smoothed(counts, share, prior_weight), share
    low, high = _interval(counts, previous, prior_weight, level)
    ranked = np.argsort(-share, kind="stable")[:top]
    urls = [records["url"].to_numpy()[matching & (codes == code)][:examples] for code in ranked]
    return pd.DataFrame(
        {
            "label": pd.Series([labels[code] for code in ranked], dtype="str"),
            "count": counts[ranked],
            "matching": counts.sum(),
            "probability": share[ranked],
            "low": low[ranked],
            "high": high[ranked],
            "lift": share[ranked] / (np.bincount(codes) / len(records))[ranked],
            "example_urls": pd.Series(["; ".join(found) for found in urls], dtype="str"),
        }
    )


def evaluate(
    records: pd.DataFrame,
    *,
    facets: Sequence[str],
    outcomes: Sequence[str],
    folds: int,
    prior_weight: float,
    draws: int,
    level: float,
    seed: int,
) -> pd.DataFrame:
    """How often the first, or one of the first three, suggestions for a fault of an unseen project is right.

    Each record is ranked by `suggest`'s shares from the records of the other folds, given all of `facets` for
    which it has a label. The baseline always names the labels that are most frequent in the other folds.

    Args:
        records: a row for each fault, with `project`, and `facets` and `outcomes` as categoricals.
        facets: in the order symptom, trigger, visibility, stage.
        outcomes: among `scope`, `category` and `root_cause`.
        folds: of the project-grouped cross-validation.
        prior_weight: as in `suggest`.
        draws: bootstrap samples of projects, for the intervals.
        level: of the intervals.
        seed: of folds and bootstrap.

    Returns:
        A row for each outcome and `top` (1 and 3, where the outcome has more labels than that): n; accuracy
        with low, high and interval (its method, as of `prevalence.share_intervals`); the same of the
        baseline; their difference with its bootstrap interval. Undefined with a single project.

    Raises:
        ValueError: if `prior_weight` is not positive.
    """
    cells = tabulate_cells(records, facets)
    fold = project_folds(records["project"], folds, seed)
    rows: list[dict[str, object]] = []
    right: list[Floats] = []
    baseline_right: list[Floats] = []
    for outcome in outcomes:
        codes, labels = _occurring(records[outcome])
        ranks, baseline_ranks = _held_out_ranks(cells, codes, fold, prior_weight)
        for top in (top for top in TOPS if top < len(labels)):
            rows.append({"outcome": outcome, "top": top, "n": len(records)})
            right.append(_within(ranks, top))
            baseline_right.append(_within(baseline_ranks, top))
    if not rows:
        return pd.DataFrame(columns=_COLUMNS)
    hits, baseline_hits = np.column_stack(right), np.column_stack(baseline_right)
    project = records["project"]
    of_projects: dict[str, Any] = {"draws": draws, "level": level, "seed": seed}
    intervals = share_intervals(hits, project, **of_projects)
    baseline = share_intervals(baseline_hits, project, **of_projects).add_prefix("baseline_")
    low, high = _mean_interval(hits - baseline_hits, project, **of_projects)
    columns = {
        "accuracy": hits.mean(axis=0),
        "baseline_accuracy": baseline_hits.mean(axis=0),
        "difference": (hits - baseline_hits).mean(axis=0),
        "difference_low": low,
        "difference_high": high,
    }
    table = pd.concat([pd.DataFrame(rows), intervals, baseline], axis=1).assign(**columns)
    return table.rename(columns={"method": "interval", "baseline_method": "baseline_interval"})[_COLUMNS]


def _mean_interval(
    values: Floats, projects: pd.Series, *, draws: int, level: float, seed: int
) -> tuple[Floats, Floats]:
    """Bootstrap intervals of the means of (records, means) values, projects redrawn."""
    codes, names = pd.factorize(projects, sort=True)
    sums = [np.bincount(codes, weights=x, minlength=len(names)) for x in (*values.T, np.ones(len(values)))]
    totals = cluster_bootstrap(np.column_stack(sums), draws=draws, seed=seed)
    return percentile_interval(totals[:, :-1] / totals[:, -1:], level)


def _problems(records: pd.DataFrame, observed: Mapping[str, str], outcome: str) -> list[str]:
    problems = []
    outcomes = [column for column in TAXONOMY_COLUMNS if column in records]
    if outcome not in outcomes:
        problems.append(
            f"outcome `{outcome}`: expected one of {', '.join(outcomes)}{nearest(outcome, outcomes)}"
        )
    facets = available_facets(records)
    if not observed:
        problems.append(f"no facet is given: expected at least one of {', '.join(facets)}")
    for facet, label in observed.items():
        if facet not in facets:
            problems.append(f"facet `{facet}`: expected one of {', '.join(facets)}{nearest(facet, facets)}")
            continue
        labels = list(records[facet].cat.categories)
        if label not in labels:
            problems.append(f"facet `{facet}`: `{label}` is not in the codebook{nearest(label, labels)}")
    return problems


def _occurring(column: pd.Series) -> tuple[Integers, list[str]]:
    """Return the codes of a column among the labels that occur in it, and these labels in codebook order."""
    occurring = column.cat.remove_unused_categories()
    codes: Integers = occurring.cat.codes.to_numpy().astype(np.int64)
    return codes, list(occurring.cat.categories)


def _smoothed(counts: Integers, previous: Floats, prior_weight: float) -> Floats:
    """Posterior means (..., labels) of the shares, given counts and a Dirichlet prior around `previous`."""
    if prior_weight <= 0:
        raise ValueError(f"a prior weighs more than nothing, got {prior_weight}")
    shares: Floats = (counts + prior_weight * previous) / (counts.sum(axis=-1, keepdims=True) + prior_weight)
    return shares


def _interval(counts: Integers, previous: Floats, prior_weight: float, level: float) -> tuple[Floats, Floats]:
    """Quantiles of the Beta marginals of the Dirichlet posterior whose means `_smoothed` returns."""
    hits = counts + prior_weight * previous
    misses = counts.sum() + prior_weight - hits
    quantiles = stats.beta.ppf([[(1 - level) / 2], [(1 + level) / 2]], hits, misses)
    # a dataset with a single label leaves nothing to miss
    low, high = np.where(misses > 0, quantiles, 1.0)
    return low, high


def _within(ranks: Floats, top: int) -> Floats:
    return np.where(np.isnan(ranks), np.nan, ranks < top)


def _held_out_ranks(
    cells: Cells, codes: Integers, fold: Integers, prior_weight: float
) -> tuple[Floats, Floats]:
    """Rank (0 is first) of the right label of each record, by the records outside its fold.

    Returns:
        By the smoothed shares and by overall frequency, each (records,); NaN where no fold holds it out.
    """
    shape = (len(cells.codes), int(codes.max()) + 1)
    itemsets = itemsets_of(cells, len(cells.labels))
    ranks, baseline_ranks = np.full((2, len(codes)), np.nan)
    for number in range(int(fold.max()) + 1):
        held_out = fold == number
        cell, code = cells.of_record[held_out], codes[held_out]
        places = np.ravel_multi_index((cells.of_record[~held_out], codes[~held_out]), shape)
        counts = np.bincount(places, minlength=shape[0] * shape[1]).reshape(shape)
        ranks[held_out] = _ranks(_shares(counts, cells, itemsets, prior_weight))[cell, code]
        baseline_ranks[held_out] = _ranks(counts.sum(axis=0))[code]
    return ranks, baseline_ranks


def _ranks(scores: Floats | Integers) -> Integers:
    """Rank labels along the last axis: the highest score is 0, ties in order, labels never seen come last."""
    ranks = np.argsort(np.argsort(-scores, axis=-1, kind="stable"), axis=-1)
    return np.where(scores > 0, ranks, scores.shape[-1])


def _shares(counts: Integers, cells: Cells, itemsets: Itemsets, prior_weight: float) -> Floats:
    """Smoothed shares (cells, labels), given all labels that a cell has."""
    having = itemsets.incidence @ counts
    having = np.vstack([having, np.zeros_like(having[:1])])
    observed = cells.codes >= 0
    shares = np.tile(counts.sum(axis=0) / counts.sum(), (len(counts), 1))
    for column, facets in enumerate(itemsets.combinations):
        # a step of the cells whose observed facets, up to the last of these, are just these
        upto = facets[-1] + 1
        step = (observed[:, :upto] == np.isin(np.arange(upto), facets)).all(axis=1)
        shares[step] = _smoothed(having[itemsets.of_cell[step, column]], shares[step], prior_weight)
    return shares
