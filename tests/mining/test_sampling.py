"""Sizes and margins against the closed form and simulation; draws that depend on seed and threads alone."""

import math
import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from scipy import stats

from attention_faults.mining import sampling
from attention_faults.mining.criteria import Sample

COLUMNS = ("source", "kind", "project", "evidence")


def closed_form(population: int, margin: float, level: float) -> float:
    """Size, not rounded: z from scipy, Cochran's correction written as a ratio of variances."""
    z = stats.norm.ppf(0.5 + level / 2)
    return population * 0.25 / ((population - 1) * (margin / z) ** 2 + 0.25)


@pytest.mark.parametrize(
    ("population", "margin", "level", "size"),
    [
        (10_000, 0.05, 0.95, 370),
        (1_000_000, 0.05, 0.95, 384),
        (500, 0.05, 0.95, 218),
        (1000, 0.03, 0.99, 649),
    ],
)
def test_sizes_of_published_tables(population, margin, level, size):
    assert sampling.size_for(population, margin, level) == size


@given(st.integers(2, 10**9), st.floats(0.001, 0.5), st.floats(0.5, 0.999))
def test_size_is_the_closed_form_rounded_up(population, margin, level):
    size = sampling.size_for(population, margin, level)
    assert size - 1 - 1e-6 * size <= closed_form(population, margin, level) <= size + 1e-6 * size
    assert sampling.margin_of(size, population, level) <= margin * (1 + 1e-9)


@pytest.mark.parametrize(("population", "size"), [(0, 0), (1, 1), (2, 2), (5, 5)])
def test_small_populations_are_drawn_whole(population, size):
    assert sampling.size_for(population, 0.01, 0.95) == size
    assert sampling.margin_of(size, population, 0.95) == (0 if population else 1)


@pytest.mark.parametrize(("margin", "level"), [(0, 0.95), (1, 0.95), (0.1, 0), (0.1, 1), (-1, 2)])
def test_margins_and_levels_that_mean_nothing_are_refused(margin, level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        sampling.size_for(100, margin, level)


def test_the_share_of_a_sample_is_within_the_margin_as_often_as_the_level_says():
    population, margin, level = 2000, 0.04, 0.95
    size = sampling.size_for(population, margin, level)
    drawn = np.random.default_rng(1).hypergeometric(population // 2, population // 2, size, 20_000)
    inside = (abs(drawn / size - 0.5) <= margin).mean()
    assert level - 0.01 <= inside <= level + 0.02


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 10_000), min_size=1), st.floats(0, 1))
def test_shares_are_whole_proportional_and_complete(strata, share):
    size = int(sum(strata.values()) * share)
    given_out = sampling.allocate(strata, size)
    assert sum(given_out.values()) == size
    assert all(0 <= given_out[name] <= strata[name] for name in strata)
    populated = [name for name in strata if strata[name]]
    if size >= len(populated):
        assert all(given_out[name] >= 1 for name in populated)
    lifted = sum(strata[name] * size < sum(strata.values()) for name in populated)
    for name in populated:
        assert abs(given_out[name] - strata[name] * size / sum(strata.values())) <= 1 + lifted
    assert sampling.allocate(dict(reversed(strata.items())), size) == given_out


def test_more_than_there_is_cannot_be_drawn():
    with pytest.raises(ValueError, match="a sample of 4 cannot be drawn from 3 threads"):
        sampling.allocate({"a": 3}, 4)


@pytest.fixture
def candidates(tmp_path):
    draw = random.Random(1)
    rows = [
        {
            "source": draw.choice(["github"] * 8 + ["stackexchange"] * 2), "kind": "issue", "project": "a/b",
            "evidence": "merged", "url": f"https://example.org/{number}", "kept": draw.random() < 0.6,
        }
        for number in range(1500)
    ]  # fmt: skip
    rows[0] |= {"source": "huggingface", "kept": True}
    frame = pd.DataFrame(rows)
    frame.to_parquet(tmp_path / "candidates.parquet", index=False)
    frame.sample(frac=1, random_state=2).to_parquet(tmp_path / "shuffled.parquet", index=False)
    return frame


def draw(folder, name, seed=5, margin=0.05):
    sample = Sample(margin=margin, level=0.95, strata=["source"])
    table = sampling.draw(folder / f"{name}.parquet", folder / "sample.parquet", sample, seed)
    return table, (folder / "sample.parquet").read_bytes()


def test_a_draw_depends_on_seed_and_threads_alone(candidates, tmp_path):
    _, first = draw(tmp_path, "candidates")
    assert draw(tmp_path, "candidates")[1] == first
    assert draw(tmp_path, "shuffled")[1] == first
    assert draw(tmp_path, "candidates", seed=6)[1] != first


def test_each_stratum_is_drawn_in_proportion_from_what_was_kept(candidates, tmp_path):
    table, _ = draw(tmp_path, "candidates")
    sample = parquet.read_table(tmp_path / "sample.parquet").to_pandas()
    kept = candidates[candidates["kept"]]
    assert set(sample["url"]) <= set(kept["url"])
    assert not sample["url"].duplicated().any()
    counted = sample["stratum"].value_counts()
    strata = table[:-1].set_index("stratum")
    assert counted.to_dict() == strata["sampled"].to_dict()
    assert strata["candidates"].to_dict() == kept["source"].value_counts().to_dict()
    assert strata["sampled"]["huggingface"] == 1
    last = table.iloc[-1]
    assert last["sampled"] == len(sample) == math.ceil(closed_form(len(kept), 0.05, 0.95))
    assert last["margin"] <= 0.05 < table["margin"].iloc[0]


def test_every_candidate_is_as_likely_to_be_drawn(candidates, tmp_path):
    times = pd.Series(0, index=candidates.loc[candidates["kept"] & (candidates["source"] == "github"), "url"])
    for seed in range(60):
        draw(tmp_path, "candidates", seed)
        urls = parquet.read_table(tmp_path / "sample.parquet", columns=["url"])["url"].to_pylist()
        times[times.index.intersection(urls)] += 1
    share = times.mean() / 60
    spread = times.var() / (60 * share * (1 - share))  # of a binomial: 1
    assert 0.8 < spread < 1.25


def test_nothing_kept_gives_an_empty_sample(candidates, tmp_path):
    candidates.assign(kept=False).to_parquet(tmp_path / "none.parquet", index=False)
    table, _ = draw(tmp_path, "none")
    assert table.to_dict("records") == [{"stratum": "all", "candidates": 0, "sampled": 0, "margin": 1.0}]
    assert parquet.read_table(tmp_path / "sample.parquet").num_rows == 0
