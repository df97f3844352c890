import re
from collections import Counter
from itertools import permutations
from pathlib import Path

import krippendorff
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from attention_faults.errors import InputError
from attention_faults.taxonomy import agreement

README = Path(__file__).parents[2] / "data" / "faults" / "github_2026" / "README.md"
OPTIONS = {"draws": 300, "level": 0.95, "seed": 7}
ROUNDS = ("first", "second", "third", "fourth")


def rated(labels, phase="pilot", facet="symptom"):
    """Ratings in long form of records 0, 1, ...: each a sequence of labels by round."""
    return pd.DataFrame(
        [
            {"record_id": str(i), "phase": phase, "round": turn, "rater": f"R{turn}", facet: label}
            for i, record in enumerate(labels)
            for turn, label in zip(ROUNDS, record, strict=False)
        ],
        columns=["record_id", "phase", "round", "rater", facet],
    )


def projects_of(ratings, names=None):
    records = ratings["record_id"].unique()
    return pd.Series(records if names is None else names, index=records)


def values(table):
    return table.set_index("measure")["value"].to_dict()


def kappa_by_hand(pairs):
    n = len(pairs)
    first, second = (Counter(pair[i] for pair in pairs) for i in (0, 1))
    chance = sum(first[label] * second[label] for label in first) / n**2
    observed = sum(a == b for a, b in pairs) / n
    return (observed - chance) / (1 - chance)


def alpha_by_hand(pairs):
    """Krippendorff's alpha from all ordered pairs of values, within and over records."""
    pooled = [label for pair in pairs for label in pair]
    observed = sum(a != b for a, b in pairs) / len(pairs)
    expected = np.mean([a != b for a, b in permutations(pooled, 2)])
    return 1 - observed / expected


def fleiss_by_hand(records):
    agreement_of_record = [np.mean([a == b for a, b in permutations(labels, 2)]) for labels in records]
    pooled = Counter(label for labels in records for label in labels)
    chance = sum((count / pooled.total()) ** 2 for count in pooled.values())
    return (np.mean(agreement_of_record) - chance) / (1 - chance)


label_pairs = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1, max_size=25)


@pytest.fixture(scope="module")
def embedded(ratings, records):
    projects = records.set_index("record_id")["project"]
    return agreement.measure(ratings, projects, draws=2000, level=0.95, seed=1)


def test_the_embedded_ratings_agree_as_their_readme_says(embedded):
    table = re.findall(
        r"^\| (\w+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$",
        README.read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    assert len(table) == 7
    assert sorted(embedded["facet"].unique()) == sorted(facet for facet, *_ in table)
    for facet, n, observed, kappa in table:
        ours = embedded[embedded["facet"] == facet].set_index("measure")
        assert ours.loc["percent_agreement", "records"] == int(n)
        assert f"{ours.loc['percent_agreement', 'value']:.3f}" == observed
        assert f"{ours.loc['cohen_kappa', 'value']:.3f}" == kappa


def test_phases_and_facets_stand_in_order_of_appearance(embedded, ratings):
    assert list(embedded["phase"].unique()) == list(ratings["phase"].unique())
    facets = embedded["facet"].unique().tolist()
    assert facets == [name for name in ratings if name in facets]
    assert set(embedded["measure"]) == {"percent_agreement", "cohen_kappa", "krippendorff_alpha"}


def test_every_value_lies_in_its_interval(embedded):
    assert ((embedded["low"] < embedded["value"]) & (embedded["value"] < embedded["high"])).all()


@given(label_pairs)
@settings(max_examples=40, deadline=None)
def test_values_of_pairs_equal_the_closed_forms(pairs):
    ratings = rated(pairs)
    found = values(agreement.measure(ratings, projects_of(ratings), draws=5, level=0.95, seed=1))
    assert found["percent_agreement"] == pytest.approx(np.mean([a == b for a, b in pairs]))
    assume(len({label for pair in pairs for label in pair}) > 1)
    assert found["cohen_kappa"] == pytest.approx(kappa_by_hand(pairs))
    assert found["krippendorff_alpha"] == pytest.approx(alpha_by_hand(pairs))


@given(st.lists(st.tuples(*[st.sampled_from("abc")] * 4), min_size=1, max_size=15))
@settings(max_examples=40, deadline=None)
def test_fleiss_kappa_of_four_raters_equals_the_closed_form(records):
    assume(len({label for labels in records for label in labels}) > 1)
    ratings = rated(records)
    found = values(agreement.measure(ratings, projects_of(ratings), draws=5, level=0.95, seed=1))
    assert found["fleiss_kappa"] == pytest.approx(fleiss_by_hand(records))


@pytest.mark.parametrize("raters", [2, 4])
def test_intervals_are_those_of_library_calls_on_redrawn_projects(raters):
    generator = np.random.default_rng(3)
    truth = generator.choice(list("aabc"), 120)
    slips = generator.random((120, raters)) < 0.3
    records = np.where(slips, generator.choice(list("abc"), (120, raters)), truth[:, np.newaxis])
    projects = np.sort(generator.choice(15, 120)).astype(str)
    ratings = rated(records)
    table = agreement.measure(ratings, projects_of(ratings, projects), draws=4000, level=0.8, seed=1)
    found = table.set_index("measure")

    members = [np.flatnonzero(projects == name) for name in np.unique(projects)]
    redrawn = []
    for _ in range(600):
        chosen = records[
            np.concatenate([members[i] for i in generator.integers(len(members), size=len(members))])
        ]
        codes = np.searchsorted(["a", "b", "c"], chosen[:, :2]).T
        redrawn.append(
            {
                "percent_agreement": np.mean(codes[0] == codes[1]),
                "cohen_kappa": cohen_kappa_score(*codes),
                "krippendorff_alpha": krippendorff.alpha(codes, level_of_measurement="nominal"),
                **({"fleiss_kappa": fleiss_by_hand(chosen.tolist())} if raters > 2 else {}),
            }
        )
    ends = pd.DataFrame(redrawn).quantile([0.1, 0.9])
    assert set(found.index) == set(ends.columns)
    for measure in ends.columns:
        assert found.loc[measure, "low"] == pytest.approx(ends.loc[0.1, measure], abs=0.015)
        assert found.loc[measure, "high"] == pytest.approx(ends.loc[0.9, measure], abs=0.015)


@given(label_pairs)
@settings(max_examples=40, deadline=None)
def test_a_draw_of_every_project_once_gives_the_values_of_the_libraries(pairs):
    ratings = rated([(*pair, pair[0]) for pair in pairs])
    for _, _, labels in agreement._by_facet(ratings):
        projects = projects_of(ratings)
        for sample in (agreement._of_pairs(labels, projects), *agreement._of_many(labels, projects)):
            once = sample.of_totals(sample.totals.sum(axis=0, keepdims=True))[0]
            assert once == pytest.approx(list(sample.values.values()), nan_ok=True)


def test_records_of_a_project_are_redrawn_together():
    pairs = [("a", "a"), ("b", "b")] * 75 + [("a", "b"), ("b", "a")] * 25
    ratings = rated(pairs)
    widths = {}
    for name, projects in {
        "one record a project": np.arange(200).astype(str),
        "alike within a project": np.repeat(np.arange(25), 8).astype(str),
    }.items():
        table = agreement.measure(ratings, projects_of(ratings, projects), draws=2000, level=0.95, seed=1)
        widths[name] = (table["high"] - table["low"]).to_numpy()
    # the design effect of projects of eight that are alike is eight
    assert widths["alike within a project"] == pytest.approx(
        8**0.5 * widths["one record a project"], rel=0.15
    )


def test_projects_that_all_hold_the_same_ratings_leave_nothing_to_redraw():
    pairs = ([("a", "a"), ("b", "b")] * 3 + [("a", "b"), ("b", "a")]) * 25
    ratings = rated(pairs)
    projects = projects_of(ratings, np.repeat(np.arange(25), 8).astype(str))
    table = agreement.measure(ratings, projects, **OPTIONS)
    by_hand = [np.mean([a == b for a, b in pairs]), kappa_by_hand(pairs), alpha_by_hand(pairs)]
    for column in ("value", "low", "high"):
        assert table[column].to_numpy() == pytest.approx(by_hand)


def test_one_and_the_same_label_everywhere_is_agreement_without_kappa():
    ratings = rated([("a", "a", "a")] * 6)
    table = agreement.measure(ratings, projects_of(ratings), **OPTIONS).set_index("measure")
    assert table.loc["percent_agreement", ["value", "low", "high"]].tolist() == [1, 1, 1]
    corrected = ["cohen_kappa", "krippendorff_alpha", "fleiss_kappa"]
    assert table.loc[corrected, ["value", "low", "high"]].isna().all(axis=None)
    assert (table["records"] == 6).all()


def test_two_raters_who_always_name_different_labels_agree_no_better_than_chance():
    ratings = rated([("a", "b")] * 6)
    found = values(agreement.measure(ratings, projects_of(ratings), **OPTIONS))
    assert found["percent_agreement"] == 0
    assert found["cohen_kappa"] == 0
    assert found["krippendorff_alpha"] == pytest.approx(-5 / 6)


def test_a_facet_without_a_pair_is_undefined():
    ratings = rated([("a", ""), ("", "b"), ("a",)])
    table = agreement.measure(ratings, projects_of(ratings), **OPTIONS)
    assert table[["value", "low", "high"]].isna().all(axis=None)
    assert table["measure"].tolist() == ["percent_agreement", "cohen_kappa", "krippendorff_alpha"]
    assert (table["records"] == 0).all()
    assert agreement.confusion(ratings).empty


def test_a_facet_that_nobody_rated_in_a_phase_has_no_row():
    ratings = rated([("a", "a"), ("b", "b")]).assign(trigger="")
    assert set(agreement.measure(ratings, projects_of(ratings), **OPTIONS)["facet"]) == {"symptom"}
    nothing = agreement.measure(ratings.assign(symptom=""), projects_of(ratings), **OPTIONS)
    assert nothing.columns.tolist() == ["phase", "facet", "measure", "value", "low", "high", "records"]
    assert nothing.empty


def test_ratings_of_a_single_project_have_values_but_no_interval():
    ratings = rated([("a", "a"), ("b", "b"), ("a", "b")])
    table = agreement.measure(ratings, projects_of(ratings, ["p"] * 3), **OPTIONS)
    assert table["value"].notna().all()
    assert table[["low", "high"]].isna().all(axis=None)


def test_draws_without_variation_are_left_out_of_the_interval():
    ratings = rated([("a", "a")] * 5 + [("b", "b")])
    table = agreement.measure(ratings, projects_of(ratings), **OPTIONS).set_index("measure")
    assert table.loc["cohen_kappa", ["value", "low", "high"]].tolist() == pytest.approx([1, 1, 1])


def test_an_empty_cell_leaves_the_pair():
    ratings = rated([("a", "a"), ("b", "b"), ("a", ""), ("", "b"), ("a", "b"), ("b", None)])
    table = agreement.measure(ratings, projects_of(ratings), **OPTIONS)
    assert set(table["records"]) == {3}
    assert values(table)["cohen_kappa"] == pytest.approx(kappa_by_hand([("a", "a"), ("b", "b"), ("a", "b")]))


def test_an_adjudication_is_no_rating():
    ratings = rated([("a", "b"), ("b", "b"), ("a", "a")])
    decided = ratings[ratings["round"] == "first"].assign(round="adjudication", rater="J")
    with_decisions = pd.concat([ratings, decided], ignore_index=True)
    pd.testing.assert_frame_equal(
        agreement.measure(with_decisions, projects_of(ratings), **OPTIONS),
        agreement.measure(ratings, projects_of(ratings), **OPTIONS),
    )
    pd.testing.assert_frame_equal(agreement.confusion(with_decisions), agreement.confusion(ratings))


def test_fleiss_kappa_rests_on_the_records_with_the_most_frequent_number_of_ratings():
    three = [("a", "a", "b"), ("b", "b", "b"), ("a", "a", "a")]
    ratings = rated([*three, ("a", "b"), ("a", "b", "a", "b")])
    table = agreement.measure(ratings, projects_of(ratings), **OPTIONS).set_index("measure")
    assert table.loc["fleiss_kappa", "value"] == pytest.approx(fleiss_by_hand(three))
    assert table.loc["fleiss_kappa", "records"] == 3
    assert table.loc["cohen_kappa", "records"] == 5


def test_phases_are_measured_apart():
    pilot, full = rated([("a", "b"), ("b", "a")]), rated([("a", "a"), ("b", "b")], phase="full")
    table = agreement.measure(pd.concat([full, pilot]), projects_of(pilot), **OPTIONS)
    kappas = table[table["measure"] == "cohen_kappa"].set_index("phase")["value"]
    assert kappas.to_dict() == {"full": 1, "pilot": -1}
    assert kappas.index.tolist() == ["full", "pilot"]


def test_confusion_counts_every_pair_once(ratings):
    table = agreement.confusion(ratings)
    assert (table["count"] > 0).all()
    first, second = (
        ratings[(ratings["round"] == turn) & (ratings["phase"] == "full_manual_analysis")].set_index(
            "record_id"
        )
        for turn in ("first", "second")
    )
    expected = Counter(zip(first["symptom"], second.loc[first.index, "symptom"], strict=True))
    symptoms = table[table["facet"] == "symptom"].set_index(["first", "second"])["count"]
    assert symptoms.to_dict() == dict(expected)
    assert symptoms.index.is_monotonic_increasing


def test_a_record_rated_twice_in_one_round_is_an_input_error():
    ratings = rated([("a", "a"), ("b", "b")])
    twice = pd.concat([ratings, ratings.iloc[[0]]])
    with pytest.raises(InputError, match="phase `pilot`: `0` is rated twice on `symptom` in round `first`"):
        agreement.measure(twice, projects_of(ratings), **OPTIONS)
    with pytest.raises(InputError, match="rated twice"):
        agreement.confusion(twice)


def test_ratings_of_unknown_records_are_input_errors_named_one_by_one():
    ratings = rated([("a", "a"), ("b", "b"), ("c", "c")])
    with pytest.raises(InputError) as error:
        agreement.measure(ratings, pd.Series({"1": "p"}), **OPTIONS)
    assert error.value.problems == [
        "ratings: column `record_id`: `0` is not among the fault records",
        "ratings: column `record_id`: `2` is not among the fault records",
    ]


def test_the_same_seed_gives_the_same_bytes_in_any_order_of_the_ratings(ratings, records, embedded):
    projects = records.set_index("record_id")["project"]
    order = {name: i for i, name in enumerate(ratings["phase"].unique())}
    shuffled = ratings.sample(frac=1, random_state=4).sort_values("phase", key=lambda names: names.map(order))
    options = {"draws": 2000, "level": 0.95}
    again = agreement.measure(shuffled, projects, **options, seed=1)
    other = agreement.measure(ratings, projects, **options, seed=2)
    assert again.to_csv() == embedded.to_csv()
    assert other.to_csv() != embedded.to_csv()
