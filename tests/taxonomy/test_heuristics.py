"""Heuristics of planted, independent and embedded faults, against scipy, statsmodels and mlxtend."""

import io
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from mlxtend.frequent_patterns import association_rules, fpgrowth
from scipy import stats
from statsmodels.stats.multitest import multipletests

from attention_faults.taxonomy.heuristics import COLUMNS, PROTOCOL, Heuristics, Thresholds, derive

FAST = {**PROTOCOL, "min_antecedent": 5, "permutations": 99, "grid_permutations": 49, "folds": 10}
FRAMES = ("rules", "summary", "grid", "significance")
SCOPES = ["generic", "attention_specific"]
CATEGORY = {"c0": "k0", "c1": "k0", "c2": "k1", "c3": "k1", "generic_cause": "k2"}
FACETS = {"symptom": "s", "trigger": "t", "visibility": "v", "stage": "g"}


def derived(records: pd.DataFrame, *, seed: int = 1, draws: int = 200, **changes) -> Heuristics:
    return derive(records, Thresholds(**FAST | changes), draws=draws, level=0.95, seed=seed)


def dataset(facets: dict[str, list[str]], causes: list[str], projects: list[str]) -> pd.DataFrame:
    """Faults whose cause is generic when it is called so."""
    scopes = [SCOPES[cause != "generic_cause"] for cause in causes]
    labels = {
        **{facet: pd.Categorical(x, categories=sorted(set(x))) for facet, x in facets.items()},
        "root_cause": pd.Categorical(causes, categories=list(CATEGORY)),
        "category": pd.Categorical([CATEGORY[x] for x in causes], categories=["k0", "k1", "k2"]),
        "scope": pd.Categorical(scopes, categories=SCOPES),
    }
    return pd.DataFrame({"project": projects, **labels})


def independent(seed: int, n: int = 300, facets=tuple(FACETS)) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    labels = {x: [f"{FACETS[x]}{i}" for i in rng.integers(3, size=n)] for x in facets}
    return dataset(labels, list(rng.choice(list(CATEGORY), n)), [f"p{i}" for i in rng.integers(40, size=n)])


def planted(seed: int) -> pd.DataFrame:
    """Independent labels, but symptom s0 with trigger t0 means c3, in every project."""
    records = independent(seed)
    rule = (records["symptom"] == "s0") & (records["trigger"] == "t0") & (records["scope"] != "generic")
    return records.assign(
        root_cause=records["root_cause"].where(~rule, "c3"), category=records["category"].where(~rule, "k1")
    )


@pytest.fixture(scope="module")
def found(records: pd.DataFrame) -> Heuristics:
    return derived(records)


def of(frame: pd.DataFrame, analysis: str) -> pd.DataFrame:
    return frame[frame["analysis"] == analysis]


# --- what is found


def test_a_planted_rule_is_found_first_and_is_significant_and_holds_out_of_sample():
    found = derived(planted(0), min_confidence=0.8)
    analysis = "symptom/trigger -> root_cause"
    first = of(found.rules, analysis).iloc[0]
    assert (first["antecedent"], first["consequent"]) == ("symptom=s0 & trigger=t0", "c3")
    assert first["confidence"] == first["precision"] == 1
    assert first["p_bh"] < 1e-6
    assert first["folds_chosen"] == 10
    summary = of(found.summary, analysis).iloc[0]
    assert summary["p"] == 1 / 50
    assert summary["out_of_sample_coverage"] >= first["explained"] / summary["n"]


def test_independent_labels_give_significant_rules_no_more_often_than_allowed():
    families = [of(derived(independent(seed)).significance, "primary") for seed in range(15)]
    # under independence the chance that Benjamini-Hochberg rejects any pair is at most its level
    assert sum((family["p_bh"] < 0.05).any() for family in families) <= stats.binom.ppf(0.999, 15, 0.05)


# --- what the columns mean


def naive(records: pd.DataFrame, rules: pd.DataFrame, consequent: str) -> pd.DataFrame:
    """Read the list fault by fault."""
    counts = Counter()
    for row in records.to_dict("records"):
        attention = row["scope"] == "attention_specific"
        for rule in rules.to_dict("records"):
            antecedent = [x.split("=") for x in rule["antecedent"].split(" & ")]
            if all(row[facet] == label for facet, label in antecedent):
                counts[rule["order"], "all"] += 1
                counts[rule["order"], "reached"] += attention
                counts[rule["order"], "explained"] += attention and row[consequent] == rule["consequent"]
                break
    return pd.DataFrame([[counts[o, x] for x in ("all", "reached", "explained")] for o in rules["order"]])


@pytest.mark.parametrize("number", range(6))
def test_the_lists_of_the_embedded_dataset_read_fault_by_fault_give_the_same_figures(records, number):
    found = derived(records, min_support=3, min_confidence=0.2, rules=6)
    summary = found.summary.iloc[number]
    rules = of(found.rules, summary["analysis"])
    counts = naive(records, rules, summary["consequent"])
    assert rules["reached_all_faults"].tolist() == counts[0].tolist()
    assert rules["reached"].tolist() == counts[1].tolist()
    assert rules["explained"].tolist() == counts[2].tolist()
    assert rules["precision"].tolist() == (counts[2] / counts[1]).tolist()
    assert rules["precision_all_faults"].tolist() == (counts[2] / counts[0]).tolist()
    assert summary["coverage"] == counts[2].sum() / (records["scope"] == "attention_specific").sum()
    assert summary["precision"] == counts[2].sum() / counts[1].sum()
    assert summary["precision_all_faults"] == counts[2].sum() / counts[0].sum()


def test_support_confidence_and_lift_are_those_of_mlxtend(records, found):
    attention = records[records["scope"] == "attention_specific"]
    columns = attention[["symptom", "trigger", "root_cause"]].astype(str)
    baskets = pd.concat([pd.get_dummies(columns[x], prefix=x, prefix_sep="=") for x in columns], axis=1)
    mined = association_rules(fpgrowth(baskets, 1 / len(baskets), use_colnames=True), min_threshold=0)
    expected = {
        (frozenset(rule.antecedents), *rule.consequents): (rule.support, rule.confidence, rule.lift)
        for rule in mined.itertuples()
        if len(rule.consequents) == 1 and next(iter(rule.consequents)).startswith("root_cause=")
    }
    ours = of(found.significance, "symptom/trigger -> root_cause").query("support > 0")
    for row in ours.itertuples():
        antecedent = frozenset(row.antecedent.split(" & "))
        support, confidence, lift = expected[antecedent, f"root_cause={row.consequent}"]
        assert row.support == round(support * len(baskets))
        assert (row.confidence, row.lift) == pytest.approx((confidence, lift))
    frequent = {x for x in expected if baskets[list(x[0])].all(axis=1).sum() >= 5}
    assert len(ours) == len(frequent)


def test_significance_is_fishers_test_adjusted_over_all_pairs_of_an_analysis(records):
    found = derived(records, min_antecedent=7).significance
    n = (records["scope"] == "attention_specific").sum()
    assert found["antecedent_count"].min() >= 7
    for row in found.sample(60, random_state=0).itertuples():
        a, b, k = row.antecedent_count, row.consequent_count, row.support
        table = [[k, a - k], [b - k, n - a - b + k]]
        assert row.p_fisher == pytest.approx(stats.fisher_exact(table, alternative="greater").pvalue)
    for _, family in found.groupby("analysis"):
        adjusted = multipletests(family["p_fisher"], method="fdr_bh")[1]
        np.testing.assert_allclose(family["p_bh"], adjusted)


def test_the_primary_family_holds_every_frequent_symptom_with_every_cause_that_occurs(records, found):
    family = of(found.significance, "primary")
    attention = records[records["scope"] == "attention_specific"]
    frequent = attention["symptom"].value_counts().loc[lambda counts: counts >= 5]
    assert set(family["antecedent"]) == {f"symptom={x}" for x in frequent.index}
    assert len(family) == len(frequent) * attention["root_cause"].nunique()


def test_rules_carry_the_p_values_of_the_significance_table(found):
    keys = ["analysis", "antecedent", "consequent"]
    merged = found.rules.merge(found.significance, on=keys, suffixes=("", "_table"))
    assert len(merged) == len(found.rules) > 0
    for column in ("p_fisher", "p_bh", "support", "confidence", "lift", "antecedent_count"):
        assert merged[column].tolist() == merged[f"{column}_table"].tolist()


def test_a_rule_outside_the_family_has_no_p_value():
    found = derived(independent(2), min_support=1, min_confidence=0, min_antecedent=10**6)
    assert len(found.significance) == 0
    assert found.rules["p_bh"].isna().all()
    assert len(found.rules) > 0


def test_the_interval_is_a_point_when_all_projects_are_alike():
    block = planted(1).query("scope != 'generic'").head(40).drop(columns="project")
    records = pd.concat([block.assign(project=f"p{i}") for i in range(12)], ignore_index=True)
    summary = derived(records).summary
    assert (summary["coverage"] > 0).all()
    assert (summary[["coverage_interval", "out_of_sample_interval"]] == "bootstrap").all(axis=None)
    for edge in ("low", "high"):
        np.testing.assert_allclose(summary[f"coverage_{edge}"], summary["coverage"])
        np.testing.assert_allclose(summary[f"out_of_sample_{edge}"], summary["out_of_sample_coverage"])


def test_five_explained_faults_are_too_few_for_a_bootstrap_and_none_out_of_sample_is_no_certainty(found):
    primary = of(found.summary, "primary").iloc[0]
    assert (primary["explained"], primary["out_of_sample_coverage"]) == (5, 0)
    assert primary["coverage_interval"] == primary["out_of_sample_interval"] == "wilson_effective_n"
    assert 0 < primary["coverage_low"] < 5 / 254 < primary["coverage_high"]
    assert primary["out_of_sample_low"] == 0
    # at best every fault counts: Wilson's upper end for none of n is z^2 / (n + z^2)
    assert primary["out_of_sample_high"] >= 1.96**2 / (254 + 1.96**2) - 1e-4


def test_the_interval_is_that_of_the_given_list_with_projects_redrawn():
    records = planted(3)
    found = derived(records, draws=4000)
    rules = of(found.rules, "primary")
    attention = records[records["scope"] == "attention_specific"]
    answer = dict(zip(rules["antecedent"], rules["consequent"], strict=True))
    explained = [answer.get(f"symptom={r.symptom}") == r.root_cause for r in attention.itertuples()]
    projects = pd.Series(explained).groupby(attention["project"].to_numpy()).agg(["sum", "size"]).to_numpy()
    rng = np.random.default_rng(11)
    samples = [projects[rng.integers(len(projects), size=len(projects))].sum(axis=0) for _ in range(4000)]
    low, high = np.quantile([explained / n for explained, n in samples], [0.025, 0.975])
    summary = of(found.summary, "primary").iloc[0]
    assert (summary["coverage_low"], summary["coverage_high"]) == pytest.approx((low, high), abs=0.01)


# --- grid and summary


def test_the_grid_holds_every_confidence_and_number_of_rules(found):
    grid = found.grid
    assert len(grid) == 6 * 7 * 10
    for _, block in grid.groupby("analysis", sort=False):
        assert block["min_confidence"].tolist() == [c / 10 for c in range(7) for _ in range(10)]
        assert block["rules"].tolist() == list(range(1, 11)) * 7
    assert grid["coverage"].between(0, 1).all()
    for _, curve in grid.groupby(["analysis", "min_confidence"]):
        assert curve["coverage"].is_monotonic_increasing
        assert (
            curve["rules_found"].tolist() == np.minimum(curve["rules"], curve["rules_found"].max()).tolist()
        )


def test_a_confidence_off_the_grid_and_a_longer_list_are_added_to_it(records):
    grid = derived(records, min_confidence=0.25, rules=12).grid
    assert sorted(grid["min_confidence"].unique()) == [0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6]
    assert grid["rules"].max() == 12


def test_the_summary_is_the_row_of_the_grid_and_only_the_primary_analysis_has_draws_of_its_own(found):
    keys = ["analysis", "min_confidence", "rules"]
    merged = found.summary.merge(found.grid, on=keys, suffixes=("", "_grid"))
    assert len(merged) == 6
    for column in ("coverage", "out_of_sample_coverage", "rules_found", "explained"):
        np.testing.assert_allclose(merged[column], merged[f"{column}_grid"])
    assert merged["permutations"].tolist() == [99, 49, 49, 49, 49, 49]
    for column in ("p", "null_mean", "null_p95", "excess_over_null"):
        assert merged[column].tolist()[1:] == merged[f"{column}_grid"].tolist()[1:]
    np.testing.assert_allclose(merged["excess_over_null"], merged["coverage"] - merged["null_mean"])


def test_the_primary_analysis_comes_first_and_is_symptom_alone_to_root_cause(found):
    first = found.summary.iloc[0]
    asked = ["analysis", "antecedents", "max_facets", "consequent"]
    assert first[asked].tolist() == ["primary", "symptom", 1, "root_cause"]


@pytest.mark.parametrize("changes", [{"min_confidence": 0.05}, {"rules": 12}, {"min_support": 4}])
def test_with_thresholds_other_than_the_protocols_no_analysis_is_called_primary(records, changes):
    summary = derived(records, **changes).summary
    assert summary["analysis"].tolist()[:2] == ["symptom -> root_cause", "symptom -> category"]
    assert len(summary) == 6
    assert set(summary["permutations"]) == {49}


# --- reproducibility and odd datasets


def test_the_same_seed_gives_the_same_bytes_whatever_the_order_of_records(records):
    def text(records: pd.DataFrame, seed: int) -> list[str]:
        found = derived(records, seed=seed)
        return [getattr(found, name).to_csv() for name in FRAMES]

    shuffled = records.sample(frac=1, random_state=3).reset_index(drop=True)
    assert text(records, 1) == text(shuffled, 1)
    assert text(records, 1)[1] != text(records, 2)[1]


def test_a_dataset_without_trigger_and_stage_has_fewer_analyses(records, found):
    fewer = derived(records.drop(columns=["trigger", "stage"]))
    assert fewer.summary["analysis"].tolist() == [
        "primary",
        "symptom -> category",
        "symptom/visibility -> root_cause",
        "symptom/visibility -> category",
    ]
    assert fewer.summary["max_facets"].tolist() == [1, 1, 2, 2]
    pd.testing.assert_series_equal(fewer.summary.iloc[0], found.summary.iloc[0])


def test_a_facet_without_any_label_is_as_absent(records):
    empty = pd.Categorical([None] * len(records), categories=["a", "b"])
    with_empty = derived(records.assign(trigger=empty))
    without = derived(records.drop(columns="trigger"))
    for name in FRAMES:
        pd.testing.assert_frame_equal(getattr(with_empty, name), getattr(without, name))


def test_no_rule_within_reach_explains_nothing_and_has_no_precision():
    found = derived(independent(4), min_support=1000)
    assert len(found.rules) == 0
    assert set(found.summary["coverage"]) == {0.0}
    assert set(found.summary["rules_found"]) == {0}
    assert set(found.summary["p"]) == {1.0}
    assert found.summary["precision"].isna().all()


def test_a_single_project_has_nothing_out_of_sample():
    found = derived(planted(5).assign(project="p"))
    for column in ("out_of_sample_coverage", "out_of_sample_low", "out_of_sample_precision"):
        assert found.summary[column].isna().all()
    assert found.grid["out_of_sample_coverage"].isna().all()
    assert (found.summary["coverage"] > 0).all()
    assert found.rules["folds_chosen"].eq(0).all()


def test_a_dataset_without_attention_specific_faults_gives_empty_tables_with_all_columns(found):
    records = independent(6)
    nothing = derived(records[records["scope"] == "generic"].reset_index(drop=True))
    for name in FRAMES:
        assert len(getattr(nothing, name)) == 0
        assert (
            getattr(nothing, name).columns.tolist() == getattr(found, name).columns.tolist() == COLUMNS[name]
        )


def test_causes_that_are_all_the_same_are_explained_as_well_by_chance():
    one = independent(7).query("root_cause == 'c0'").reset_index(drop=True)
    summary = derived(one).summary
    assert (summary["coverage"] > 0.9).all()
    np.testing.assert_allclose(summary["excess_over_null"], 0, atol=1e-12)
    assert set(summary["p"]) == {1.0}


@pytest.mark.parametrize(
    "wrong", [{"min_support": 0}, {"rules": 0}, {"permutations": 0}, {"folds": 1}, {"min_confidence": 1.5}]
)
def test_thresholds_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="at least"):
        Thresholds(**FAST | wrong)


def test_results_survive_a_csv_round_trip(found):
    for name in FRAMES:
        frame = getattr(found, name)
        read = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
        pd.testing.assert_frame_equal(read, frame)
