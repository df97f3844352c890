import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from attention_faults.taxonomy import prevalence
from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC, Category, Codebook

README = Path(__file__).parents[2] / "data" / "faults" / "github_2026" / "README.md"
OPTIONS = {"draws": 400, "level": 0.95, "seed": 7}
SMALL = Codebook(
    version="",
    scopes={ATTENTION_SPECIFIC: "", "generic": ""},
    categories={
        "mask": Category(ATTENTION_SPECIFIC, "", {"late_mask": "", "no_mask": ""}),
        "data": Category("generic", "", {"wrong_data": ""}),
    },
    facets={"symptom": {"crash": "", "nan": "", "hang": ""}},
    rules=[],
)


def small_records(causes, projects, **columns):
    categories = pd.Series(causes, dtype="str").map(SMALL.category_of)
    scopes = categories.map({name: entry.scope for name, entry in SMALL.categories.items()})
    labels = {"scope": scopes, "category": categories, "root_cause": causes, "symptom": "crash"}
    return SMALL.categorise(pd.DataFrame({"project": projects, **labels, **columns}))


def rows(table, facet, population="all"):
    return table[(table["facet"] == facet) & (table["population"] == population)].set_index("label")


@pytest.fixture(scope="module")
def embedded(records, book):
    return prevalence.measure(records, book, draws=2000, level=0.95, seed=1)


def test_counts_are_those_of_the_readme(embedded):
    listed = re.findall(r"^- ([\w-]+)[^:]*: (.*)$", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    facets = {
        "scope": "scope",
        "attention-specific": "category",
        "symptoms": "symptom",
        "triggers": "trigger",
    }
    facets["visibility"] = "visibility"
    compared = 0
    for name, text in listed:
        for label, count in re.findall(r"(\w+) (\d+)(?!\.)\b", text.split(";")[0]):
            assert rows(embedded, facets[name]).loc[label, "count"] == int(count)
            compared += 1
    assert compared == 2 + 7 + 13 + 12 + 3


def test_facets_and_labels_stand_in_the_promised_order(embedded, records, book):
    everything = embedded[embedded["population"] == "all"]
    assert list(everything["facet"].unique()) == [*book.columns, "framework", "source", "stratum", "year"]
    for column in book.columns:
        assert rows(embedded, column).index.tolist() == book.labels(column)
    frameworks = list(
        zip(-rows(embedded, "framework")["count"], rows(embedded, "framework").index, strict=True)
    )
    assert frameworks == sorted(frameworks)
    assert rows(embedded, "year").index.is_monotonic_increasing


def test_a_record_without_a_date_is_in_no_year(embedded, records):
    years = rows(embedded, "year")
    assert set(years["n"]) == {(records["created"] != "").sum()}
    assert years["count"].sum() == (records["created"] != "").sum() < len(records)


def test_the_attention_specific_population_holds_its_own_labels_only(embedded, records, book):
    specific = records[records["scope"] == ATTENTION_SPECIFIC]
    own = [name for name, entry in book.categories.items() if entry.scope == ATTENTION_SPECIFIC]
    categories = rows(embedded, "category", ATTENTION_SPECIFIC)
    causes = rows(embedded, "root_cause", ATTENTION_SPECIFIC)
    assert categories.index.tolist() == own
    assert causes.index.tolist() == [cause for name in own for cause in book.categories[name].root_causes]
    assert categories["count"].sum() == causes["count"].sum() == len(specific)
    assert set(categories["n"]) == set(causes["n"]) == {len(specific)}


def test_wilson_intervals_follow_the_closed_form(embedded):
    n, p = embedded["n"], embedded["count"] / embedded["n"]
    z = stats.norm.ppf(0.975)
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert embedded["wilson_low"].to_numpy() == pytest.approx((centre - half).to_numpy(), abs=1e-12)
    assert embedded["wilson_high"].to_numpy() == pytest.approx((centre + half).to_numpy(), abs=1e-12)


def test_marked_intervals_are_wilson_on_the_effective_n(embedded):
    marked = embedded[embedded["clustered_method"] == prevalence.WILSON_EFFECTIVE_N]
    for row in marked.itertuples():
        # both ends of a score interval solve (p - x)^2 = z^2 x (1 - x) / n
        for end in (row.clustered_low, row.clustered_high):
            variance = end * (1 - end) * row.design_effect / row.n
            assert (row.share - end) ** 2 == pytest.approx(stats.norm.ppf(0.975) ** 2 * variance, abs=1e-12)


@pytest.mark.parametrize(
    ("with_label", "without", "method"),
    [
        ([1] * 10, [1] * 10, "bootstrap"),
        ([1] * 9, [1] * 20, "wilson_effective_n"),
        ([1] * 20, [1] * 9, "wilson_effective_n"),
        ([9] * 9, [9] * 20, "wilson_effective_n"),
        ([2] * 10, [5] * 10, "bootstrap"),
    ],
)
def test_few_projects_on_either_side_of_a_share_are_marked(with_label, without, method):
    sizes = [*with_label, *without]
    causes = np.repeat(["no_mask"] * len(with_label) + ["wrong_data"] * len(without), sizes)
    table = prevalence.measure(
        small_records(causes, np.repeat(np.arange(len(sizes)), sizes).astype(str)), SMALL, **OPTIONS
    )
    assert rows(table, "root_cause").loc["no_mask", "clustered_method"] == method
    assert rows(table, "scope")["clustered_method"].nunique() == 1


def test_few_records_are_marked_whatever_the_projects(monkeypatch):
    monkeypatch.setattr(prevalence, "MINIMUM_PROJECTS", 1)
    causes = ["no_mask"] * 4 + ["late_mask"] * 5 + ["wrong_data"] * 30
    table = prevalence.measure(small_records(causes, np.arange(39).astype(str)), SMALL, **OPTIONS)
    assert rows(table, "root_cause")["clustered_method"].to_dict() == {
        "late_mask": "bootstrap",
        "no_mask": "wilson_effective_n",
        "wrong_data": "bootstrap",
    }


def test_the_bootstrap_is_that_of_whole_projects_redrawn_one_by_one(embedded, records):
    by_project = [part["category"].to_numpy() for _, part in records.groupby("project")]
    generator = np.random.default_rng(99)
    shares = []
    for _ in range(1500):
        drawn = np.concatenate(
            [by_project[i] for i in generator.integers(len(by_project), size=len(by_project))]
        )
        shares.append(pd.Series(drawn).value_counts(normalize=True))
    ends = pd.DataFrame(shares).fillna(0).quantile([0.025, 0.975])
    ours = rows(embedded, "category")
    assert (ours["clustered_method"] == "bootstrap").all()
    assert ours["clustered_low"].to_numpy() == pytest.approx(
        ends.loc[0.025, ours.index].to_numpy(), abs=0.006
    )
    assert ours["clustered_high"].to_numpy() == pytest.approx(
        ends.loc[0.975, ours.index].to_numpy(), abs=0.006
    )


def test_the_clustered_interval_covers_the_share_where_the_independent_one_does_not():
    generator = np.random.default_rng(11)
    clustered, independent, simulations = 0, 0, 150
    for seed in range(simulations):
        probability = np.repeat(generator.beta(0.5, 0.5, 60), 10)
        causes = np.where(generator.random(600) < probability, "no_mask", "wrong_data")
        faults = small_records(causes, np.repeat(np.arange(60), 10).astype(str))
        table = prevalence.by_group(
            faults.assign(all="x"), column="scope", group="all", draws=300, level=0.95, seed=seed
        )
        row = table.iloc[0]
        clustered += row["clustered_low"] <= 0.5 <= row["clustered_high"]
        independent += row["wilson_low"] <= 0.5 <= row["wilson_high"]
    assert 0.88 <= clustered / simulations <= 0.99
    assert independent / simulations < 0.75


@given(st.integers(1, 6), st.integers(2, 12), st.data())
@settings(deadline=None)
def test_the_design_effect_of_projects_that_are_all_alike_is_the_closed_form(size, clusters, data):
    labels = np.array(data.draw(st.lists(st.integers(0, 2), min_size=clusters, max_size=clusters)))
    table = sparse.csc_array(np.eye(3)[labels] * size)
    seen = np.unique(labels)
    expected = (size * clusters - 1) / (clusters - 1) if len(seen) > 1 else size
    assert prevalence.design_effect(table)[seen] == pytest.approx(expected)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
@settings(deadline=None)
def test_the_design_effect_of_one_record_a_project_is_one(labels):
    assert prevalence.design_effect(sparse.csc_array(np.eye(4)[labels])) == pytest.approx(1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=12))
@settings(deadline=None)
def test_the_design_effect_is_the_ratio_of_the_two_variances(counts):
    table = np.array([pair for pair in counts if sum(pair)] or [(1, 0)], dtype=float)
    n, clusters, p = table.sum(), len(table), table[:, 0].sum() / table.sum()
    effects = prevalence.design_effect(sparse.csc_array(table))
    if clusters == 1 or p in (0, 1):
        assert effects == pytest.approx((table.sum(axis=1) ** 2).sum() / n)
    else:
        residuals = [y - p * (y + other) for y, other in table]
        clustered = clusters * np.var(residuals, ddof=1) / n**2
        independent = np.var(np.repeat([1, 0], table.sum(axis=0).astype(int)), ddof=1) / n
        assert effects == pytest.approx(max(1, clustered / independent))


def test_a_label_never_seen_takes_the_mean_design_effect_of_its_facet():
    table = np.array([[3, 0, 0], [2, 1, 0], [0, 4, 0], [1, 1, 0], [4, 1, 0]], dtype=float)
    seen = prevalence.design_effect(sparse.csc_array(table[:, :2]))
    assert seen[0] == pytest.approx(seen[1])
    assert prevalence.design_effect(sparse.csc_array(table)) == pytest.approx(seen[[0, 0, 0]])


labelled = st.lists(
    st.tuples(st.sampled_from(["late_mask", "no_mask", "wrong_data"]), st.sampled_from("abcdefghijklmnop")),
    max_size=60,
)


@given(labelled, st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_shares_add_up_and_intervals_are_ordered(pairs, seed):
    causes, projects = [list(column) for column in zip(*pairs, strict=True)] or [[], []]
    table = prevalence.measure(small_records(causes, projects), SMALL, draws=50, level=0.9, seed=seed)
    for _, facet in table.groupby(["population", "facet"]):
        assert facet["count"].sum() == facet["n"].iloc[0]
    defined = table[table["n"] > 0]
    undefined = table[table["n"] == 0]
    assert defined.groupby(["population", "facet"])["share"].sum().to_numpy() == pytest.approx(1)
    for kind in ("wilson", "clustered"):
        low, high = defined[f"{kind}_low"], defined[f"{kind}_high"]
        assert ((low >= 0) & (low <= high) & (high <= 1)).all()
        assert undefined[[f"{kind}_low", f"{kind}_high"]].isna().all(axis=None)
    assert (defined["wilson_low"] <= defined["share"] + 1e-12).all()
    assert (defined["share"] <= defined["wilson_high"] + 1e-12).all()
    assert (defined["design_effect"] >= 1).all()
    assert (defined["projects"] <= defined["count"]).all()


def test_two_labels_that_share_all_records_have_mirrored_intervals(embedded):
    specific, generic = rows(embedded, "scope").loc[[ATTENTION_SPECIFIC, "generic"]].itertuples()
    for kind in ("wilson", "clustered"):
        mirrored = 1 - getattr(generic, f"{kind}_high")
        assert getattr(specific, f"{kind}_low") == pytest.approx(mirrored, abs=1e-12)


def test_wilson_ends_of_none_and_of_all_are_exactly_0_and_1():
    table = prevalence.measure(
        small_records(["no_mask"] * 23, list("abcdefghijk") * 2 + ["z"]), SMALL, **OPTIONS
    )
    for kind in ("wilson", "clustered"):
        assert set(table.query("count == 0 and n > 0")[f"{kind}_low"]) == {0.0}
        assert set(table.query("count == n and n > 0")[f"{kind}_high"]) == {1.0}


def test_a_share_of_records_has_the_interval_that_measure_gives_it(embedded, records):
    labels = rows(embedded, "root_cause").query("count > 0")
    assert labels["clustered_method"].nunique() == 2
    holds = np.column_stack([records["root_cause"] == label for label in labels.index])
    found = prevalence.share_intervals(holds, records["project"], draws=2000, level=0.95, seed=1)
    for name in ("low", "high"):
        np.testing.assert_allclose(found[name], labels[f"clustered_{name}"])
    assert found["method"].tolist() == labels["clustered_method"].tolist()


def test_records_of_which_nothing_is_known_are_in_no_share():
    projects = pd.Series(np.arange(60).astype(str))
    known = np.repeat([1.0, 0.0], [20, 30])
    holds = np.concatenate([known, np.full(10, np.nan)])
    whole, alone, nothing = (
        prevalence.share_intervals(np.reshape(x, (-1, 1)), p, **OPTIONS)
        for x, p in ((holds, projects), (known, projects[:50]), (np.full(60, np.nan), projects))
    )
    assert whole.loc[0, "method"] == alone.loc[0, "method"] == "bootstrap"
    assert whole.loc[0, "low"] == pytest.approx(alone.loc[0, "low"], abs=0.03)
    assert nothing[["low", "high"]].isna().all(axis=None)


def test_with_one_project_the_effective_n_is_one():
    table = prevalence.measure(small_records(["no_mask"] * 3 + ["wrong_data"] * 5, "p"), SMALL, **OPTIONS)
    assert set(rows(table, "scope")["design_effect"]) == {8}
    assert rows(table, "scope").loc["generic", "clustered_high"] > 0.95


def test_a_facet_without_a_single_label_has_counts_but_no_shares():
    faults = small_records(["no_mask"] * 3, list("abc"), symptom="", framework="", created="")
    table = prevalence.measure(faults, SMALL, **OPTIONS)
    symptoms = rows(table, "symptom")
    assert symptoms[["count", "n"]].eq(0).all(axis=None)
    assert symptoms[["share", "wilson_low", "clustered_high", "design_effect"]].isna().all(axis=None)
    assert not {"framework", "year"} & set(table["facet"])


def test_a_record_without_a_label_is_not_in_n():
    faults = small_records(["no_mask"] * 4, list("abcd"), symptom=["crash", "", "nan", ""])
    symptoms = rows(prevalence.measure(faults, SMALL, **OPTIONS), "symptom")
    assert symptoms["count"].to_dict() == {"crash": 1, "nan": 1, "hang": 0}
    assert set(symptoms["n"]) == {2}


def test_facets_that_the_dataset_does_not_have_are_left_out():
    faults = small_records(["no_mask"] * 3, list("abc")).drop(columns="symptom")
    table = prevalence.measure(faults, SMALL, **OPTIONS)
    assert list(table["facet"].unique()) == ["scope", "category", "root_cause"]


def test_labels_that_look_like_missing_values_are_counted():
    faults = small_records(["no_mask"] * 3, list("abc"), framework=["None", "NaN", "null"])
    assert rows(prevalence.measure(faults, SMALL, **OPTIONS), "framework")["count"].to_dict() == {
        "NaN": 1,
        "None": 1,
        "null": 1,
    }


def test_shares_by_group_are_those_of_the_group_alone(records, book):
    table = prevalence.by_group(records, column="scope", group="query_names_attention", **OPTIONS)
    assert table.columns[:4].tolist() == ["group", "group_label", "facet", "label"]
    assert table["group_label"].unique().tolist() == ["no", "yes"]
    for label, part in table.groupby("group_label"):
        alone = prevalence.measure(records[records["query_names_attention"] == label], book, **OPTIONS)
        expected = alone[(alone["facet"] == "scope") & (alone["population"] == "all")]
        pd.testing.assert_frame_equal(
            part.drop(columns=["group", "group_label"]).reset_index(drop=True),
            expected.drop(columns="population").reset_index(drop=True),
            check_exact=False,
        )


def test_counts_by_group_are_the_contingency_table(records):
    table = prevalence.by_group(records, column="category", group="framework", **OPTIONS)
    counts = table.pivot(index="group_label", columns="label", values="count")
    expected = pd.crosstab(records["framework"], records["category"].astype(str))
    assert counts.loc[expected.index, expected.columns].to_numpy().tolist() == expected.to_numpy().tolist()
    assert counts.to_numpy().sum() == len(records)


def test_scope_is_counted_by_what_shaped_the_sample(records):
    table = prevalence.scope_by_group(records, **OPTIONS)
    counts = table.set_index(["group", "group_label", "label"])["count"]
    for group in ("query_names_attention", "stratum"):
        expected = pd.crosstab(records[group], records["scope"].astype(str)).stack()
        assert counts[group].sort_index().to_dict() == expected.to_dict()
    assert table["group"].unique().tolist() == ["query_names_attention", "stratum"]


@pytest.mark.parametrize("columns", [{}, {"stratum": ""}])
def test_a_dataset_without_groups_gives_an_empty_table(columns):
    table = prevalence.scope_by_group(small_records(["no_mask"] * 3, list("abc"), **columns), **OPTIONS)
    assert table.empty
    assert table.columns[:4].tolist() == ["group", "group_label", "facet", "label"]


def test_the_same_seed_gives_the_same_bytes_in_any_order_of_the_records(records, book, embedded):
    again = prevalence.measure(records, book, draws=2000, level=0.95, seed=1)
    shuffled = prevalence.measure(
        records.sample(frac=1, random_state=3).reset_index(drop=True), book, draws=2000, level=0.95, seed=1
    )
    other = prevalence.measure(records, book, draws=2000, level=0.95, seed=2)
    assert again.to_csv() == shuffled.to_csv() == embedded.to_csv()
    assert other.to_csv() != embedded.to_csv()
