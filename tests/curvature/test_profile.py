"""One pass over all metrics, against the dense matrix."""

import ast
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from support.curvature import Dense, case, classify, dense, indefinite, relative, seeded
from torch import nn

import attention_faults.curvature
from attention_faults.curvature import (
    BUDGETS,
    ECONOMY,
    STANDARD,
    BlockHessian,
    Budget,
    CurvatureError,
    GaussNewton,
    Objective,
    curvature_profile,
    preflight,
    profile_operator,
)

METRICS = ["trace", "frobenius", "largest", "smallest", "magnitude"]
METRICS += ["negative_share", "effective_rank", "stable_rank"]
SMALL = Budget(rank=4, probes=8, starts=4, steps=10)


def exact_metrics(matrix):
    values = torch.linalg.eigvalsh(matrix).numpy()
    size, square = np.abs(values).sum(), np.square(values).sum()
    magnitude = values[np.abs(values).argmax()]
    share = np.abs(values[values < 0]).sum() / size
    ratios = share, size**2 / square, square / magnitude**2
    return dict(
        zip(METRICS, [values.sum(), square**0.5, values[-1], values[0], magnitude, *ratios], strict=True)
    )


@pytest.mark.parametrize("name", ["mlp", "layer_norm", "cross_attention", "distilbert", "han"])
def test_metrics_are_those_of_the_dense_blocks(name):
    known = case(name)
    profile = curvature_profile(known.loss, known.blocks, SMALL)
    table = profile.table.set_index(["block", "metric"])
    for block, place in known.slices().items():
        for metric, expected in exact_metrics(dense(name)[place, place]).items():
            row = table.loc[block, metric]
            if place.stop - place.start <= SMALL.per_block:
                assert row.stderr == 0
                assert row.converged
                assert row.estimate == pytest.approx(expected, rel=1e-4, abs=1e-7)
            else:
                assert abs(row.estimate - expected) <= 6 * row.stderr + 0.05 * abs(expected) + 1e-7
            assert row.products <= SMALL.per_block


def test_the_table_is_tidy_and_the_matrix_has_names():
    known = case("cross_attention")
    profile = curvature_profile(known.loss, known.blocks, ECONOMY)
    assert list(profile.table.columns) == ["block", "metric", "estimate", "stderr", "products", "converged"]
    assert profile.table.groupby("block", sort=False)["metric"].apply(list).to_dict() == dict.fromkeys(
        known.blocks, METRICS
    )
    matrix = profile.interaction_matrix()
    assert list(matrix.index) == list(matrix.columns) == list(known.blocks)
    assert profile.checks is not None
    assert list(profile.densities) == list(known.blocks)


def test_same_seed_same_bytes_and_checks_can_be_made_before():
    known = case("layer_norm")
    budget = Budget(rank=2, probes=4, starts=2, steps=3)
    one, again, other = (curvature_profile(known.loss, known.blocks, budget, seed=seed) for seed in (1, 1, 2))
    assert one.table.to_csv() == again.table.to_csv()
    assert one.interactions.values.tobytes() == again.interactions.values.tobytes()
    assert one.table.to_csv() != other.table.to_csv()
    checks = preflight(known.loss, known.blocks, seeded(7))
    checked = curvature_profile(known.loss, known.blocks, budget, seed=1, checks=checks)
    assert checked.table.to_csv() == one.table.to_csv()
    assert checked.checks is checks


def test_nothing_is_measured_of_a_loss_that_fails_its_checks():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    loss = classify(model, torch.randn(8, 4))
    with pytest.raises(CurvatureError, match="determinism"):
        curvature_profile(lambda: loss(model), {"all": model.parameters()}, ECONOMY)


def test_zero_and_one_parameter_blocks_are_exact():
    matrix = torch.block_diag(torch.zeros(90, 90), torch.tensor([[-2.0]])).double()
    profile = profile_operator(Dense(matrix, {"zero": 90, "one": 1}), ECONOMY, seeded(0))
    table = profile.table.pivot(index="block", columns="metric", values="estimate")
    assert profile.table["converged"].all()
    assert (profile.table["stderr"] == 0).all()
    assert table.loc["zero", ["trace", "frobenius", "largest", "smallest"]].tolist() == [0, 0, 0, 0]
    assert table.loc["zero", ["negative_share", "effective_rank", "stable_rank"]].isna().all()
    assert table.loc["one", ["trace", "frobenius", "magnitude", "negative_share"]].tolist() == [-2, 2, -2, 1]
    assert profile.interactions.values.tolist() == [[0, 0], [0, 1]]


def test_costs_grow_with_blocks_at_most_linearly_and_keep_to_the_budget():
    spent = {}
    for count in (2, 4, 8):
        sizes = {str(i): 160 // count for i in range(count)}
        profile = profile_operator(Dense(indefinite(160), sizes), ECONOMY, seeded(0))
        spent[count] = profile.work.products
        assert profile.work.products <= count * ECONOMY.per_block + ECONOMY.rank + 1
    assert spent[4] <= 2 * spent[2]
    assert spent[8] <= 2 * spent[4]
    assert [b.per_block for b in BUDGETS.values()] == sorted(b.per_block for b in BUDGETS.values())


def test_several_batches_have_the_profile_of_their_mean():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    parts = [torch.randn(6, 4).double() for _ in range(2)]  # as many samples of each class in both
    losses = [partial(classify(model, part), model) for part in parts]
    whole = partial(classify(model, torch.cat(parts)), model)
    blocks = {"first": list(model[0].parameters()), "last": list(model[2].parameters())}
    one, both = (curvature_profile(loss, blocks, SMALL) for loss in (whole, losses))
    np.testing.assert_allclose(both.table["estimate"], one.table["estimate"], rtol=1e-8, atol=1e-12)
    assert both.work.gradients > one.work.gradients


@pytest.mark.parametrize("batches", [1, 2])
def test_running_statistics_are_as_before(batches):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loss = partial(classify(model, torch.randn(8, 4)), model)
    blocks = {"all": list(model.parameters())}
    curvature_profile([loss] * batches, blocks, ECONOMY)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_second_profile_of_an_operator_counts_its_own_cost():
    known = case("mlp")
    operator = BlockHessian([known.loss, known.loss], known.blocks, probes_at_once=1)
    one, again = (profile_operator(operator, ECONOMY, seeded(0)).work for _ in range(2))
    assert one == again
    assert one.gradients == 2 * 3 * one.products


def test_large_blocks_get_few_steps_where_memory_is_short():
    sizes = {"embedding": 200, "a": 60, "b": 60}
    operator = Dense(indefinite(320), sizes)
    budget = Budget(rank=8, probes=8, starts=2, steps=12, held=2.0, least_held=0)
    profile = profile_operator(operator, budget, seeded(0))
    steps = {name: len(density.runs[0].values) for name, density in profile.densities.items()}
    assert steps == {"embedding": 3, "a": 10, "b": 10}
    largest = profile.table.query("metric == 'largest'").set_index("block")
    assert not largest.loc["embedding", "converged"]
    unlimited = profile_operator(operator, Budget(8, 8, 2, 12), seeded(0))
    error = np.abs(profile.norms.squared - unlimited.norms.squared)
    assert (error <= 6 * np.hypot(profile.norms.stderr, unlimited.norms.stderr)).all()


def test_any_operator_has_a_profile():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    inputs, labels = torch.randn(9, 4).double(), torch.arange(9) % 3
    objective = Objective(
        lambda: model(inputs), lambda out: nn.functional.cross_entropy(out, labels, reduction="none")
    )
    blocks = {"first": list(model[0].parameters()), "last": list(model[2].parameters())}
    profile = profile_operator(GaussNewton(objective, blocks), STANDARD, seeded(0))
    estimates = profile.table.set_index(["block", "metric"])["estimate"]
    assert estimates["first", "negative_share"] == pytest.approx(0, abs=1e-9)
    # the last layer is linear, so Gauss-Newton is its Hessian
    hessian = profile_operator(BlockHessian(objective.loss, blocks), STANDARD, seeded(0))
    assert hessian.table.set_index(["block", "metric"])["estimate"]["last", "trace"] == pytest.approx(
        estimates["last", "trace"]
    )


def test_a_profile_is_of_single_precision_too():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3))
    inputs = torch.randn(12, 6)
    loss = classify(model, inputs)
    blocks = {
        name: list(child.parameters()) for name, child in model.named_children() if [*child.parameters()]
    }
    single = curvature_profile(lambda: loss(model), blocks, SMALL)
    model.double()
    loss = classify(model, inputs.double())
    blocks = {
        name: list(child.parameters()) for name, child in model.named_children() if [*child.parameters()]
    }
    double = curvature_profile(lambda: loss(model), blocks, SMALL)
    one, other = (torch.from_numpy(p.norms.squared) for p in (single, double))
    assert relative(one, other) <= 0.05


@pytest.mark.parametrize("wrong", [{"probes": 1}, {"starts": 0}, {"starts": 9}, {"steps": 0}, {"rank": -1}])
def test_budgets_without_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="2 probes"):
        Budget(**{"rank": 2, "probes": 8, "starts": 2, "steps": 4, **wrong})


def test_the_package_imports_nothing_else_of_ours():
    folder = Path(attention_faults.curvature.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert not name.startswith("attention_faults") or name.startswith(
                    "attention_faults.curvature"
                )
