"""What a decision list explains by chance, and what it explains of projects that it has not seen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from attention_faults.taxonomy.decision_list import DecisionList, decision_list, mine, select
from attention_faults.taxonomy.itemsets import Floats, Integers, Itemsets
from attention_faults.taxonomy.resampling import fixed_margin_tables

# entries of permuted tables held at once: bounds memory at some 30 MB
_CHUNK = 4_000_000


@dataclass(frozen=True)
class Faults:
    """Faults, one by one and counted.

    Attributes:
        project: (faults,) number of the project.
        fold: (faults,) the fold that holds the fault out; -1 where none does.
        cell: (faults,)
        consequent: (faults,) position in `labels`.
        labels: consequents that occur, in codebook order.
        counts: (cells, labels)
        by_fold: (folds, cells, labels)
    """

    project: Integers
    fold: Integers
    cell: Integers
    consequent: Integers
    labels: list[str]
    counts: Integers
    by_fold: Integers


@dataclass(frozen=True)
class Lists:
    """The list made of all faults, and for each fold the list made of the faults outside it."""

    whole: DecisionList
    without_fold: list[DecisionList]

    def first(self, rules: int) -> "Lists":
        """Return the lists of the first `rules` rules."""
        return Lists(self.whole.first(rules), [fold.first(rules) for fold in self.without_fold])


def count_faults(faults: pd.DataFrame, consequent: str, cell: Integers, cells: int, fold: Integers) -> Faults:
    """Count faults by fold, cell and consequent.

    Args:
        faults: with `project` and the categorical column `consequent`.
        consequent: the column to be explained.
        cell: (faults,) cell of each fault.
        cells: number of cells.
        fold: (faults,) as `project_folds` returns it.
    """
    found, position = np.unique(faults[consequent].cat.codes, return_inverse=True)
    labels, folds = len(found), int(fold.max()) + 1
    place = cell * labels + position
    held_out = fold >= 0
    place_in_fold = fold[held_out] * cells * labels + place[held_out]
    return Faults(
        project=pd.factorize(faults["project"], sort=True)[0],
        fold=fold,
        cell=cell,
        consequent=position,
        labels=list(faults[consequent].cat.categories[found]),
        counts=np.bincount(place, minlength=cells * labels).reshape(cells, labels),
        by_fold=np.bincount(place_in_fold, minlength=folds * cells * labels).reshape(folds, cells, labels),
    )


def lists_of(
    faults: Faults, itemsets: Itemsets, *, min_support: int, min_confidence: float, rules: int
) -> Lists:
    """Mine and select the list of all faults, and again the list of all faults but a fold's."""

    def of(counts: Integers) -> DecisionList:
        mined = mine(counts, itemsets)
        chosen, _ = select(
            mined, itemsets, min_support=min_support, min_confidence=min_confidence, rules=rules
        )
        return decision_list(chosen, mined, itemsets)

    return Lists(of(faults.counts), [of(faults.counts - held_out) for held_out in faults.by_fold])


def null_explained(
    counts: Integers,
    itemsets: Itemsets,
    *,
    min_support: int,
    confidences: Sequence[float],
    rules: int,
    permutations: int,
    seed: Sequence[int],
) -> Integers:
    """Explained faults when the consequents are permuted over the faults, mining and selection redone.

    A permutation keeps both margins of `counts`, so that it is a draw of a random table with these margins,
    whose cost does not grow with the number of faults. Faults are taken as exchangeable, also those of one
    project, which may make p too small where projects repeat a symptom together with its cause.

    Args:
        counts: (cells, consequents) faults.
        itemsets: of the same cells.
        min_support: of a rule.
        confidences: least confidences of a rule; the lists of all of them are selected from each draw.
        rules: length of the longest list.
        permutations: number of draws.
        seed: of `numpy.random.default_rng`.

    Returns:
        Shape (permutations, confidences, rules): faults that the first 1, 2, ... rules explain.
    """
    generator = np.random.default_rng(seed)
    margins = counts.sum(axis=1), counts.sum(axis=0)
    explained = np.zeros((permutations, len(confidences), rules), dtype=np.int64)
    at_once = max(1, _CHUNK // counts.size)
    for start in range(0, permutations, at_once):
        tables = fixed_margin_tables(*margins, min(at_once, permutations - start), generator)
        for draw, table in enumerate(tables, start):
            mined = mine(table, itemsets)
            for position, min_confidence in enumerate(confidences):
                _, gains = select(
                    mined, itemsets, min_support=min_support, min_confidence=min_confidence, rules=rules
                )
                explained[draw, position] = cumulated(gains, rules)
    return explained


def held_out_hits(faults: Faults, lists: Lists) -> Floats:
    """Return (faults,): 1 where the list made without the fault's fold explains it, else 0.

    NaN where no fold holds the fault out.
    """
    hits = np.full(len(faults.cell), np.nan)
    for number, without in enumerate(lists.without_fold):
        held_out = faults.fold == number
        hits[held_out] = without.explains(len(faults.labels))[
            faults.cell[held_out], faults.consequent[held_out]
        ]
    return hits


def held_out_reached(faults: Faults, lists: Lists) -> int:
    """Return how many faults the lists made without their fold give an answer to."""
    pairs = zip(lists.without_fold, faults.by_fold, strict=True)
    return sum(int(without.reached(held_out.sum(axis=1)).sum()) for without, held_out in pairs)


def held_out_explained(faults: Faults, lists: Lists, rules: int) -> Integers:
    """Return (rules,): faults that the first 1, 2, ... rules of the lists made without their fold explain."""
    pairs = zip(lists.without_fold, faults.by_fold, strict=True)
    explained = np.zeros(rules, dtype=np.int64)
    for without, held_out in pairs:
        explained += cumulated(without.explained(held_out), rules)
    return explained


def cumulated(of_rules: ArrayLike, rules: int) -> Integers:
    """Sum over the first 1, 2, ... `rules` rules, of which there may be fewer."""
    values = np.asarray(of_rules, dtype=np.int64)
    return np.pad(values, (0, rules - len(values))).cumsum()
