"""Suggestions against hand computation, and their evaluation against a loop of suggestions."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from attention_faults.errors import InputError
from attention_faults.taxonomy import suggestion
from attention_faults.taxonomy.folds import project_folds
from attention_faults.taxonomy.itemsets import available_facets

VOCABULARY = {"symptom": ["s1", "s2", "s3"], "trigger": ["t1", "t2"], "visibility": ["v1", "v2"]}
CATEGORIES = ["k1", "k2", "k3", "k4", "k5", "never"]

record = st.fixed_dictionaries(
    {"symptom": st.sampled_from(VOCABULARY["symptom"])}
    | {facet: st.sampled_from([*VOCABULARY[facet], None]) for facet in ("trigger", "visibility")}
    | {"category": st.sampled_from(CATEGORIES[:-1]), "project": st.sampled_from("abcdef")}
)


def frame(rows: list[dict]) -> pd.DataFrame:
    labels = VOCABULARY | {"category": CATEGORIES}
    columns = {x: pd.Categorical([row[x] for row in rows], categories=labels[x]) for x in labels}
    return pd.DataFrame(
        {
            "url": [f"https://example.org/{i}" for i in range(len(rows))],
            "project": [row.get("project", "p") for row in rows],
            **columns,
        }
    )


def some(count: int, symptom: str, category: str, trigger: str | None = None) -> list[dict]:
    return [{"symptom": symptom, "trigger": trigger, "visibility": None, "category": category}] * count


records_with_triggers = st.lists(record, max_size=30).map(
    lambda rows: frame(some(1, "s1", "k1", "t1") + rows)
)

SMALL = frame(
    some(3, "s1", "k1", "t1") + some(1, "s1", "k2", "t2") + some(2, "s2", "k2", "t1") + some(4, "s3", "k3")
)


LOOKUP = {"prior_weight": 5, "level": 0.95, "top": 5, "examples": 3}


def suggest(records: pd.DataFrame, observed: dict[str, str], **options) -> pd.DataFrame:
    return suggestion.suggest(records, observed, **LOOKUP | options)


# --- suggestions


def test_shares_are_smoothed_step_by_step_from_the_overall_shares():
    found = suggest(SMALL, {"trigger": "t1", "symptom": "s1"}, outcome="category", prior_weight=5)
    overall = {"k1": 3 / 10, "k2": 3 / 10, "k3": 4 / 10}
    symptom = {x: (n + 5 * overall[x]) / (4 + 5) for x, n in {"k1": 3, "k2": 1, "k3": 0}.items()}
    both = {x: (n + 5 * symptom[x]) / (3 + 5) for x, n in {"k1": 3, "k2": 0, "k3": 0}.items()}
    assert found["label"].tolist() == ["k1", "k2", "k3"]
    assert found["probability"].tolist() == pytest.approx([both[x] for x in found["label"]])
    assert found["count"].tolist() == [3, 0, 0]
    assert found["matching"].tolist() == [3, 3, 3]
    assert found["lift"].tolist() == pytest.approx([both[x] / overall[x] for x in found["label"]])


def test_the_interval_is_of_the_beta_distribution_whose_mean_is_the_probability():
    found = suggest(SMALL, {"symptom": "s1"}, outcome="category", prior_weight=5, level=0.9)
    for row in found.itertuples():
        hits = row.probability * (4 + 5)
        posterior = stats.beta(hits, 4 + 5 - hits)
        assert (row.low, row.high) == pytest.approx((posterior.ppf(0.05), posterior.ppf(0.95)))


@settings(max_examples=100, deadline=None)
@given(records_with_triggers, st.sampled_from(VOCABULARY["symptom"]))
def test_probabilities_are_a_distribution_and_order_the_labels(records, symptom):
    found = suggest(records, {"symptom": symptom, "trigger": "t1"}, outcome="category", top=9)
    assert found["probability"].sum() == pytest.approx(1)
    assert found["probability"].is_monotonic_decreasing
    assert set(found["label"]) == set(records["category"])
    assert (found["low"] <= found["high"]).all()


@settings(max_examples=100, deadline=None)
@given(records_with_triggers, st.floats(0.1, 50))
def test_a_step_ends_between_the_share_before_it_and_the_share_of_the_matching_records(records, weight):
    options = {"outcome": "category", "top": 9, "prior_weight": weight}
    before = suggest(records, {"symptom": "s1"}, **options).set_index("label")["probability"]
    after = suggest(records, {"symptom": "s1", "trigger": "t1"}, **options).set_index("label")
    before = before[after.index]
    if after["matching"].iloc[0] == 0:
        np.testing.assert_allclose(after["probability"], before)
    else:
        observed = after["count"] / after["matching"]
        assert (after["probability"] >= np.minimum(before, observed) - 1e-12).all()
        assert (after["probability"] <= np.maximum(before, observed) + 1e-12).all()


def test_a_rare_combination_does_not_boast():
    records = frame(some(1, "s1", "k1", "t1") + some(49, "s2", "k2", "t2"))
    found = suggest(records, {"symptom": "s1", "trigger": "t1"}, outcome="category").set_index("label")
    assert found.loc["k1", "matching"] == found.loc["k1", "count"] == 1
    assert found.loc["k1", "probability"] < 0.4


def test_the_order_in_which_facets_are_given_does_not_matter():
    one = suggest(SMALL, {"symptom": "s1", "trigger": "t1"}, outcome="category")
    other = suggest(SMALL, {"trigger": "t1", "symptom": "s1"}, outcome="category")
    pd.testing.assert_frame_equal(one, other)


def test_equal_probabilities_come_in_codebook_order():
    records = frame(some(2, "s1", "k4") + some(2, "s1", "k2") + some(2, "s1", "k3"))
    assert suggest(records, {"symptom": "s1"}, outcome="category")["label"].tolist() == ["k2", "k3", "k4"]


def test_examples_are_the_first_records_that_count():
    found = suggest(SMALL, {"symptom": "s1", "trigger": "t1"}, outcome="category", examples=2)
    assert found["example_urls"].tolist() == ["https://example.org/0; https://example.org/1", "", ""]


def test_examples_of_the_embedded_dataset_have_the_facets_and_the_label(records):
    observed = {"symptom": "nan_or_inf", "trigger": "low_precision"}
    found = suggest(records, observed, outcome="root_cause")
    assert len(found) == 5
    by_url = records.set_index("url")
    for row in found.itertuples():
        for url in filter(None, row.example_urls.split("; ")):
            cited = by_url.loc[url]
            assert (cited["symptom"], cited["trigger"]) == tuple(observed.values())
            assert cited["root_cause"] == row.label


def test_a_dataset_with_a_single_label_is_certain():
    found = suggest(frame(some(3, "s1", "k1")), {"symptom": "s1"}, outcome="category")
    assert found.loc[0, ["probability", "low", "high", "lift"]].tolist() == [1, 1, 1, 1]


def test_everything_unknown_is_reported_at_once_with_the_nearest_valid_name(records):
    with pytest.raises(InputError) as caught:
        suggest(records, {"symptm": "crash", "symptom": "nan_inf", "stage": "trainin"}, outcome="root_case")
    assert caught.value.problems == [
        "outcome `root_case`: expected one of scope, category, root_cause; did you mean `root_cause`?",
        "facet `symptm`: expected one of symptom, trigger, visibility, stage; did you mean `symptom`?",
        "facet `symptom`: `nan_inf` is not in the codebook; did you mean `nan_or_inf`?",
        "facet `stage`: `trainin` is not in the codebook; did you mean `training`?",
    ]


def test_a_facet_that_the_dataset_lacks_is_unknown(records):
    with pytest.raises(InputError, match="facet `trigger`: expected one of symptom, visibility, stage"):
        suggest(records.drop(columns="trigger"), {"trigger": "distributed"}, outcome="category")


def test_no_facet_is_an_input_error(records):
    with pytest.raises(InputError, match="no facet is given"):
        suggest(records, {}, outcome="category")


def test_a_prior_without_weight_is_refused(records):
    with pytest.raises(ValueError, match="prior"):
        suggest(records, {"symptom": "crash"}, outcome="category", prior_weight=0)


# --- evaluation


def evaluated(
    records: pd.DataFrame, outcomes=("category",), *, draws: int = 200, seed: int = 4
) -> pd.DataFrame:
    options = {"folds": 10, "prior_weight": 5, "draws": draws, "level": 0.95, "seed": seed}
    return suggestion.evaluate(records, facets=available_facets(records), outcomes=outcomes, **options)


@settings(max_examples=40, deadline=None)
@given(st.lists(record, min_size=2, max_size=30).filter(lambda rows: len({r["project"] for r in rows}) > 1))
def test_accuracy_is_that_of_suggestions_made_from_the_other_folds(rows):
    records = frame(rows)
    fold = project_folds(records["project"], 10, 4)
    facets = available_facets(records)
    hits = {1: [], 3: []}
    baseline = {1: [], 3: []}
    for number in range(fold.max() + 1):
        seen = records[fold != number].reset_index(drop=True)
        frequent = seen["category"].value_counts().loc[lambda counts: counts > 0]
        order = sorted(frequent.index, key=lambda label: (-frequent[label], CATEGORIES.index(label)))
        for row in records[fold == number].to_dict("records"):
            # a label unseen outside the fold cannot be looked up there, and matches nothing
            observed = {facet: row[facet] for facet in facets if not pd.isna(row[facet])}
            kept = {facet: label for facet, label in observed.items() if facet in available_facets(seen)}
            ranked = suggest(seen, kept, outcome="category")["label"].tolist()
            for top in (1, 3):
                hits[top].append(row["category"] in ranked[:top])
                baseline[top].append(row["category"] in order[:top])
    found = evaluated(records).set_index("top")
    for top in found.index:
        assert found.loc[top, "accuracy"] == pytest.approx(np.mean(hits[top]))
        assert found.loc[top, "baseline_accuracy"] == pytest.approx(np.mean(baseline[top]))


def sampled(seed: int, n: int = 400) -> dict[str, list[str]]:
    rng = np.random.default_rng(seed)
    return {
        **{facet: list(rng.choice(labels, n)) for facet, labels in VOCABULARY.items()},
        "category": list(rng.choice(CATEGORIES[:-1], n)),
        "project": [f"p{i}" for i in rng.integers(50, size=n)],
    }


def to_frame(columns: dict[str, list[str]]) -> pd.DataFrame:
    return frame([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])


def test_a_facet_that_tells_the_outcome_is_always_right_and_beats_the_baseline():
    columns = sampled(1)
    columns["category"] = [f"k{symptom[1]}" for symptom in columns["symptom"]]
    first = evaluated(to_frame(columns)).iloc[0]
    assert (first["accuracy"], first["high"], first["interval"]) == (1, 1, "wilson_effective_n")
    assert 0.9 < first["low"] < 1
    assert first["baseline_interval"] == "bootstrap"
    assert first["baseline_accuracy"] < 0.5
    assert first["difference_low"] > 0


def test_facets_that_tell_nothing_do_not_beat_the_baseline():
    found = [evaluated(to_frame(sampled(seed))).query("top == 1").iloc[0] for seed in range(12)]
    assert sum(row["difference_low"] > 0 for row in found) <= stats.binom.ppf(0.999, 12, 0.025)


def test_a_signal_of_single_projects_does_not_count():
    columns = sampled(2)
    columns["project"] = [f"{s}{t}{v}" for s, t, v in zip(*(columns[x] for x in VOCABULARY), strict=True)]
    told = {project: f"k{1 + number % 5}" for number, project in enumerate(sorted(set(columns["project"])))}
    columns["category"] = [told[project] for project in columns["project"]]
    assert evaluated(to_frame(columns)).iloc[0]["accuracy"] < 0.5


def test_the_difference_and_the_intervals_belong_together(records):
    found = evaluated(records, ["scope", "category", "root_cause"])
    pairs = list(zip(found["outcome"], found["top"], strict=True))
    assert pairs == [("scope", 1), ("category", 1), ("category", 3), ("root_cause", 1), ("root_cause", 3)]
    np.testing.assert_allclose(found["difference"], found["accuracy"] - found["baseline_accuracy"])
    for name, prefix in (("accuracy", ""), ("baseline_accuracy", "baseline_"), ("difference", "difference_")):
        assert found[name].between(found[f"{prefix}low"], found[f"{prefix}high"]).all()
    assert found["n"].eq(len(records)).all()


def test_the_same_seed_gives_the_same_bytes_whatever_the_order_of_records(records):
    shuffled = records.sample(frac=1, random_state=1).reset_index(drop=True)
    assert evaluated(records).to_csv() == evaluated(shuffled).to_csv()
    assert evaluated(records).to_csv() != evaluated(records, seed=5).to_csv()


def test_a_single_project_leaves_accuracy_undefined():
    found = evaluated(to_frame(sampled(3)).assign(project="p"))
    assert found.drop(columns=["outcome", "top", "n", "interval", "baseline_interval"]).isna().all(axis=None)


def test_an_outcome_with_a_single_label_is_nothing_to_suggest():
    found = evaluated(to_frame(sampled(4)).assign(category=pd.Categorical(["k1"] * 400)))
    assert len(found) == 0
    assert found.columns[:4].tolist() == ["outcome", "top", "n", "accuracy"]
