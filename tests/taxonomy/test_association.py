"""Association against scipy, statsmodels, mlxtend, complete enumeration and closed forms."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.frequent_patterns import association_rules, fpgrowth
from scipy import stats
from statsmodels.stats.contingency_tables import Table
from statsmodels.stats.multitest import multipletests

from attention_faults.taxonomy import association

FACETS = ["symptom", "trigger", "visibility", "stage"]
OUTCOMES = ["category", "root_cause"]


def table_tests(
    records: pd.DataFrame, facets: Sequence[str], outcomes: Sequence[str], **changes
) -> pd.DataFrame:
    parameters = {"permutations": 199, "level": 0.95, "power": 0.8, "seed": 5} | changes
    return association.test_tables(records, facets=facets, outcomes=outcomes, **parameters)


def cell_tests(records: pd.DataFrame, facets: Sequence[str], outcomes: Sequence[str]) -> pd.DataFrame:
    return association.test_cells(records, facets=facets, outcomes=outcomes, level=0.95)


def frame(**columns: Sequence[str | float]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Categorical(labels) for name, labels in columns.items()})


def expand(table: np.ndarray) -> pd.DataFrame:
    """Records with the counts of `table`."""
    row, column = (np.repeat(axis.ravel(), table.ravel()).astype(str) for axis in np.indices(table.shape))
    return frame(facet=row, outcome=column)


def fourfold(cell: pd.Series) -> np.ndarray:
    a, row, column, n = (int(cell[x]) for x in ("support", "facet_count", "outcome_count", "n"))
    return np.array([[a, row - a], [column - a, n - row - column + a]])


small_tables = st.integers(1, 4).flatmap(
    lambda columns: (
        st.lists(st.lists(st.integers(0, 9), min_size=columns, max_size=columns), min_size=1, max_size=4)
        .map(np.array)
        .filter(lambda table: table.sum() > 0)
    )
)


# --- the two samples


def test_measure_repeats_both_levels_on_every_sample(records):
    settings = {"outcomes": ["category"], "permutations": 99, "level": 0.95, "power": 0.8, "seed": 1}
    tables, cells = association.measure(records, **settings)
    sizes = tables.groupby("sample")["n"].unique().to_dict()
    assert {name: n.tolist() for name, n in sizes.items()} == {
        "all_records": [590],
        "one_per_project": [277],
    }
    for sample, frame in cells.groupby("sample"):
        assert (frame.groupby("facet")["support"].sum() == sizes[sample][0]).all()
    assert list(tables["facet"][:4]) == FACETS


# --- table level


def test_chi_square_cramers_v_and_expected_counts_are_those_of_scipy(records):
    result = table_tests(records, FACETS, OUTCOMES, permutations=1)
    for row in result.itertuples():
        counts = pd.crosstab(records[row.facet], records[row.outcome]).to_numpy()
        reference = stats.chi2_contingency(counts, correction=False)
        assert (row.n, row.rows, row.columns) == (len(records), *counts.shape)
        assert row.chi2 == pytest.approx(reference.statistic)
        assert row.cramers_v == pytest.approx(stats.contingency.association(counts, method="cramer"))
        assert row.expected_below_5 == (reference.expected_freq < 5).mean()
    assert list(zip(result.facet, result.outcome, strict=True)) == [(f, o) for f in FACETS for o in OUTCOMES]
    assert list(result) == association.TABLE_COLUMNS


@pytest.mark.parametrize(
    ("facet", "cause", "category"),
    [
        ("aabbbcc", "xxxyyzz", "pppppqq"),  # causes nested in categories
        ("aabbbcc", "xyxyxyz", "pqqppqq"),  # crossed
        ("aaabbbb", "xxxyyyy", "pppqqqq"),  # perfect association
        ("abababa", "xxxxyyy", "ppppppq"),
    ],
)
def test_permutation_p_agrees_with_all_permutations(facet, cause, category):
    result = table_tests(
        frame(facet=list(facet), cause=list(cause), category=list(category)),
        ["facet"],
        ["category", "cause"],
        permutations=20_000,
    )

    def statistic(labels, outcome):
        counts = stats.contingency.crosstab(list(labels), list(outcome)).count
        return stats.chi2_contingency(counts, correction=False).statistic

    every_order = set(permutations(facet))
    for p_permutation, outcome in zip(result.p_permutation, (category, cause), strict=True):
        observed = statistic(facet, outcome)
        exact = np.mean([statistic(order, outcome) >= observed - 1e-9 for order in every_order])
        assert p_permutation == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000) + 1e-4)


@pytest.mark.parametrize("scale", [1, 40, 2_000])
def test_permutation_p_of_a_fourfold_table_is_that_of_the_hypergeometric_distribution(scale):
    row, column, n = 20 * scale, 30 * scale, 60 * scale
    spread = stats.hypergeom(n, row, column).std()
    support = round(row * column / n + 1.7 * spread)
    table = np.array([[support, row - support], [column - support, n - row - column + support]])
    result = table_tests(expand(table), ["facet"], ["outcome"], permutations=20_000).p_permutation.item()
    counts = np.arange(row + 1)
    # chi-square of a fourfold table grows with the distance from the expected count
    as_far = abs(counts - row * column / n) >= abs(support - row * column / n) - 1e-9
    exact = stats.hypergeom(n, row, column).pmf(counts[as_far]).sum()
    assert result == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_permutation_p_is_near_that_of_the_chi_square_distribution_where_counts_are_large():
    generator = np.random.default_rng(3)
    facet, cause = generator.integers(0, 4, 9000), generator.integers(0, 6, 9000)
    facet[:160] = cause[:160] % 4
    records = frame(facet=facet, cause=cause, category=cause // 2)
    result = table_tests(records, ["facet"], ["category", "cause"], permutations=20_000)
    for row in result.itertuples():
        asymptotic = stats.chi2_contingency(pd.crosstab(records.facet, records[row.outcome])).pvalue
        assert 0.01 < asymptotic < 0.99
        assert row.p_permutation == pytest.approx(asymptotic, abs=0.015)


def test_smallest_permutation_p_counts_the_observed_table_among_the_permutations():
    result = table_tests(expand(np.diag([20, 30, 40])), ["facet"], ["outcome"], permutations=999)
    assert result.p_permutation.item() == 1 / 1000


def test_permutation_p_is_uniform_under_independence():
    generator = np.random.default_rng(11)
    p_values = np.array(
        [
            table_tests(
                frame(facet=generator.choice(list("aaabc"), 80), outcome=generator.choice(list("xxyzw"), 80)),
                ["facet"],
                ["outcome"],
                seed=seed,
            ).p_permutation.item()
            for seed in range(200)
        ]
    )
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert 0.015 < np.mean(p_values <= 0.05) < 0.1


def test_permutations_held_at_once_do_not_change_the_result(records, monkeypatch):
    whole = table_tests(records, ["symptom"], OUTCOMES)
    monkeypatch.setattr(association, "CELLS_AT_ONCE", 5000)
    pd.testing.assert_frame_equal(table_tests(records, ["symptom"], OUTCOMES), whole)


def test_same_seed_gives_same_bytes_and_another_seed_other_permutations(records):
    weak = records.iloc[:60]
    first, again, other = (table_tests(weak, FACETS, OUTCOMES, seed=seed) for seed in (1, 1, 2))
    assert first.to_csv() == again.to_csv()
    assert first.p_permutation.to_list() != other.p_permutation.to_list()


def test_corrected_cramers_v_is_the_closed_form_of_bergsma():
    # 2x2, n = 40, chi2 = 10: phi2 = 1/4 - 1/39 over 2 - 1/39 - 1
    table = np.array([[15, 5], [5, 15]])
    assert association.cramers_v(table) == pytest.approx(0.5)
    assert association.cramers_v_corrected(table) == pytest.approx(np.sqrt((1 / 4 - 1 / 39) / (1 - 1 / 39)))


@given(st.lists(st.integers(2, 50), min_size=2, max_size=6))
def test_perfect_association_has_cramers_v_1_corrected_or_not(counts):
    assert association.cramers_v(np.diag(counts)) == pytest.approx(1)
    assert association.cramers_v_corrected(np.diag(counts)) == pytest.approx(1)


def test_corrected_cramers_v_is_0_where_chi_square_is_below_its_expectation():
    assert association.cramers_v_corrected(np.array([[10, 11], [11, 10]])) == 0


@pytest.mark.parametrize(
    "table", [[[3, 4, 5]], [[3], [4]], [[1]]], ids=["one row", "one column", "one record"]
)
def test_table_without_variation_admits_no_association(table):
    result = table_tests(expand(np.array(table)), ["facet"], ["outcome"]).iloc[0]
    assert result.chi2 == 0
    assert result.p_permutation == 1
    assert np.isnan(result.cramers_v)
    assert np.isnan(result.cramers_v_corrected)
    assert result.smallest_detectable_odds_ratio == np.inf


def test_corrected_cramers_v_of_as_many_labels_as_records_is_undefined():
    assert np.isnan(association.cramers_v_corrected(np.eye(5, dtype=int)))


# --- what the sample can show


@pytest.mark.parametrize(
    ("row", "column", "n", "alpha", "power"),
    [
        (24, 9, 254, 0.05 / 300, 0.8),
        (30, 40, 590, 0.05 / 156, 0.8),
        (9, 154, 277, 0.05, 0.5),
        (60, 70, 100, 0.01, 0.9),
    ],
)
def test_smallest_detectable_odds_ratio_has_exactly_the_wanted_power(row, column, n, alpha, power):
    smallest = association.smallest_detectable_odds_ratio(row, column, n, alpha=alpha, power=power)
    counts = np.arange(max(0, row + column - n), min(row, column) + 1)
    p_values = [stats.fisher_exact([[k, row - k], [column - k, n - row - column + k]]).pvalue for k in counts]
    significant = counts[(np.array(p_values) <= alpha) & (counts > row * column / n)]
    law = stats.nchypergeom_fisher(n, row, column, smallest)
    assert law.pmf(significant).sum() == pytest.approx(power, rel=1e-8)
    assert smallest > 1


def test_no_odds_ratio_is_detectable_where_no_count_is_significant():
    assert association.smallest_detectable_odds_ratio(2, 2, 254, alpha=1e-5, power=0.8) == np.inf


def test_smallest_detectable_odds_ratio_is_that_of_the_lower_median_margins_at_bonferronis_level():
    table = np.array([[30, 10, 5, 5], [10, 40, 10, 2]])  # margins 50, 62 and 40, 50, 15, 7
    result = table_tests(expand(table), ["facet"], ["outcome"])
    expected = association.smallest_detectable_odds_ratio(50, 15, 112, alpha=0.05 / 8, power=0.8)
    assert result.smallest_detectable_odds_ratio.item() == pytest.approx(expected)


def test_more_records_detect_smaller_odds_ratios():
    detectable = [
        association.smallest_detectable_odds_ratio(20 * k, 9 * k, 254 * k, alpha=0.05 / 300, power=0.8)
        for k in (1, 10, 100, 4000)
    ]
    assert detectable == sorted(detectable, reverse=True)
    assert detectable[-1] < 1.1


# --- cell level


@pytest.fixture(scope="module")
def cells(records):
    return cell_tests(records, FACETS, OUTCOMES)


def test_cells_are_all_pairs_of_labels_that_occur_in_codebook_order(cells, records, book):
    assert list(cells) == association.CELL_COLUMNS
    for (facet, outcome), table in cells.groupby(["facet", "outcome"], sort=False):
        labels = [
            (f, o)
            for f in book.labels(facet)
            for o in book.labels(outcome)
            if (records[facet] == f).any() and (records[outcome] == o).any()
        ]
        assert list(zip(table.facet_label, table.outcome_label, strict=True)) == labels


def test_support_and_margins_are_counts_of_records(cells, records):
    for cell in cells.sample(50, random_state=0).itertuples():
        facet, outcome = records[cell.facet] == cell.facet_label, records[cell.outcome] == cell.outcome_label
        assert (cell.support, cell.facet_count, cell.outcome_count, cell.n) == (
            (facet & outcome).sum(),
            facet.sum(),
            outcome.sum(),
            len(records),
        )


def test_confidence_lift_and_leverage_are_those_of_mlxtend(cells, records):
    one_hot = pd.get_dummies(records[["symptom", "category"]].astype(object), prefix_sep="=").astype(bool)
    rules = association_rules(fpgrowth(one_hot, min_support=1e-9, use_colnames=True), min_threshold=0)
    rules = rules[rules.antecedents.map(lambda x: min(x).startswith("symptom="))]
    rules = rules.assign(
        facet_label=rules.antecedents.map(lambda x: min(x).removeprefix("symptom=")),
        outcome_label=rules.consequents.map(lambda x: min(x).removeprefix("category=")),
    )
    ours = cells[(cells.facet == "symptom") & (cells.outcome == "category") & (cells.support > 0)]
    both = ours.merge(rules, on=["facet_label", "outcome_label"], suffixes=("", "_mlxtend"))
    assert len(both) == len(ours) == len(rules)
    np.testing.assert_allclose(both.support / both.n, both.support_mlxtend)
    for measure in ("confidence", "lift", "leverage"):
        np.testing.assert_allclose(both[measure], both[f"{measure}_mlxtend"], atol=1e-12)


def test_fisher_p_odds_ratio_and_interval_are_those_of_scipy(cells):
    chosen = cells[(cells.facet == "symptom") & (cells.outcome == "category")]
    assert (chosen.support == 0).any()
    for _, cell in chosen.iterrows():
        table = fourfold(cell)
        reference = stats.contingency.odds_ratio(table)
        interval = reference.confidence_interval(0.95)
        assert cell.p_fisher == pytest.approx(stats.fisher_exact(table).pvalue)
        assert cell.odds_ratio == pytest.approx(reference.statistic)
        assert cell.odds_ratio_low == pytest.approx(interval.low, rel=1e-7)
        assert cell.odds_ratio_high == pytest.approx(interval.high, rel=1e-7)


def test_adjusted_residual_is_that_of_statsmodels(cells, records):
    for facet in FACETS:
        reference = Table(
            pd.crosstab(records[facet], records["category"]), shift_zeros=False
        ).standardized_resids
        ours = cells[(cells.facet == facet) & (cells.outcome == "category")]
        np.testing.assert_allclose(ours.adjusted_residual, reference.to_numpy().ravel(), atol=1e-12)


def test_adjusted_p_are_those_of_statsmodels_with_one_table_as_the_family(cells):
    for _, table in cells.groupby(["facet", "outcome"]):
        for column, method in (("p_bh", "fdr_bh"), ("p_by", "fdr_by")):
            np.testing.assert_allclose(table[column], multipletests(table.p_fisher, method=method)[1])


@pytest.mark.parametrize("level", [0.8, 0.95, 0.999999])
@pytest.mark.parametrize(
    ("support", "row", "column", "n"),
    [
        (17_122, 323_254, 54_205, 1_000_000),
        (60, 15_324, 6_685, 1_000_000),
        (1, 15_324, 6_685, 1_000_000),
        (99_999, 100_000, 150_000, 1_000_000),
        (450_000, 500_000, 700_000, 1_000_000),
        (3, 5, 800_000, 1_000_000),
        (0, 40, 30, 590),
        (30, 40, 30, 590),
        (10, 20, 30, 40),
    ],
)
def test_interval_ends_leave_half_the_error_in_each_tail_of_the_whole_distribution(
    support, row, column, n, level
):
    low, high = association.odds_ratio_interval(support, row, column, n, level)
    counts = np.arange(max(0, row + column - n), min(row, column) + 1)
    central = stats.hypergeom.logpmf(counts, n, row, column)

    def tilted(odds_ratio):
        exponent = central + counts * np.log(odds_ratio)
        weights = np.exp(exponent - exponent.max())
        return weights / weights.sum()

    tail = pytest.approx((1 - level) / 2, rel=1e-7)
    if support > counts[0]:
        assert tilted(low)[counts >= support].sum() == tail
    else:
        assert low == 0
    if support < counts[-1]:
        assert tilted(high)[counts <= support].sum() == tail
    else:
        assert high == np.inf


def test_label_that_every_record_has_admits_no_test():
    cells = cell_tests(expand(np.array([[3, 4, 5]])), ["facet"], ["outcome"])
    assert cells.p_fisher.to_list() == cells.p_bh.to_list() == [1, 1, 1]
    assert cells.lift.to_list() == [1, 1, 1]
    assert cells[["odds_ratio", "adjusted_residual"]].isna().all(axis=None)
    assert cells[["odds_ratio_low", "odds_ratio_high"]].drop_duplicates().to_numpy().tolist() == [[0, np.inf]]


def test_perfect_association_has_infinite_odds_ratios_on_the_diagonal_and_0_beside_it():
    cells = cell_tests(expand(np.diag([20, 30])), ["facet"], ["outcome"])
    assert cells.odds_ratio.to_list() == [np.inf, 0, 0, np.inf]
    assert cells.confidence.to_list() == [1, 0, 0, 1]
    np.testing.assert_allclose(cells.p_fisher, 1 / stats.binom(50, 0.5).pmf(20) / 2**50)
    np.testing.assert_allclose(cells.adjusted_residual.abs(), np.sqrt(50))


@settings(max_examples=60, deadline=None)
@given(small_tables)
def test_cells_of_any_table_are_consistent(table):
    cells = cell_tests(expand(table), ["facet"], ["outcome"])
    n = table.sum()
    assert cells.support.sum() == n
    assert len(cells) == (table.sum(axis=0) > 0).sum() * (table.sum(axis=1) > 0).sum()
    assert cells.groupby("facet_label").confidence.sum().to_numpy() == pytest.approx(1)
    assert cells.leverage.sum() == pytest.approx(0, abs=1e-12)
    assert ((cells.p_fisher <= cells.p_bh + 1e-12) & (cells.p_bh <= cells.p_by + 1e-12)).all()
    tested = cells.dropna(subset="odds_ratio")
    assert (
        (tested.odds_ratio_low <= tested.odds_ratio) & (tested.odds_ratio <= tested.odds_ratio_high)
    ).all()
    assert (np.sign(tested.leverage.round(12)) == np.sign(tested.adjusted_residual.round(9))).all()


@settings(max_examples=40, deadline=None)
@given(small_tables)
def test_exchanging_facet_and_outcome_changes_only_the_confidence(table):
    records = expand(table)
    there = cell_tests(records, ["facet"], ["outcome"]).set_index(["facet_label", "outcome_label"])
    back = cell_tests(records, ["outcome"], ["facet"]).set_index(["outcome_label", "facet_label"])
    symmetric = [
        "support",
        "lift",
        "leverage",
        "adjusted_residual",
        "odds_ratio",
        "odds_ratio_low",
        "p_fisher",
        "p_by",
    ]
    np.testing.assert_allclose(there[symmetric], back.loc[there.index, symmetric], rtol=1e-7, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(small_tables, st.randoms(use_true_random=False))
def test_order_of_records_changes_nothing(table, random):
    records = expand(table)
    order = list(range(len(records)))
    random.shuffle(order)
    shuffled = records.iloc[order].reset_index(drop=True)
    for test in (table_tests, cell_tests):
        pd.testing.assert_frame_equal(
            test(shuffled, ["facet"], ["outcome"]), test(records, ["facet"], ["outcome"])
        )


# --- data that is not whole


def test_records_without_a_label_of_the_facet_are_left_out():
    labels = {"facet": ["a", "a", "b", None, None, "b"], "outcome": ["x", "x", "y", "x", "z", "x"]}
    some, whole = frame(**labels), frame(facet=["a", "a", "b", "b"], outcome=["x", "x", "y", "x"])
    for test in (table_tests, cell_tests):
        pd.testing.assert_frame_equal(test(some, ["facet"], ["outcome"]), test(whole, ["facet"], ["outcome"]))


def test_facet_without_any_label_gives_no_row_and_leaves_the_others(records):
    empty = records.assign(trigger=pd.Categorical([None] * len(records), records.trigger.cat.categories))
    for test in (table_tests, cell_tests):
        assert set(test(empty, ["trigger", "stage"], ["category"]).facet) == {"stage"}
        assert test(empty, ["trigger"], ["category"]).empty
        assert list(test(empty, ["trigger"], ["category"])) == list(test(records, ["trigger"], ["category"]))


def test_unused_categories_change_nothing(records):
    few = records[records.category.isin(["attention_masking", "kv_cache"])]
    used = few.assign(**{name: few[name].cat.remove_unused_categories() for name in [*FACETS, *OUTCOMES]})
    for test in (table_tests, cell_tests):
        pd.testing.assert_frame_equal(test(few, FACETS, OUTCOMES), test(used, FACETS, OUTCOMES))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"permutations": 0}, "at least 1 permutation, got 0"),
        ({"level": 1.0}, "level must lie between 0 and 1, got 1.0"),
        ({"power": 1.0}, "power must lie between .* got 1.0"),
        ({"power": 1e-9}, "power must lie between .* got 1e-09"),
    ],
)
def test_setting_out_of_range_is_an_error(records, changes, message):
    with pytest.raises(ValueError, match=message):
        table_tests(records, ["stage"], ["category"], **changes)


def test_level_out_of_range_of_the_cells_is_an_error(records):
    with pytest.raises(ValueError, match="level must lie between 0 and 1, got 0"):
        association.test_cells(records, facets=["stage"], outcomes=["category"], level=0)


def test_column_that_is_missing_is_an_error(records):
    with pytest.raises(KeyError, match="mood"):
        cell_tests(records, ["mood"], ["category"])


# --- the embedded data


def test_nearly_all_expected_counts_of_symptom_and_root_cause_are_below_5(records):
    specific = records[records.scope == "attention_specific"]
    below = [
        table_tests(sample, ["symptom"], ["root_cause"]).expected_below_5.item()
        for sample in (records, specific)
    ]
    assert [round(share, 2) for share in below] == [0.95, 0.97]
