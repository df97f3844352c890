"""Decision lists over labels, mined and selected on counts of label combinations, never on records.

A rule is *antecedent -> consequent*; a list of rules is read in order, and the first rule whose antecedent
holds gives the answer (Rivest 1987). Mining, selection and reading work on counts of faults, of shape
(cells, consequents), so that their cost does not grow with the number of faults.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attention_faults.taxonomy.itemsets import Floats, Integers, Itemsets


@dataclass(frozen=True)
class Mined:
    """The one rule of every itemset: its most frequent consequent (ties: codebook order).

    Attributes:
        consequent: (itemsets,) position of the consequent in the columns of the counts.
        support: (itemsets,) faults with antecedent and consequent.
        confidence: (itemsets,) support over the faults with the antecedent; 0 where there are none.
        explained: (cells, facet combinations) faults of a cell that the rule of each of its itemsets
            explains.
    """

    consequent: Integers
    support: Integers
    confidence: Floats
    explained: Integers


@dataclass(frozen=True)
class DecisionList:
    """Rules in the order in which they are read.

    Attributes:
        antecedents: (rules,) itemsets.
        consequents: (rules,) positions in the columns of the counts.
        rule_of_cell: (cells,) the first rule that holds; the number of rules where none does.
    """

    antecedents: list[int]
    consequents: Integers
    rule_of_cell: Integers

    def first(self, rules: int) -> "DecisionList":
        """Return the list of its first `rules` rules, or of all when it has fewer."""
        kept = self.antecedents[:rules]
        return DecisionList(kept, self.consequents[:rules], np.minimum(self.rule_of_cell, len(kept)))

    def reached(self, totals: Integers) -> Integers:
        """Return, for each rule, how many of the (cells,) faults reach and trigger it."""
        rules = len(self.antecedents)
        return np.bincount(self.rule_of_cell, weights=totals, minlength=rules + 1)[:rules].astype(np.int64)

    def explained(self, counts: Integers) -> Integers:
        """Return, for each rule, how many of the (cells, consequents) faults it answers rightly."""
        return self.reached(np.where(self.explains(counts.shape[1]), counts, 0).sum(axis=1))

    def explains(self, consequents: int) -> NDArray[np.bool_]:
        """Return (cells, consequents): whether a fault of the cell with the consequent is explained."""
        answers = np.append(self.consequents, -1)
        right: NDArray[np.bool_] = answers[self.rule_of_cell][:, np.newaxis] == np.arange(consequents)
        return right


def mine(counts: Integers, itemsets: Itemsets) -> Mined:
    """Give each itemset its most frequent consequent.

    Args:
        counts: (cells, consequents) faults, consequents in codebook order.
        itemsets: of the same cells.
    """
    supports = np.asarray(itemsets.incidence @ counts)
    consequent = supports.argmax(axis=1)
    support = supports[np.arange(len(supports)), consequent]
    confidence = support / np.maximum(supports.sum(axis=1), 1)
    answers = np.append(consequent, 0)[itemsets.of_cell]
    return Mined(consequent, support, confidence, np.take_along_axis(counts, answers, axis=1))


def select(
    mined: Mined, itemsets: Itemsets, *, min_support: int, min_confidence: float, rules: int
) -> tuple[list[int], list[int]]:
    """Choose rules greedily: always the one that explains most of the faults that no chosen rule reaches.

    Ties go to the higher confidence, then to the earlier itemset (fewer facets, codebook order). It ends with
    `rules` rules, or when no rule explains another fault; the first k choices are the choice for k.

    Returns:
        The chosen itemsets in order, and how many faults the rule of each explains.
    """
    eligible = (mined.support >= min_support) & (mined.confidence >= min_confidence)
    gain = np.where(eligible, mined.support, -1.0)
    unreached = np.ones(len(itemsets.of_cell), dtype=bool)
    chosen: list[int] = []
    gains: list[int] = []
    while len(chosen) < rules and (most := gain.max(initial=0.0)) > 0:
        tied = np.flatnonzero(gain == most)
        best = int(tied[mined.confidence[tied].argmax()])
        chosen.append(best)
        gains.append(int(most))
        cells = itemsets.cells(best)
        cells = cells[unreached[cells]]
        unreached[cells] = False
        explained = mined.explained[cells].ravel()
        # the last sum is of facets without a label, which are no itemset
        gain -= np.bincount(itemsets.of_cell[cells].ravel(), weights=explained, minlength=len(gain) + 1)[:-1]
    return chosen, gains


def decision_list(chosen: Sequence[int], mined: Mined, itemsets: Itemsets) -> DecisionList:
    """Return the rules of the chosen itemsets as a list, read in that order."""
    rule_of_cell = np.full(len(itemsets.of_cell), len(chosen), dtype=np.int64)
    for position, itemset in reversed(list(enumerate(chosen))):
        rule_of_cell[itemsets.cells(itemset)] = position
    return DecisionList(list(chosen), mined.consequent[list(chosen)], rule_of_cell)
