"""What a gain of the Hessian goes with: against scipy, and where nothing or everything explains it."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from support.evidence import made_up

from attention_faults.localisation import evaluation, moderators
from attention_faults.localisation.rankers import GRADIENT_NORM, HESSIAN

HOW = {"draws": 200, "permutations": 499, "level": 0.95, "seed": 1}


def drops(evidence, drop=0.1):
    mutants = evidence.runs.loc[evidence.runs["kind"] == "faulty", ["operator", "place", "severity"]]
    return mutants.drop_duplicates().assign(model=evidence.model, mean_drop=drop)


def made(gain, model="m", **columns):
    table = pd.DataFrame({"model": model, "operator": "o", "place": "p", "gain": gain})
    return table.assign(**dict.fromkeys(moderators.MODERATORS, 0.0) | columns)


def test_gains_are_differences_of_reciprocal_ranks():
    evidence = made_up(faults=5, seeds=3, shift=2.0)
    redrawn = evaluation.redraw(evidence, draws=100, seed=1)
    found = moderators.gains([evidence], [redrawn], drops(evidence))
    gain = redrawn.mean(HESSIAN.name) - redrawn.mean(GRADIENT_NORM.name)
    assert found["gain"].mean() == pytest.approx(gain)
    pd.testing.assert_frame_equal(found[["operator", "place"]], redrawn.units)
    assert (found["accuracy_drop"] == 0.1).all()
    assert (found["blocks_at_fault"] == 2 / 16).all()
    runs = evaluation.located(evidence)
    shares = (evidence.truth[runs] * evidence.sizes).sum(axis=1) / evidence.sizes.sum()
    assert found["parameters_at_fault"].mean() == pytest.approx(shares.mean())


def test_a_change_is_a_number_of_times_the_reference():
    evidence = made_up(faults=2, seeds=1)
    evidence.values["gradient_norm"][:] = 1.0
    evidence.values["gradient_norm"][evaluation.located(evidence)] = np.e**2
    redrawn = evaluation.redraw(evidence, draws=100, seed=1)
    found = moderators.gains([evidence], [redrawn], drops(evidence))
    np.testing.assert_allclose(found["gradient_change"], 2.0)


def test_within_one_model_it_is_spearman():
    generator = np.random.default_rng(3)
    gain, drop = generator.normal(size=(2, 30)).round(1)  # with ties
    found = moderators.correlate(made(gain, accuracy_drop=drop), **HOW).set_index("moderator")
    row = found.loc["accuracy_drop"]
    assert row["rho"] == pytest.approx(spearmanr(gain, drop).statistic)
    assert row["low"] < row["rho"] < row["high"]
    assert found.loc["blocks_at_fault", "rho":].isna().all()  # a constant explains nothing


def test_differences_between_models_do_not_count():
    """Gain and drop fall together within both models, and would rise together over them."""
    first = made([0.1, 0.2, 0.3, 0.4], "a", accuracy_drop=[0.4, 0.3, 0.2, 0.1])
    second = made([10.1, 10.2, 10.3], "b", accuracy_drop=[10.3, 10.2, 10.1])
    mixed = pd.concat([first, second]).sample(frac=1, random_state=0)
    found = moderators.correlate(mixed, **HOW).set_index("moderator")
    assert found.loc["accuracy_drop", "rho"] == pytest.approx(-1)


def test_chance_is_rarely_significant():
    generator = np.random.default_rng(5)
    p = [
        moderators.correlate(made(generator.normal(size=12), accuracy_drop=generator.normal(size=12)), **HOW)
        .set_index("moderator")
        .loc["accuracy_drop", "p"]
        for _ in range(100)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.12
    assert 0.35 < np.mean(p) < 0.65


def test_units_without_curvature_are_left_out():
    table = made([0.1, 0.3, 0.2, np.nan], accuracy_drop=[1.0, 3.0, np.nan, 2.0])
    found = moderators.correlate(table, **HOW).set_index("moderator")
    assert found.loc["accuracy_drop", "units"] == 2


def test_a_study_without_places_has_no_gains():
    assert moderators.gains([made_up(faults=0)], [], pd.DataFrame()).empty
    assert moderators.correlate(moderators.gains([], [], pd.DataFrame()), **HOW)["rho"].isna().all()
