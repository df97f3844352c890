"""The permutation null against complete enumeration, cross-validation against lists made from scratch."""

from collections import Counter
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from attention_faults.taxonomy.decision_list import decision_list, mine, select
from attention_faults.taxonomy.folds import project_folds
from attention_faults.taxonomy.itemsets import Itemsets, itemsets_of, tabulate_cells
from attention_faults.taxonomy.list_validation import (
    Faults,
    count_faults,
    held_out_explained,
    held_out_hits,
    held_out_reached,
    lists_of,
    null_explained,
)

LIMITS = {"min_support": 2, "min_confidence": 0.3, "rules": 3}


def faults_of(symptoms, causes, projects, folds: int = 5) -> tuple[Faults, Itemsets]:
    records = pd.DataFrame(
        {
            "symptom": pd.Categorical(symptoms, categories=sorted({x for x in symptoms if x})),
            "cause": pd.Categorical(causes, categories=sorted(set(causes))),
            "project": projects,
        }
    )
    cells = tabulate_cells(records, ["symptom"])
    fold = project_folds(records["project"], folds, seed=0)
    return count_faults(records, "cause", cells.of_record, len(cells.codes), fold), itemsets_of(cells, 1)


def random_faults(rng: np.random.Generator, n: int = 60) -> tuple[Faults, Itemsets]:
    draw = lambda letter, labels: [f"{letter}{x}" for x in rng.integers(labels, size=n)]  # noqa: E731
    return faults_of(draw("s", 4), draw("c", 3), draw("p", 12))


def null_of(faults: Faults, itemsets: Itemsets, permutations: int, seed: int = 0) -> np.ndarray:
    limits = {"min_support": LIMITS["min_support"], "rules": LIMITS["rules"]}
    return null_explained(
        faults.counts, itemsets, **limits, confidences=[0.3], permutations=permutations, seed=[seed]
    )[:, 0]


def test_the_null_is_the_distribution_over_all_permutations_of_the_causes():
    symptoms, causes = [*"aaabbcc", None], [*"xxyyzxzx"]

    def explained(permuted: tuple[str, ...]) -> tuple[int, ...]:
        """Add up the best supports that the thresholds leave: labels of one facet are disjoint."""
        best = []
        for symptom in "abc":
            held = [cause for s, cause in zip(symptoms, permuted, strict=True) if s == symptom]
            support = max(held.count(cause) for cause in "xyz")
            best.append(support if support >= 2 and support / len(held) >= 0.3 else 0)
        return tuple(np.cumsum(sorted(best, reverse=True)).tolist())

    exact = Counter(map(explained, permutations(causes)))
    drawn = Counter(map(tuple, null_of(*faults_of(symptoms, causes, "p" * 8), 20000).tolist()))
    assert set(drawn) <= set(exact)
    expected = [20000 * count / exact.total() for count in exact.values()]
    assert stats.chisquare([drawn[x] for x in exact], expected).pvalue > 0.001


def test_independent_labels_give_no_excess_and_p_values_that_are_uniform_or_larger():
    rng = np.random.default_rng(3)
    p_values, excess = [], []
    for seed in range(200):
        faults, itemsets = random_faults(rng)
        observed = lists_of(faults, itemsets, **LIMITS).whole.explained(faults.counts).sum()
        null = null_of(faults, itemsets, 99, seed)[:, -1]
        p_values.append((np.count_nonzero(null >= observed) + 1) / 100)
        excess.append(observed - null.mean())
    for level in (0.05, 0.1, 0.25, 0.5):
        too_many = stats.binom.ppf(0.999, len(p_values), level)
        assert np.count_nonzero(np.array(p_values) <= level) <= too_many
    assert np.median(p_values) < 0.75
    assert abs(np.mean(excess)) < 4 * np.std(excess) / np.sqrt(len(excess))


def test_the_null_of_several_thresholds_is_that_of_each_alone():
    faults, itemsets = random_faults(np.random.default_rng(5))
    options = {"min_support": 2, "rules": 4, "permutations": 50, "seed": [7]}
    together = null_explained(faults.counts, itemsets, confidences=[0.0, 0.4, 0.6], **options)
    alone = null_explained(faults.counts, itemsets, confidences=[0.4], **options)
    assert (together[:, 1] == alone[:, 0]).all()
    assert (np.diff(together, axis=2) >= 0).all()


def test_with_one_consequent_or_one_cell_every_permutation_is_the_observed_table():
    for symptoms, causes in (([*"aaabb"], [*"xxxxx"]), ([*"aaaaa"], [*"xxxyy"])):
        faults, itemsets = faults_of(symptoms, causes, "ppqqr")
        observed = np.cumsum(lists_of(faults, itemsets, **LIMITS).whole.explained(faults.counts))
        null = null_of(faults, itemsets, 20)
        assert (null[:, : len(observed)] == observed).all()


def test_a_null_drawn_in_chunks_is_the_same(monkeypatch):
    faults, itemsets = random_faults(np.random.default_rng(6))
    at_once = null_of(faults, itemsets, 25)
    monkeypatch.setattr("attention_faults.taxonomy.list_validation._CHUNK", faults.counts.size * 4)
    assert (null_of(faults, itemsets, 25) == at_once).all()


def test_held_out_faults_are_answered_by_a_list_made_without_their_fold():
    faults, itemsets = random_faults(np.random.default_rng(8), n=120)
    lists = lists_of(faults, itemsets, **LIMITS)
    hits = np.full(len(faults.cell), np.nan)
    answered = 0
    for fold in range(5):
        seen = faults.fold != fold
        counts = np.zeros_like(faults.counts)
        np.add.at(counts, (faults.cell[seen], faults.consequent[seen]), 1)
        mined = mine(counts, itemsets)
        rules = decision_list(select(mined, itemsets, **LIMITS)[0], mined, itemsets)
        answers = np.append(rules.consequents, -1)[rules.rule_of_cell][faults.cell]
        hits[~seen] = (answers == faults.consequent)[~seen]
        answered += np.count_nonzero(answers[~seen] >= 0)
    assert 0 < hits.sum() < len(hits)
    assert (held_out_hits(faults, lists) == hits).all()
    assert held_out_explained(faults, lists, 6).tolist()[-1] == hits.sum()
    assert held_out_explained(faults, lists, 6)[0] == held_out_hits(faults, lists.first(1)).sum()
    assert held_out_reached(faults, lists) == answered


def test_a_signal_of_single_projects_is_explained_in_sample_and_not_out_of_sample():
    names = [f"{i:02}" for i in range(10) for _ in range(8)]
    faults, itemsets = faults_of(names, names, names, folds=10)
    lists = lists_of(faults, itemsets, min_support=5, min_confidence=0.3, rules=10)
    assert lists.whole.explained(faults.counts).sum() == 80
    assert held_out_hits(faults, lists).sum() == 0


def test_a_signal_across_projects_is_explained_out_of_sample():
    symptoms = ["a", "b"] * 40
    faults, itemsets = faults_of(
        symptoms, [{"a": "x", "b": "y"}[s] for s in symptoms], [i // 4 for i in range(80)]
    )
    assert held_out_hits(faults, lists_of(faults, itemsets, **LIMITS)).mean() == 1


@pytest.mark.parametrize("rules", [1, 4])
def test_faults_of_a_single_project_are_never_held_out(rules):
    faults, itemsets = faults_of([*"aab"], [*"xxy"], [*"ppp"])
    lists = lists_of(faults, itemsets, **LIMITS)
    assert np.isnan(held_out_hits(faults, lists)).all()
    assert held_out_explained(faults, lists, rules).tolist() == [0] * rules
