"""How good a ranking is over samples of projects: lift, area under the curve, work to a wanted recall."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attention_faults.taxonomy.resampling import cluster_bootstrap

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]

MEASURES = ["lift", "share_of_first", "auc", "work_to_recall"]


def measure(scores: Floats, holds: Truths, weights: Floats, *, first: float, recall: float) -> Floats:
    """Measure a ranking of weighted records; records of equal score count as in random order.

    Args:
        scores: (records,) the highest is looked at first.
        holds: (records,) whether a record is what is looked for.
        weights: (samples, records) how often each sample holds each record.
        first: share of the records that is looked at.
        recall: share of what is looked for that is wanted.

    Returns:
        (samples, 4): lift (share of hits among the first, over that among all), share_of_first (share of all
        hits that lie among the first), auc (probability that a hit stands before another record),
        work_to_recall (share of records to look at until the recall is reached). NaN where a sample has no
        hit, or only hits.
    """
    _, group = np.unique(-scores, return_inverse=True)
    member = np.eye(group.max() + 1)[group]
    size, hits = weights @ member, (weights * holds) @ member
    total, found = size.sum(axis=1, keepdims=True), hits.sum(axis=1, keepdims=True)
    others = size - hits
    with np.errstate(invalid="ignore", divide="ignore"):
        before = np.cumsum(size, axis=1) - size
        part = np.clip((first * total - before) / size, 0, 1)
        share = np.nansum(part * hits, axis=1) / found[:, 0]
        behind = others.sum(axis=1, keepdims=True) - np.cumsum(others, axis=1)
        auc = (hits * (behind + others / 2)).sum(axis=1) / (found[:, 0] * others.sum(axis=1))
        missing = recall * found - (np.cumsum(hits, axis=1) - hits)
        needed = np.where(missing > 0, np.clip(missing / hits, 0, 1), 0)
        work = np.nansum(np.where(hits > 0, needed * size, (missing > 0) * size), axis=1) / total[:, 0]
    table = np.column_stack([share / first, share, auc, work])
    undefined = (found[:, 0] == 0) | (others.sum(axis=1) == 0)
    table[undefined] = np.nan
    return table


def project_weights(projects: pd.Series, *, draws: int, seed: int) -> Floats:
    """Return how often each bootstrap sample of projects holds each record, shape (draws, records)."""
    codes, names = pd.factorize(projects, sort=True)
    return np.asarray(cluster_bootstrap(np.eye(len(names)), draws=draws, seed=seed)[:, codes])
