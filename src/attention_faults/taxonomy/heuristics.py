"""Diagnostic heuristics: rules from what is seen of a fault to its cause, and what they are worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC
from attention_faults.taxonomy.folds import project_folds
from attention_faults.taxonomy.itemsets import (
    Integers,
    Itemsets,
    available_facets,
    itemsets_of,
    tabulate_cells,
)
from attention_faults.taxonomy.list_validation import (
    Faults,
    Lists,
    count_faults,
    cumulated,
    held_out_explained,
    held_out_hits,
    held_out_reached,
    lists_of,
    null_explained,
)
from attention_faults.taxonomy.prevalence import share_intervals

# facets of the antecedent, and how many of them it joins at most
ANTECEDENTS = (
    (("symptom",), 1),
    (("symptom", "trigger"), 2),
    (("symptom", "trigger", "visibility", "stage"), 3),
)
CONSEQUENTS = ("root_cause", "category")
# of the protocol's primary analysis, the only one that is set beside the paper
PROTOCOL = {"min_support": 5, "min_confidence": 0.3, "rules": 4}
GRID_CONFIDENCES = tuple(step / 10 for step in range(7))
GRID_RULES = 10

COLUMNS = {
    "rules": [
        "analysis",
        "order",
        "antecedent",
        "consequent",
        "antecedent_count",
        "support",
        "confidence",
        "lift",
        "reached",
        "explained",
        "precision",
        "reached_all_faults",
        "precision_all_faults",
        "folds_chosen",
        "p_fisher",
        "p_bh",
    ],
    "summary": [
        "analysis",
        "antecedents",
        "max_facets",
        "consequent",
        "min_support",
        "min_confidence",
        "rules",
        "rules_found",
        "n",
        "explained",
        "coverage",
        "coverage_low",
        "coverage_high",
        "coverage_interval",
        "precision",
        "precision_all_faults",
        "permutations",
        "null_mean",
        "null_p95",
        "p",
        "excess_over_null",
        "out_of_sample_coverage",
        "out_of_sample_low",
        "out_of_sample_high",
        "out_of_sample_interval",
        "out_of_sample_precision",
    ],
    "grid": [
        "analysis",
        "antecedents",
        "max_facets",
        "consequent",
        "min_support",
        "min_confidence",
        "rules",
        "rules_found",
        "explained",
        "coverage",
        "permutations",
        "null_mean",
        "null_p95",
        "p",
        "excess_over_null",
        "out_of_sample_coverage",
    ],
    "significance": [
        "analysis",
        "antecedent",
        "consequent",
        "antecedent_count",
        "consequent_count",
        "support",
        "confidence",
        "lift",
        "p_fisher",
        "p_bh",
    ],
}


@dataclass(frozen=True)
class Thresholds:
    """Thresholds and numbers of draws (docs/protocol.md gives the reasons).

    Attributes:
        min_support: fewest faults with antecedent and consequent of a rule.
        min_confidence: least share of the consequent among the faults with the antecedent.
        rules: most rules of a list.
        min_antecedent: fewest faults with the antecedent for a pair to be tested for significance.
        permutations: draws of the primary analysis' null.
        grid_permutations: draws of the null of each facet set and consequent: of the grid and of all analyses
            but the primary one.
        folds: of the cross-validation; fewer when there are fewer projects.

    Raises:
        ValueError: if one is out of range.
    """

    min_support: int
    min_confidence: float
    rules: int
    min_antecedent: int
    permutations: int
    grid_permutations: int
    folds: int

    def __post_init__(self) -> None:
        counts = (
            self.min_support,
            self.rules,
            self.min_antecedent,
            self.permutations,
            self.grid_permutations,
        )
        if min(counts) < 1 or self.folds < 2 or not 0 <= self.min_confidence <= 1:
            raise ValueError(f"counts are at least 1, folds at least 2, a confidence is a share; got {self}")

    @property
    def are_of_protocol(self) -> bool:
        """Whether lists are mined as the protocol's primary analysis has it."""
        return all(getattr(self, name) == value for name, value in PROTOCOL.items())

    @property
    def confidences(self) -> list[float]:
        """Confidence thresholds of the grid, with the chosen one."""
        return sorted({*GRID_CONFIDENCES, self.min_confidence})

    @property
    def longest(self) -> int:
        """Most rules of a list of the grid."""
        return max(self.rules, GRID_RULES)


@dataclass(frozen=True)
class Heuristics:
    """The mined heuristics and what speaks for and against them.

    `analysis` is `primary` for symptom alone to root cause with the thresholds of `PROTOCOL`, otherwise
    `<facets> -> <consequent>`. Faults are the attention-specific ones unless a column says `all_faults`.
    Without such faults every table has its `COLUMNS` and no row.

    Attributes:
        rules: a row for each rule of each analysis, in the order in which the list is read. `support`,
            `confidence` and `lift` are of the rule alone; `reached` counts the faults that come to it in the
            list and for which it holds, `explained` those it answers rightly; `precision` is their ratio.
            `precision_all_faults` is what one gets who does not know whether a fault is attention-specific.
            `folds_chosen`: folds of the cross-validation whose list holds the rule. `p_fisher` and `p_bh` are
            those of `significance`, missing where the rule is not in its family.
        summary: a row for each analysis.
            `coverage` has the clustered interval of the coverage *of this list*: mining is not redone, so
            that the interval holds the sampling variation but not the optimism of choosing rules on the
            faults they explain. (Mining again in every draw of projects would add to that optimism, since a
            project drawn twice supports its own rule twice.) `coverage_interval` and
            `out_of_sample_interval` say how the interval was made (`prevalence.share_intervals`).
            `null_mean`, `null_p95`, `p`: coverage when consequents are permuted over the faults, mining and
            selection redone in each of `permutations` draws; faults are taken as exchangeable, also those of
            one project. `excess_over_null` is `coverage - null_mean`.
            `out_of_sample_*`: project-grouped cross-validation pooled over the folds (undefined with a single
            project); its interval takes each fold's list as it is. A rule with just
            `min_support` is found only by folds that hold out none of it: it explains nothing out of sample.
        grid: a row for each facet set, consequent, confidence threshold and number of rules.
        significance: a row for each pair of an antecedent that holds for at least `min_antecedent` faults and
            a consequent that occurs: one-sided Fisher exact test, Benjamini-Hochberg over all pairs of the
            analysis.
    """

    rules: pd.DataFrame
    summary: pd.DataFrame
    grid: pd.DataFrame
    significance: pd.DataFrame


@dataclass(frozen=True)
class _Question:
    """What may stand before the arrow of a rule, and what behind it."""

    facets: tuple[str, ...]
    max_facets: int
    consequent: str

    @property
    def antecedents(self) -> str:
        return "/".join(self.facets)

    def analysis(self, thresholds: Thresholds) -> str:
        of_protocol = self.facets == ANTECEDENTS[0][0] and self.consequent == CONSEQUENTS[0]
        primary = of_protocol and thresholds.are_of_protocol
        return "primary" if primary else f"{self.antecedents} -> {self.consequent}"


def derive(
    records: pd.DataFrame, thresholds: Thresholds, *, draws: int, level: float, seed: int
) -> Heuristics:
    """Mine, select and validate heuristics of a dataset, for the primary analysis and its extensions.

    Facets that the dataset lacks are left out of the antecedents; analyses that then coincide are done once.

    Args:
        records: a row for each fault, with `project` and the categorical columns `scope`, `category`,
            `root_cause`, `symptom` and, where the dataset has them, `trigger`, `visibility`, `stage`.
        thresholds: of rules and lists, and numbers of draws.
        draws: bootstrap samples of projects.
        level: of the intervals.
        seed: of everything random.
    """
    has_faults = (records["scope"] == ATTENTION_SPECIFIC).any()
    fold = project_folds(records["project"], thresholds.folds, seed)
    parts = [
        _analyse(records, question, fold, thresholds, draws=draws, level=level, seed=[seed, number])
        for number, question in enumerate(_questions(records) if has_faults else [])
    ]
    return Heuristics(
        **{name: _stack([getattr(part, name) for part in parts], names) for name, names in COLUMNS.items()}
    )


def _stack(parts: Sequence[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _questions(records: pd.DataFrame) -> list[_Question]:
    """Facet sets by consequents, the primary analysis first."""
    available = available_facets(records)
    questions = []
    for facets, max_facets in ANTECEDENTS:
        present = tuple(facet for facet in facets if facet in available)
        questions += [_Question(present, min(max_facets, len(present)), x) for x in CONSEQUENTS if present]
    return list(dict.fromkeys(questions))


def _analyse(
    records: pd.DataFrame,
    question: _Question,
    fold: Integers,
    thresholds: Thresholds,
    *,
    draws: int,
    level: float,
    seed: list[int],
) -> Heuristics:
    analysis = question.analysis(thresholds)
    cells = tabulate_cells(records, question.facets)
    itemsets = itemsets_of(cells, question.max_facets)
    attention = (records["scope"] == ATTENTION_SPECIFIC).to_numpy()
    cell = cells.of_record[attention]
    faults = count_faults(records[attention], question.consequent, cell, len(cells.codes), fold[attention])
    all_faults = np.bincount(cells.of_record)

    support, longest, confidences = thresholds.min_support, thresholds.longest, thresholds.confidences
    lists = [
        lists_of(faults, itemsets, min_support=support, min_confidence=x, rules=longest) for x in confidences
    ]
    null = null_explained(
        faults.counts,
        itemsets,
        min_support=support,
        confidences=confidences,
        rules=longest,
        permutations=thresholds.grid_permutations,
        seed=seed,
    )
    position = confidences.index(thresholds.min_confidence)
    chosen, null_of_chosen = lists[position].first(thresholds.rules), null[:, position, thresholds.rules - 1]
    if analysis == "primary":
        null_of_chosen = null_explained(
            faults.counts,
            itemsets,
            min_support=support,
            confidences=[thresholds.min_confidence],
            rules=thresholds.rules,
            permutations=thresholds.permutations,
            seed=seed,
        )[:, 0, -1]
    significance = _significance(faults, itemsets, thresholds.min_antecedent)
    name = {"analysis": analysis}
    asked = {
        **name,
        "antecedents": question.antecedents,
        "max_facets": question.max_facets,
        "consequent": question.consequent,
        "min_support": support,
    }
    return Heuristics(
        rules=_led_by(name, _rules(faults, itemsets, chosen, all_faults, significance)),
        summary=_led_by(
            {**asked, "min_confidence": thresholds.min_confidence, "rules": thresholds.rules},
            _summary(faults, chosen, all_faults, null_of_chosen, draws=draws, level=level, seed=seed[0]),
        ),
        grid=_led_by(asked, _grid(faults, lists, null, confidences)),
        significance=_led_by(name, significance),
    )


def _led_by(columns: dict[str, Any], frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**columns)[[*columns, *frame.columns]]


def _summary(
    faults: Faults,
    lists: Lists,
    all_faults: Integers,
    null: Integers,
    *,
    draws: int,
    level: float,
    seed: int,
) -> pd.DataFrame:
    """One row; `all_faults`: (cells,), `null`: (permutations,) explained faults."""
    n = len(faults.cell)
    hits = lists.whole.explains(len(faults.labels))[faults.cell, faults.consequent]
    out_of_sample = held_out_hits(faults, lists)
    intervals = share_intervals(
        np.column_stack([hits, out_of_sample]), pd.Series(faults.project), draws=draws, level=level, seed=seed
    )
    low, high, method = (intervals[name] for name in ("low", "high", "method"))
    explained = np.count_nonzero(hits)
    row = {
        "rules_found": len(lists.whole.antecedents),
        "n": n,
        "explained": explained,
        "coverage": explained / n,
        "coverage_low": low[0],
        "coverage_high": high[0],
        "coverage_interval": method[0],
        "precision": _share(explained, lists.whole.reached(faults.counts.sum(axis=1)).sum()),
        "precision_all_faults": _share(explained, lists.whole.reached(all_faults).sum()),
        "permutations": len(null),
        **_against_null(explained, null, n),
        "out_of_sample_coverage": out_of_sample.mean(),
        "out_of_sample_low": low[1],
        "out_of_sample_high": high[1],
        "out_of_sample_interval": method[1],
        "out_of_sample_precision": _share(out_of_sample.sum(), held_out_reached(faults, lists)),
    }
    return pd.DataFrame([row])


def _grid(
    faults: Faults, lists: Sequence[Lists], null: Integers, confidences: Sequence[float]
) -> pd.DataFrame:
    """One row for each confidence and number of rules; `null`: (permutations, confidences, rules)."""
    permutations, _, longest = null.shape
    number = np.arange(1, longest + 1)
    explained = np.array([cumulated(x.whole.explained(faults.counts), longest) for x in lists])
    columns = {
        "min_confidence": np.repeat(confidences, longest),
        "rules": np.tile(number, len(lists)),
        "rules_found": np.array([np.minimum(number, len(x.whole.antecedents)) for x in lists]),
        "explained": explained,
        "coverage": explained / len(faults.cell),
        "permutations": np.full(explained.shape, permutations),
        **_against_null(explained, null, len(faults.cell)),
        "out_of_sample_coverage": _share(
            np.array([held_out_explained(faults, x, longest) for x in lists]),
            np.count_nonzero(faults.fold >= 0),
        ),
    }
    return pd.DataFrame({name: np.ravel(values) for name, values in columns.items()})


def _against_null(explained: ArrayLike, null: Integers, faults: int) -> dict[str, Any]:
    """Compare explained faults with those of permutations, shape (permutations, ...).

    The observed value counts as one of the draws, so that p is never zero (Phipson & Smyth 2010).
    """
    mean = null.mean(axis=0)
    return {
        "null_mean": mean / faults,
        "null_p95": np.quantile(null, 0.95, axis=0) / faults,
        "p": ((null >= np.asarray(explained)).sum(axis=0) + 1) / (len(null) + 1),
        "excess_over_null": (np.asarray(explained) - mean) / faults,
    }


def _share(part: Any, whole: Any) -> Any:
    """Return part / whole, NaN for 0 / 0."""
    with np.errstate(invalid="ignore"):
        return np.true_divide(part, whole)


def _rules(
    faults: Faults, itemsets: Itemsets, lists: Lists, all_faults: Integers, significance: pd.DataFrame
) -> pd.DataFrame:
    whole = lists.whole
    supports = np.asarray(itemsets.incidence @ faults.counts)[whole.antecedents]
    antecedent_count = supports.sum(axis=1)
    support = supports[np.arange(len(supports)), whole.consequents]
    share = faults.counts.sum(axis=0)[whole.consequents] / len(faults.cell)
    reached, explained = whole.reached(faults.counts.sum(axis=1)), whole.explained(faults.counts)
    rules = list(zip(whole.antecedents, whole.consequents, strict=True))
    of_folds = [set(zip(x.antecedents, x.consequents, strict=True)) for x in lists.without_fold]
    frame = pd.DataFrame(
        {
            "order": np.arange(1, len(rules) + 1),
            "antecedent": pd.Series([itemsets.names[antecedent] for antecedent, _ in rules], dtype="str"),
            "consequent": pd.Series([faults.labels[consequent] for _, consequent in rules], dtype="str"),
            "antecedent_count": antecedent_count,
            "support": support,
            "confidence": support / antecedent_count,
            "lift": support / antecedent_count / share,
            "reached": reached,
            "explained": explained,
            "precision": explained / reached,
            "reached_all_faults": whole.reached(all_faults),
            "precision_all_faults": explained / whole.reached(all_faults),
            "folds_chosen": np.array(
                [sum(rule in fold for fold in of_folds) for rule in rules], dtype=np.int64
            ),
        }
    )
    p_values = significance[["antecedent", "consequent", "p_fisher", "p_bh"]]
    return frame.merge(p_values, how="left", on=["antecedent", "consequent"])


def _significance(faults: Faults, itemsets: Itemsets, min_antecedent: int) -> pd.DataFrame:
    n = len(faults.cell)
    supports = np.asarray(itemsets.incidence @ faults.counts)
    tested = np.flatnonzero(supports.sum(axis=1) >= min_antecedent)
    support = supports[tested].ravel()
    antecedent_count = np.repeat(supports[tested].sum(axis=1), len(faults.labels))
    consequent_count = np.tile(faults.counts.sum(axis=0), len(tested))
    # the upper tail of the hypergeometric distribution is Fisher's one-sided exact test
    p = stats.hypergeom.sf(support - 1, n, consequent_count, antecedent_count)
    return pd.DataFrame(
        {
            "antecedent": pd.Series(itemsets.names, dtype="str")
            .iloc[np.repeat(tested, len(faults.labels))]
            .array,
            "consequent": pd.Series(np.tile(faults.labels, len(tested)), dtype="str"),
            "antecedent_count": antecedent_count,
            "consequent_count": consequent_count,
            "support": support,
            "confidence": support / antecedent_count,
            "lift": support / antecedent_count / (consequent_count / n),
            "p_fisher": p,
            "p_bh": stats.false_discovery_control(p),
        }
    )
