import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from attention_faults.taxonomy import resampling
from attention_faults.taxonomy.resampling import (
    cluster_bootstrap,
    fixed_margin_tables,
    one_per_project,
    percentile_interval,
)


@given(
    clusters=st.integers(1, 40), draws=st.integers(1, 30), chunk=st.integers(1, 500), seed=st.integers(0, 9)
)
@settings(deadline=None)
def test_every_draw_takes_as_many_clusters_as_there_are(clusters, draws, chunk, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling, "_CHUNK", chunk)
        taken = cluster_bootstrap(np.eye(clusters), draws=draws, seed=seed)
    assert taken.shape == (draws, clusters)
    assert (taken.sum(axis=1) == clusters).all()
    assert (taken >= 0).all()
    assert (taken == taken.round()).all()


def test_draws_of_two_clusters_follow_the_binomial_distribution():
    totals = cluster_bootstrap(np.array([[0.0], [1.0]]), draws=4000, seed=1)[:, 0]
    observed = [np.sum(totals == k) for k in range(3)]
    assert stats.chisquare(observed, 4000 * stats.binom.pmf(range(3), 2, 0.5)).pvalue > 1e-3


def test_totals_have_the_mean_and_covariance_of_sampling_clusters_with_replacement():
    sums = np.random.default_rng(0).poisson(3, size=(50, 2)).astype(float)
    totals = cluster_bootstrap(sums, draws=20_000, seed=1)
    covariance = len(sums) * np.cov(sums.T, ddof=0)
    assert totals.mean(axis=0) == pytest.approx(sums.sum(axis=0), rel=0.005)
    assert np.cov(totals.T) == pytest.approx(covariance, rel=0.05, abs=0.05 * covariance.diagonal().max())


def test_the_size_of_a_chunk_does_not_change_the_draws(monkeypatch):
    sums = np.arange(30.0).reshape(15, 2)
    whole = cluster_bootstrap(sums, draws=101, seed=3)
    monkeypatch.setattr(resampling, "_CHUNK", 40)
    assert cluster_bootstrap(sums, draws=101, seed=3).tobytes() == whole.tobytes()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    sums = np.random.default_rng(0).integers(0, 9, size=(20, 3)).astype(float)
    first, again, other = (cluster_bootstrap(sums, draws=50, seed=seed) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_no_cluster_is_an_error():
    with pytest.raises(ValueError, match="at least one cluster"):
        cluster_bootstrap(np.empty((0, 2)), draws=10, seed=1)


def test_the_interval_of_a_clustered_mean_covers_it_at_its_level():
    clusters, level, simulations = 60, 0.9, 400
    generator = np.random.default_rng(5)
    hits = 0
    for seed in range(simulations):
        sizes = generator.geometric(0.2, clusters)
        successes = generator.binomial(sizes, generator.beta(1, 2, clusters))
        totals = cluster_bootstrap(np.column_stack([successes, sizes]).astype(float), draws=300, seed=seed)
        low, high = percentile_interval(totals[:, :1] / totals[:, 1:], level)
        hits += low[0] <= 1 / 3 <= high[0]
    # four standard errors, and the known optimism of the percentile interval
    assert level - 0.06 - 0.025 <= hits / simulations <= level + 0.06


def test_the_percentile_interval_leaves_out_undefined_draws():
    defined = np.random.default_rng(0).normal(size=500)
    values = np.column_stack([np.r_[defined, np.full(500, np.nan)], np.full(1000, np.nan)])
    low, high = percentile_interval(values, 0.8)
    assert (low[0], high[0]) == pytest.approx(tuple(np.quantile(defined, [0.1, 0.9])))
    assert np.isnan([low[1], high[1]]).all()


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=12), st.integers(1, 5))
@settings(deadline=None)
def test_random_tables_have_the_margins_whatever_is_empty(pairs, number):
    table = np.zeros((4, 3), dtype=np.int64)
    for cell in pairs:
        table[cell] += 1
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    tables = fixed_margin_tables(rows, columns, number, np.random.default_rng(0))
    assert tables.shape == (number, 4, 3)
    assert (tables >= 0).all()
    assert (tables.sum(axis=2) == rows).all()
    assert (tables.sum(axis=1) == columns).all()


def test_random_tables_are_those_of_permuted_labels():
    rows, columns = np.array([0, 2, 3]), np.array([1, 0, 4])
    tables = fixed_margin_tables(rows, columns, 5000, np.random.default_rng(1))
    # the one record of the first column is in each row as often as the row has records
    assert stats.chisquare(tables[:, 1:, 0].sum(axis=0), [2000, 3000]).pvalue > 1e-3


@given(st.lists(st.sampled_from("abcde"), min_size=1, max_size=30), st.integers(0, 99))
@settings(deadline=None)
def test_one_record_of_each_project_is_kept_in_order(projects, seed):
    records = pd.DataFrame({"record_id": range(len(projects)), "project": projects})
    kept = one_per_project(records, seed)
    assert sorted(kept["project"]) == sorted(set(projects))
    assert kept["record_id"].is_monotonic_increasing
    assert kept.index.equals(pd.RangeIndex(len(kept)))
    assert [projects[i] for i in kept["record_id"]] == kept["project"].tolist()
    pd.testing.assert_frame_equal(kept, one_per_project(records, seed))


def test_every_record_of_a_project_is_as_likely_to_be_kept():
    records = pd.DataFrame({"record_id": range(7), "project": list("aaaabbb")})
    kept = pd.concat([one_per_project(records, seed) for seed in range(600)])["record_id"].value_counts()
    assert stats.chisquare(kept.reindex(range(4), fill_value=0)).pvalue > 1e-3
    assert stats.chisquare(kept.reindex(range(4, 7), fill_value=0)).pvalue > 1e-3
