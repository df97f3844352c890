"""Cells: records that agree on the label of every facet. Itemsets: labels of one or more facets."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from attention_faults.taxonomy.codebook import FACET_KEYS

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """The combinations of facet labels that occur.

    Attributes:
        of_record: (records,) cell of each record.
        codes: (cells, facets) label codes in codebook order; -1 where a cell lacks the label.
        labels: facet -> its vocabulary, facets in the order of the columns of `codes`.
    """

    of_record: Integers
    codes: Integers
    labels: dict[str, list[str]]


@dataclass(frozen=True)
class Itemsets:
    """The itemsets that hold for some cell, ordered by number of facets, facets, labels (codebook order).

    Attributes:
        combinations: positions of the facets that itemsets join, in that order.
        names: (itemsets,) for example `symptom=nan_or_inf & trigger=low_precision`.
        of_cell: (cells, combinations) the itemset that holds; `len(names)` where a label is missing.
        incidence: (itemsets, cells) 1 where the itemset holds for the cell.
    """

    combinations: list[tuple[int, ...]]
    names: list[str]
    of_cell: Integers
    incidence: sparse.csr_array

    def cells(self, itemset: int) -> Integers:
        """Return the cells for which an itemset holds."""
        start, stop = self.incidence.indptr[itemset : itemset + 2]
        return np.asarray(self.incidence.indices[start:stop], dtype=np.int64)


def available_facets(records: pd.DataFrame) -> list[str]:
    """Return the facets of which the dataset has labels, in the order symptom, trigger, visibility, stage."""
    return [facet for facet in FACET_KEYS if facet in records and records[facet].notna().any()]


def tabulate_cells(records: pd.DataFrame, facets: Sequence[str]) -> Cells:
    """Group records by their labels of `facets` (categorical columns)."""
    codes = [records[facet].cat.codes.to_numpy(dtype=np.int64) + 1 for facet in facets]
    labels = {facet: list(records[facet].cat.categories) for facet in facets}
    sizes = [len(vocabulary) + 1 for vocabulary in labels.values()]
    keys, of_record = np.unique(np.ravel_multi_index(codes, sizes), return_inverse=True)
    return Cells(of_record, np.column_stack(np.unravel_index(keys, sizes)) - 1, labels)


def itemsets_of(cells: Cells, max_facets: int) -> Itemsets:
    """Form the itemsets of one up to `max_facets` facets; a missing label never matches."""
    facets = range(len(cells.labels))
    joined = [joined for size in range(1, max_facets + 1) for joined in combinations(facets, size)]
    names: list[str] = []
    held: list[Integers] = []
    for combination in joined:
        codes = cells.codes[:, combination]
        complete = (codes >= 0).all(axis=1)
        found, position = np.unique(codes[complete], axis=0, return_inverse=True)
        itemset = np.full(len(codes), -1, dtype=np.int64)
        itemset[complete] = position + len(names)
        held.append(itemset)
        vocabularies = [list(cells.labels.items())[facet] for facet in combination]
        names += [
            " & ".join(
                f"{facet}={labels[code]}" for (facet, labels), code in zip(vocabularies, row, strict=True)
            )
            for row in found
        ]
    of_cell = np.column_stack(held)
    cell, combination_of_cell = np.nonzero(of_cell >= 0)
    entries = (np.ones(len(cell), dtype=np.int64), (of_cell[cell, combination_of_cell], cell))
    incidence = sparse.csr_array(entries, shape=(len(names), len(of_cell)))
    return Itemsets(joined, names, np.where(of_cell < 0, len(names), of_cell), incidence)
