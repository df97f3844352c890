"""Mining and selection against loops over records that share no code with them."""

from collections import Counter
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_faults.taxonomy.decision_list import DecisionList, decision_list, mine, select
from attention_faults.taxonomy.itemsets import Itemsets, itemsets_of, tabulate_cells

VOCABULARY = {"symptom": ["s1", "s2", "s3"], "trigger": ["t1", "t2"], "stage": ["g1", "g2"]}
CAUSES = ["c1", "c2", "c3"]

fault = st.fixed_dictionaries(
    {facet: st.sampled_from([*labels, None]) for facet, labels in VOCABULARY.items()}
    | {"cause": st.sampled_from(CAUSES)}
)
faults = st.lists(fault, min_size=1, max_size=30)


def frame(rows: list[dict]) -> pd.DataFrame:
    labels = VOCABULARY | {"cause": CAUSES}
    return pd.DataFrame({x: pd.Categorical([row[x] for row in rows], categories=labels[x]) for x in labels})


def counted(rows: list[dict], facets: list[str], max_facets: int) -> tuple[np.ndarray, Itemsets]:
    records = frame(rows)
    cells = tabulate_cells(records, facets)
    counts = np.zeros((len(cells.codes), len(CAUSES)), dtype=np.int64)
    np.add.at(counts, (cells.of_record, records["cause"].cat.codes.to_numpy()), 1)
    return counts, itemsets_of(cells, max_facets)


def listed(
    rows: list[dict], facets: list[str], max_facets: int, **thresholds
) -> tuple[DecisionList, list[tuple[str, str, int]]]:
    """The list, and its rules as (antecedent, cause, faults explained)."""
    counts, itemsets = counted(rows, facets, max_facets)
    mined = mine(counts, itemsets)
    chosen, gains = select(mined, itemsets, **thresholds)
    rules = decision_list(chosen, mined, itemsets)
    pairs = zip(chosen, rules.consequents, gains, strict=True)
    return rules, [(itemsets.names[a], CAUSES[c], gain) for a, c, gain in pairs]


def candidates(rows, facets, max_facets, *, min_support, min_confidence):
    """Every rule of the protocol, in the order of its last tie: (antecedent, cause, confidence)."""
    found = []
    for size in range(1, max_facets + 1):
        for joined in combinations(facets, size):
            for labels in product(*(VOCABULARY[facet] for facet in joined)):
                antecedent = dict(zip(joined, labels, strict=True))
                causes = Counter(row["cause"] for row in rows if holds(antecedent, row))
                if not causes:
                    continue
                cause = min(CAUSES, key=lambda cause: (-causes[cause], CAUSES.index(cause)))
                confidence = Fraction(causes[cause], causes.total())
                if causes[cause] >= min_support and confidence >= Fraction(str(min_confidence)):
                    found.append((antecedent, cause, confidence))
    return found


def holds(antecedent: dict, row: dict) -> bool:
    return all(row[facet] == label for facet, label in antecedent.items())


def reference(rows, facets, max_facets, *, min_support, min_confidence, rules):
    """Greedy selection, a fault at a time."""
    eligible = candidates(rows, facets, max_facets, min_support=min_support, min_confidence=min_confidence)
    unreached, chosen = list(rows), []

    def gain(rule):
        antecedent, cause, _ = rule
        return sum(row["cause"] == cause for row in unreached if holds(antecedent, row))

    while eligible and len(chosen) < rules:
        best = min(eligible, key=lambda rule: (-gain(rule), -rule[2], len(rule[0]), eligible.index(rule)))
        if not gain(best):
            break
        name = " & ".join(f"{facet}={label}" for facet, label in best[0].items())
        chosen.append((name, best[1], gain(best)))
        unreached = [row for row in unreached if not holds(best[0], row)]
    return chosen


@settings(max_examples=300, deadline=None)
@given(
    faults,
    st.sampled_from(
        [(["symptom"], 1), (["symptom", "trigger"], 2), (list(VOCABULARY), 3), (list(VOCABULARY), 2)]
    ),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.3, 0.5, 0.6, 1.0]),
    st.integers(1, 6),
)
def test_rules_are_those_of_a_loop_over_faults(rows, antecedents, min_support, min_confidence, rules):
    thresholds = {"min_support": min_support, "min_confidence": min_confidence, "rules": rules}
    assert listed(rows, *antecedents, **thresholds)[1] == reference(rows, *antecedents, **thresholds)


@settings(max_examples=100, deadline=None)
@given(faults, st.integers(1, 3), st.integers(1, 4))
def test_greedy_is_optimal_for_a_single_facet(rows, min_support, rules):
    _, greedy = listed(rows, ["symptom"], 1, min_support=min_support, min_confidence=0.3, rules=rules)
    eligible = candidates(rows, ["symptom"], 1, min_support=min_support, min_confidence=0.3)
    best = max(
        sum(any(holds(a, row) and row["cause"] == cause for a, cause, _ in subset) for row in rows)
        for size in range(rules + 1)
        for subset in combinations(eligible, size)
    )
    assert sum(gain for _, _, gain in greedy) == best


@settings(max_examples=100, deadline=None)
@given(faults, st.integers(1, 6))
def test_the_list_for_k_rules_is_the_first_k_of_a_longer_one(rows, rules):
    thresholds = {"min_support": 1, "min_confidence": 0.0}
    longest, in_full = listed(rows, list(VOCABULARY), 3, **thresholds, rules=10)
    shorter, in_short = listed(rows, list(VOCABULARY), 3, **thresholds, rules=rules)
    first = longest.first(rules)
    assert in_short == in_full[:rules]
    assert first.antecedents == shorter.antecedents
    assert (first.rule_of_cell == shorter.rule_of_cell).all()


@settings(max_examples=100, deadline=None)
@given(faults, st.integers(1, 8))
def test_reading_the_list_fault_by_fault_gives_the_same_counts_and_counts_no_fault_twice(rows, length):
    counts, _ = counted(rows, list(VOCABULARY), 3)
    rules, texts = listed(rows, list(VOCABULARY), 3, min_support=1, min_confidence=0.0, rules=length)
    parsed = [(dict(x.split("=") for x in name.split(" & ")), cause) for name, cause, _ in texts]
    reached, explained = [0] * len(parsed), [0] * len(parsed)
    for row in rows:
        first = next((k for k, (antecedent, _) in enumerate(parsed) if holds(antecedent, row)), None)
        if first is not None:
            reached[first] += 1
            explained[first] += parsed[first][1] == row["cause"]
    assert rules.reached(counts.sum(axis=1)).tolist() == reached
    assert rules.explained(counts).tolist() == explained == [gain for *_, gain in texts]
    assert sum(reached) <= len(rows)


@settings(max_examples=100, deadline=None)
@given(faults)
def test_an_antecedent_has_one_consequent(rows):
    _, rules = listed(rows, list(VOCABULARY), 3, min_support=1, min_confidence=0.0, rules=20)
    antecedents = [antecedent for antecedent, _, _ in rules]
    assert len(antecedents) == len(set(antecedents))


def some(count: int, symptom: str | None, cause: str, trigger: str | None = None) -> list[dict]:
    return [{"symptom": symptom, "trigger": trigger, "stage": None, "cause": cause}] * count


LOOSE = {"min_support": 1, "min_confidence": 0.0, "rules": 1}


def test_a_tie_of_causes_goes_to_the_codebook_order():
    rows = some(2, "s1", "c3") + some(2, "s1", "c2")
    assert listed(rows, ["symptom"], 1, **LOOSE)[1] == [("symptom=s1", "c2", 2)]


def test_a_tie_of_rules_goes_to_the_higher_confidence():
    rows = some(2, "s1", "c1") + some(1, "s1", "c2") + some(2, "s3", "c3")
    assert listed(rows, ["symptom"], 1, **LOOSE)[1] == [("symptom=s3", "c3", 2)]


def test_a_tie_of_rules_and_confidence_goes_to_fewer_facets():
    rows = some(2, "s1", "c1", "t1")
    assert listed(rows, ["symptom", "trigger"], 2, **LOOSE)[1] == [("symptom=s1", "c1", 2)]


def test_a_last_tie_goes_to_the_codebook_order():
    rows = some(2, "s3", "c1", "t2") + some(2, "s2", "c2", "t1")
    assert listed(rows, ["symptom", "trigger"], 2, **LOOSE)[1] == [("symptom=s2", "c2", 2)]


def test_a_share_that_equals_the_threshold_is_kept():
    rows = some(3, "s1", "c1") + some(2, "s1", "c2") + some(2, "s1", "c3")
    rows += some(3, None, "c1")
    kept = {"min_support": 3, "rules": 1}
    assert listed(rows, ["symptom"], 1, min_confidence=3 / 7, **kept)[1] == [("symptom=s1", "c1", 3)]
    assert listed(rows, ["symptom"], 1, min_confidence=0.43, **kept)[1] == []


def test_a_missing_label_matches_no_antecedent():
    rows = some(9, None, "c1") + some(1, "s1", "c2")
    rules, texts = listed(rows, ["symptom", "trigger"], 2, **LOOSE | {"rules": 5})
    assert texts == [("symptom=s1", "c2", 1)]
    assert rules.reached(counted(rows, ["symptom", "trigger"], 2)[0].sum(axis=1)).tolist() == [1]


def test_a_rule_behind_one_that_reaches_all_its_faults_is_not_added():
    rows = some(3, "s1", "c1", "t1") + some(2, "s1", "c2", "t2")
    _, texts = listed(rows, ["symptom", "trigger"], 2, **LOOSE | {"rules": 5})
    assert texts == [("trigger=t1", "c1", 3), ("trigger=t2", "c2", 2)]
    assert reference(rows, ["symptom", "trigger"], 2, **LOOSE | {"rules": 5}) == texts


@pytest.mark.parametrize("facets", [["symptom"], ["symptom", "trigger"], ["symptom", "trigger", "stage"]])
def test_itemsets_come_by_size_then_facets_then_labels(facets):
    rows = [
        {"symptom": s, "trigger": t, "stage": g, "cause": "c1"}
        for s, t, g in product(*(reversed(labels) for labels in VOCABULARY.values()))
    ]
    expected = [
        " & ".join(f"{facet}={label}" for facet, label in zip(joined, labels, strict=True))
        for size in range(1, len(facets) + 1)
        for joined in combinations(facets, size)
        for labels in product(*(VOCABULARY[facet] for facet in joined))
    ]
    assert counted(rows, facets, len(facets))[1].names == expected
