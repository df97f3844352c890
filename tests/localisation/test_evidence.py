from dataclasses import replace

import numpy as np
import pytest
from support.evidence import BLOCKS, made_up, without

from attention_faults.localisation import evidence as ev
from attention_faults.localisation.metric import catalogue


def test_distance_shrinks_the_scale_of_each_block_towards_the_median():
    generator = np.random.default_rng(0)
    reference = generator.normal(size=(10, 7, 1))
    values = generator.normal(size=(3, 7, 1))
    spread = reference.std(axis=0, ddof=1)[:, 0]
    scale = np.sqrt((4 * np.median(spread) ** 2 + 9 * spread**2) / 13)
    expected = np.abs(values[:, :, 0] - reference.mean(axis=0)[:, 0]) / scale
    np.testing.assert_allclose(ev.distance(values, reference, np.ones((1, 10)))[0], expected)


def test_healthy_blocks_do_not_reach_absurd_distances():
    """With 5 runs an unshrunken scale gives healthy blocks |z| of dozens; the shrunken one does not."""
    generator = np.random.default_rng(1)
    shrunk, own = [], []
    for _ in range(300):
        reference, values = generator.normal(size=(5, 15, 1)), generator.normal(size=(1, 15, 1))
        shrunk.append(ev.distance(values, reference, np.ones((1, 5))).max())
        own.append((np.abs(values[0] - reference.mean(axis=0)) / reference.std(axis=0, ddof=1)).max())
    assert np.quantile(shrunk, 0.99) < 7 < np.quantile(own, 0.99)
    assert 1.0 < np.median(shrunk) < 4.0


def test_redrawing_by_weights_is_redrawing():
    generator = np.random.default_rng(2)
    reference, values = generator.normal(size=(6, 4, 1)), generator.normal(size=(2, 4, 1))
    taken = [0, 0, 3, 5, 5, 5]
    weights = np.bincount(taken, minlength=6)[np.newaxis].astype(float)
    np.testing.assert_allclose(
        ev.distance(values, reference, weights), ev.distance(values, reference[taken], np.ones((1, 6)))
    )


def test_a_block_that_the_reference_hardly_defines_is_undefined():
    reference = np.random.default_rng(3).normal(size=(10, 4, 1))
    reference[2:, 1] = np.nan  # two runs are left
    scores = ev.distance(np.zeros((1, 4, 1)), reference, np.ones((1, 10)))[0, 0]
    assert np.isnan(scores[1])
    assert np.isfinite(scores[[0, 2, 3]]).all()


def test_pairs_are_the_root_mean_square_over_defined_partners():
    generator = np.random.default_rng(4)
    reference, values = generator.normal(size=(10, 3, 3)), generator.normal(size=(1, 3, 3))
    for array in (reference, values):
        array[:, range(3), range(3)] = np.nan
    single = [
        ev.distance(values[:, :, [partner]], reference[:, :, [partner]], np.ones((1, 10)))
        for partner in range(3)
    ]
    together = ev.distance(values, reference, np.ones((1, 10)))
    assert together.shape == (1, 1, 3)
    assert np.isfinite(together).all()
    # the median scale is over all pairs here and over a column there: close, not equal
    np.testing.assert_allclose(together, np.sqrt(np.nanmean(np.square(single), axis=0)), rtol=0.35)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hessian_trace", lambda x, m: np.arcsinh(x / m)),
        ("hessian_negative_share", lambda x, m: x),
        ("gradient_norm", lambda x, m: np.log(x + 1e-6 * m)),
        ("parameter_count", lambda x, m: x),
    ],
)
def test_scales_are_those_of_the_protocol(name, expected):
    clean = np.exp(np.random.default_rng(5).normal(size=(9, 4, 1)))
    values = np.array([[[0.0], [0.1], [2.0], [30.0]]])
    np.testing.assert_allclose(
        ev.to_scale(values, catalogue()[name], clean), expected(values, np.median(clean, axis=0))
    )


def test_a_clean_median_of_zero_is_replaced_by_that_of_the_model():
    clean = np.ones((5, 3, 1))
    clean[:, 0] = 0.0
    scaled = ev.to_scale(np.zeros((1, 3, 1)), catalogue()["gradient_norm"], clean)
    np.testing.assert_allclose(scaled, np.log(1e-6))


def test_a_planted_fault_stands_out_with_and_without_partners():
    found = made_up(shift=30.0)
    runs = [int(row) for row in np.flatnonzero(found.runs["kind"] == "faulty")]
    scores = ev.with_reference(found, found.reference(), runs)
    for name in ("gradient_norm", "hessian_trace", "interaction_change"):
        best = scores[name][0].argmax(axis=1)
        assert found.truth[runs, best].all(), name


def test_constants_are_ranked_by_value():
    found = made_up()
    scores = ev.with_reference(found, found.reference(), [20])
    np.testing.assert_array_equal(scores["parameter_count"][0, 0], found.sizes)


def test_without_reference_ranks_size_free_values():
    found = made_up()
    scores, ways = ev.without_reference(found, [20])
    free = found.values["gradient_norm"][20, :, 0] / np.sqrt(found.sizes)
    np.testing.assert_allclose(
        scores["gradient_norm"][0, 0], np.argsort(np.argsort(free)) / (len(BLOCKS) - 1)
    )
    assert set(ways.values()) == {"rank"}  # three siblings are too few
    assert "interaction_change" not in scores


def test_without_reference_many_siblings_are_compared_with_each_other():
    found = made_up(faults=1, seeds=1, negatives=0)
    blocks = tuple(f"layer{number}.query" for number in range(len(BLOCKS)))
    values = {"gradient_norm": np.ones((len(found.runs), len(BLOCKS), 1))}
    values["gradient_norm"] += np.random.default_rng(0).normal(size=values["gradient_norm"].shape) * 0.01
    values["gradient_norm"][:, 5] = 1e-4  # the least value is not suspect by rank, but is by its siblings
    same = replace(found, blocks=blocks, values=values, sizes=np.ones(len(BLOCKS)))
    scores, ways = ev.without_reference(same, [0])
    assert ways == {"gradient_norm": "siblings"}
    assert scores["gradient_norm"][0, 0].argmax() == 5


def test_an_undefined_metric_is_undefined_evidence():
    found = without(made_up(), "hessian_trace", 20)
    scores = ev.with_reference(found, found.reference(), [20, 21])
    assert np.isnan(scores["hessian_trace"][0, 0]).all()
    assert np.isfinite(scores["hessian_trace"][0, 1]).all()
