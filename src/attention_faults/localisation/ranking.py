"""How well scores of blocks find the blocks at fault; ties get expected values, never an order of blocks.

Scores and truth have blocks in their last dimension; the higher the score, the more suspect the block.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

MEASURES = ["mrr", "top1", "top3", "exam", "auroc", "average_precision"]


def without_gaps(scores: Floats) -> Floats:
    """Give undefined scores the median of the others, which ties them in the middle; 0 without others."""
    defined = np.isfinite(scores)
    held = np.where(defined, scores, np.nan)
    nothing = ~defined.any(axis=-1, keepdims=True)
    middle = np.nanmedian(np.where(nothing, 0.0, held), axis=-1, keepdims=True)
    return np.where(defined, scores, middle)


def mean_rank(scores: list[Floats]) -> Floats:
    """Combine the scores of several metrics: the sum of their ranks, the most suspect block the highest."""
    total: Floats = np.sum([rankdata(part, axis=-1) for part in scores], axis=0)
    return total


def reciprocal_rank(scores: Floats, truth: Bools) -> Floats:
    """Return the expected reciprocal rank of the first block at fault, shape (...)."""
    above, tied, faulty = _standing(scores, truth)
    return _looked_up(_expected(scores.shape[-1], None), above, tied, faulty)


def top(scores: Floats, truth: Bools, count: int) -> Floats:
    """Return the probability that a block at fault is among the first `count`, shape (...)."""
    above, tied, faulty = _standing(scores, truth)
    return _looked_up(_expected(scores.shape[-1], count), above, tied, faulty)


def exam(scores: Floats, truth: Bools) -> Floats:
    """Return the expected share of blocks inspected before the first at fault (EXAM; Wong et al. 2016)."""
    above, tied, faulty = _standing(scores, truth)
    return np.asarray((above + (tied + 1) / (faulty + 1) - 1) / scores.shape[-1])


def auroc(scores: Floats, truth: Bools) -> Floats:
    """Return how likely a block at fault scores above a healthy one, ties counting half; nan without one."""
    ranks = rankdata(scores, axis=-1)
    faulty = truth.sum(axis=-1)
    healthy = truth.shape[-1] - faulty
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(((ranks * truth).sum(axis=-1) - faulty * (faulty + 1) / 2) / (faulty * healthy))


def average_precision(scores: Floats, truth: Bools) -> Floats:
    """Return the expected average precision over blocks, shape (...); nan without a block at fault.

    With ties it is the mean over their orders: a block at fault at place k of g tied ones, t of them at
    fault, below A others, a of them at fault, has precision (a + 1 + (k - 1)(t - 1)/(g - 1)) / (A + k).
    """
    truth = np.broadcast_to(truth, scores.shape)
    rows = zip(scores.reshape(-1, scores.shape[-1]), truth.reshape(-1, truth.shape[-1]), strict=True)
    found = np.array([_average_precision(s, t) for s, t in rows])
    return found.reshape(scores.shape[:-1])


def _average_precision(scores: Floats, truth: Bools) -> float:
    if not truth.any():
        return math.nan
    total, above, found = 0.0, 0, 0
    for value in np.unique(scores)[::-1]:
        tied = scores == value
        size, faulty = int(tied.sum()), int((tied & truth).sum())
        if faulty:
            place = np.arange(1, size + 1)
            before = (place - 1) * (faulty - 1) / max(size - 1, 1)
            total += faulty * float(np.mean((found + 1 + before) / (above + place)))
        above, found = above + size, found + faulty
    return total / found


def measures(scores: Floats, truth: Bools) -> dict[str, Floats]:
    """Return every measure, by the names of `MEASURES`."""
    found = (
        reciprocal_rank(scores, truth),
        top(scores, truth, 1),
        top(scores, truth, 3),
        exam(scores, truth),
        auroc(scores, truth),
        average_precision(scores, truth),
    )
    return dict(zip(MEASURES, found, strict=True))


def _standing(scores: Floats, truth: Bools) -> tuple[Integers, Integers, Integers]:
    """Count blocks above the best one at fault, blocks tied with it, and those at fault among these.

    Raises:
        ValueError: if a row has no block at fault.
    """
    truth = np.broadcast_to(truth, scores.shape)
    if not truth.any(axis=-1).all():
        raise ValueError("a block at fault is to be found where there is none")
    best = np.where(truth, scores, -np.inf).max(axis=-1, keepdims=True)
    ties = scores == best
    return (scores > best).sum(axis=-1), ties.sum(axis=-1), (ties & truth).sum(axis=-1)


def _looked_up(table: Floats, above: Integers, tied: Integers, faulty: Integers) -> Floats:
    return np.asarray(table[above, tied, faulty])


@cache
def _expected(blocks: int, count: int | None) -> Floats:
    """Tabulate the expected reciprocal rank, or chance of the first `count`, by (above, tied, faulty).

    Of `tied` blocks in random order the first of `faulty` stands at place k with probability
    C(tied - k, faulty - 1) / C(tied, faulty).
    """
    table = np.full((blocks + 1,) * 3, np.nan)
    for tied in range(1, blocks + 1):
        for faulty in range(1, tied + 1):
            place = np.arange(1, tied - faulty + 2)
            # as ratios of successive places: binomials overflow
            chances = np.cumprod(
                np.r_[faulty / tied, (tied - place[1:] - faulty + 2) / (tied - place[1:] + 1)]
            )
            for above in range(blocks - tied + 1):
                gain = 1 / (above + place) if count is None else above + place <= count
                table[above, tied, faulty] = (chances * gain).sum()
    return table
