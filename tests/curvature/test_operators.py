"""Products with blocks of the Hessian against central differences of the gradient."""

import warnings

import numpy as np
import pytest
import torch
from support.curvature import (
    ALL,
    Case,
    Dense,
    case,
    dense,
    dense_by_differences,
    normal,
    relative,
    second_voice,
)
from torch import Tensor, nn

from attention_faults.curvature.errors import CurvatureError
from attention_faults.curvature.gradients import gradient_profile
from attention_faults.curvature.operators import (
    BlockHessian,
    EmpiricalFisher,
    GaussNewton,
    Objective,
    Work,
)

# sparse products, and the double backward of GroupNorm, are errors under `vmap`
REFUSED_BY_VMAP = {"graph_han", "group_norm"}


def vectors(size: int, count: int = 3) -> Tensor:
    return torch.randn(size, count, generator=torch.Generator().manual_seed(1), dtype=torch.double)


@pytest.mark.parametrize("name", ALL)
def test_products_are_those_of_central_differences(name):
    known = case(name)
    hessian = BlockHessian(known.loss, known.blocks)
    v = vectors(hessian.shape[1])
    assert relative(hessian @ v, dense(name) @ v) <= 1e-6
    assert relative(hessian @ v[:, 0], dense(name) @ v[:, 0]) <= 1e-6


@pytest.mark.parametrize("name", ALL)
def test_products_are_those_of_autograds_own_hessian(name):
    known = case(name)
    hessian = BlockHessian(known.loss, known.blocks)
    v = vectors(hessian.shape[1])
    assert relative(hessian @ v, second_voice(known) @ v) <= 1e-10


@pytest.mark.parametrize("name", ALL)
def test_every_block_is_its_slice_of_the_dense_matrix(name):
    known, oracle = case(name), dense(name)
    hessian = BlockHessian(known.loss, known.blocks)
    scale = oracle.norm()
    for column, across in known.slices().items():
        v = vectors(hessian.sizes[column])
        rows = hessian.column(column, v)
        assert list(rows) == list(known.blocks)
        for row, down in known.slices().items():
            expected = oracle[down, across] @ v
            assert (rows[row] - expected).norm() <= 1e-6 * scale
            block = hessian[row, column]
            assert block.shape == oracle[down, across].shape
            assert (block @ v[:, 0] - expected[:, 0]).norm() <= 1e-6 * scale


@pytest.mark.parametrize("name", ALL)
def test_probes_together_give_what_probes_alone_give(name):
    known = case(name)
    together = BlockHessian(known.loss, known.blocks, probes_at_once=4)
    alone = BlockHessian(known.loss, known.blocks, probes_at_once=1)
    v = vectors(together.shape[1], 7)
    assert relative(together @ v, alone @ v) <= 1e-12
    assert together.batched == (name not in REFUSED_BY_VMAP)
    assert alone.batched is False


def regression(weights: Tensor, inputs: Tensor) -> dict[str, Tensor]:
    """Hessian of mean squared, logistic and softmax loss of a linear model, in closed form."""
    p = torch.sigmoid(inputs @ weights[:, 0])
    probabilities = torch.softmax(inputs @ weights, dim=1)
    curvature = torch.diag_embed(probabilities) - probabilities[:, :, None] * probabilities[:, None]
    size = weights.numel()
    return {
        "linear": 2 * inputs.T @ inputs / len(inputs),
        "logistic": inputs.T @ (inputs * (p * (1 - p))[:, None]) / len(inputs),
        "softmax": torch.einsum("ni,nab,nj->iajb", inputs, curvature, inputs).reshape(size, size)
        / len(inputs),
    }


@pytest.mark.parametrize("kind", ["linear", "logistic", "softmax"])
def test_products_of_regressions_are_those_of_the_closed_form(kind):
    torch.manual_seed(0)
    inputs, labels = normal(20, 4), torch.arange(20) % 3
    weights = normal(4, 3 if kind == "softmax" else 1)
    parameter = nn.Parameter(weights.clone())
    target = (labels > 0).double()
    losses = {
        "linear": lambda out: (out[:, 0] - target).square(),
        "logistic": lambda out: nn.functional.binary_cross_entropy_with_logits(
            out[:, 0], target, reduction="none"
        ),
        "softmax": lambda out: nn.functional.cross_entropy(out, labels, reduction="none"),
    }
    objective = Objective(lambda: inputs @ parameter, losses[kind])
    expected = regression(weights, inputs)[kind]
    identity = torch.eye(parameter.numel(), dtype=torch.double)
    # the outputs are linear in the parameters, so Gauss-Newton is the Hessian
    for operator in (
        BlockHessian(objective.loss, {"w": [parameter]}),
        GaussNewton(objective, {"w": [parameter]}),
    ):
        torch.testing.assert_close(operator @ identity, expected, rtol=1e-12, atol=1e-12)


def objective_of(known: Case) -> tuple[Objective, Tensor]:
    """An objective around the sequential models, and its labels."""
    inputs = normal(6, 4)
    labels = torch.arange(6) % 3
    return Objective(
        lambda: known.closed.model(inputs),
        lambda out: nn.functional.cross_entropy(out, labels, reduction="none"),
    ), labels


def rows_of_jacobian(responses: Tensor, known: Case) -> Tensor:
    rows = [torch.autograd.grad(r, known.parameters, retain_graph=True) for r in responses]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


@pytest.mark.parametrize("name", ["mlp", "layer_norm", "batch_norm_train"])
def test_gauss_newton_and_fisher_are_made_of_jacobians(name):
    torch.manual_seed(0)
    known = case(name)
    objective, _ = objective_of(known)
    outputs = objective.outputs()
    jacobian = rows_of_jacobian(outputs.flatten(), known)
    p = torch.softmax(outputs, dim=1).detach()
    middle = torch.block_diag(*(torch.diag(row) - torch.outer(row, row) for row in p)) / len(p)
    losses = objective.sample_losses(outputs)
    samples = rows_of_jacobian(losses, known)
    for operator, expected in (
        (GaussNewton(objective, known.blocks), jacobian.T @ middle @ jacobian),
        (EmpiricalFisher(objective, known.blocks), samples.T @ samples / len(samples)),
    ):
        v = vectors(operator.shape[1])
        assert relative(operator @ v, expected @ v) <= 1e-12
        first, last = list(known.slices().items())[:: len(known.slices()) - 1]
        block = operator[first[0], last[0]]
        rows, columns = expected[first[1], last[1]].shape
        assert relative(block @ v[:columns], expected[first[1], last[1]] @ v[:columns]) <= 1e-12
        assert block.shape == (rows, columns)


def test_several_batches_are_their_mean_and_cost_a_graph_each():
    torch.manual_seed(0)
    known = case("layer_norm")
    one, other = (objective_of(known)[0].loss for _ in range(2))
    both = BlockHessian([one, other], known.blocks)
    v = vectors(both.shape[1], 2)
    mean = (BlockHessian(one, known.blocks) @ v + BlockHessian(other, known.blocks) @ v) / 2
    assert relative(both @ v, mean) <= 1e-12
    alone = BlockHessian([one, other], known.blocks, probes_at_once=1)
    alone @ v
    assert alone.work == Work(products=2, gradients=2 * 2 * 3)
    before = both.work  # two products more share the graph of each batch
    both @ v
    assert both.work - before == Work(products=2, gradients=2 * (1 + 2 * 2))
    single = BlockHessian(one, known.blocks, probes_at_once=1)
    for _ in range(3):
        single @ v
    assert single.work == Work(products=6, gradients=13)


@pytest.mark.parametrize("category", [DeprecationWarning, UserWarning])
def test_warnings_of_a_closure_are_its_own(category):
    torch.manual_seed(0)
    layer, inputs = nn.Linear(3, 2).double(), normal(4, 3)

    def loss() -> Tensor:
        warnings.warn("an old function", category, stacklevel=2)
        return layer(inputs).exp().mean()

    hessian = BlockHessian([loss, loss], {"layer": layer.parameters()})
    with pytest.warns(category, match="an old function"):
        hessian @ vectors(8)
    assert hessian.batched


class Mistaken(Dense):
    """A matrix whose batched products are wrong in the second block."""

    def _multiply(self, vectors, rows, *, batched):
        results = super()._multiply(vectors, rows, batched=batched)
        return [
            2 * result if batched and row == 1 else result for row, result in zip(rows, results, strict=True)
        ]


def test_a_batch_that_is_wrong_in_one_small_block_is_looped_over():
    matrix = torch.block_diag(1e6 * torch.eye(4), 3e-8 * torch.eye(2)).double()
    operator = Mistaken(matrix, {"large": 4, "small": 2})
    operator.batched = None
    torch.testing.assert_close(operator @ torch.eye(6, dtype=torch.double), matrix)
    assert operator.batched is False


@pytest.mark.parametrize("kind", [GaussNewton, EmpiricalFisher])
@pytest.mark.parametrize("once", [False, True])
def test_gauss_newton_and_fisher_notice_a_wrong_double_backward(kind, once):
    torch.manual_seed(0)

    class Constant(torch.autograd.Function):
        """Tanh whose backward is right, but lacks its dependence on the gradient that it is given."""

        forward = staticmethod(lambda ctx, x: setattr(ctx, "slope", 1 - x.tanh() ** 2) or x.tanh())

        @staticmethod
        def backward(ctx, grad):
            return grad.detach() * ctx.slope if once else grad * ctx.slope + 0.1 * (grad - grad.detach())

    first, last = nn.Linear(4, 5).double(), nn.Linear(5, 3).double()
    inputs, labels = normal(6, 4), torch.arange(6) % 3
    objective = Objective(
        lambda: last(Constant.apply(first(inputs))),
        lambda out: nn.functional.cross_entropy(out, labels, reduction="none"),
    )
    with pytest.raises(CurvatureError, match="adjoint: a product with the Jacobian differs by"):
        kind(objective, {"first": first.parameters(), "last": last.parameters()})


def test_gauss_newton_and_fisher_of_outputs_of_higher_rank():
    torch.manual_seed(0)
    model, inputs, labels = nn.Linear(3, 4).double(), normal(5, 2, 3), torch.arange(10).view(5, 2) % 4
    objective = Objective(
        lambda: model(inputs).tanh(),
        lambda out: nn.functional.cross_entropy(out.transpose(1, 2), labels, reduction="none").mean(dim=1),
    )
    parameters = list(model.parameters())
    outputs = objective.outputs()

    def jacobian(responses: Tensor) -> Tensor:
        rows = [torch.autograd.grad(r, parameters, retain_graph=True) for r in responses.flatten()]
        return torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])

    p = torch.softmax(outputs, dim=-1).detach().reshape(-1, 4)
    middle = torch.block_diag(*(torch.diag(row) - torch.outer(row, row) for row in p)) / 10
    of_outputs, of_samples = jacobian(outputs), jacobian(objective.losses(outputs))
    identity = torch.eye(16, dtype=torch.double)
    for operator, expected in (
        (GaussNewton(objective, {"all": parameters}), of_outputs.T @ middle @ of_outputs),
        (EmpiricalFisher(objective, {"all": parameters}), of_samples.T @ of_samples / 5),
    ):
        assert relative(operator @ identity, expected) <= 1e-12
        # the graph; the check, once each way; sixteen products, there and back
        assert operator.work == Work(products=16, gradients=1 + 3 + 16 * 3)


@pytest.mark.parametrize("losses", [torch.ones_like, torch.mean], ids=["too_many", "mean"])
def test_losses_that_are_not_one_a_sample_are_refused(losses):
    weight = nn.Parameter(torch.ones(3, 2))
    objective = Objective(lambda: weight * 1, lambda outputs: losses(outputs) * outputs.sum())
    for use in (GaussNewton, EmpiricalFisher, gradient_profile):
        with pytest.raises(CurvatureError, match=r"losses of samples have shape .*, not \(samples,\)"):
            use(objective, {"w": [weight]})
    with pytest.raises(CurvatureError, match="losses of samples have shape"):
        BlockHessian(objective.loss, {"w": [weight]})


def test_a_sparse_gradient_is_refused_with_its_cure():
    embedding = nn.Embedding(5, 2, sparse=True)
    with pytest.raises(CurvatureError, match=r"shape \(5, 2\) is sparse.*`sparse=False`"):
        BlockHessian(
            lambda: embedding(torch.tensor([1, 3])).square().sum(), {"embedding": embedding.parameters()}
        )


class Partly(nn.Module):
    """`used` enters the loss, `unused` does not, `linear` only linearly, `tied` twice."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("used", "frozen", "unused", "linear", "tied", "zero"):
            setattr(self, name, nn.Parameter(normal(2)))
        self.frozen.requires_grad_(False)
        with torch.no_grad():
            self.zero.zero_()

    def loss(self) -> Tensor:
        bypassed = (0 * self.zero).sum()
        return (
            (self.used * self.frozen).square().prod()
            + self.linear.sum()
            + (self.tied[0] * self.tied).sum()
            + bypassed
        )


def test_frozen_unused_bypassed_and_linear_parameters_give_zeros():
    torch.manual_seed(0)
    model = Partly()
    blocks = {name: [parameter] for name, parameter in model.named_parameters()}
    hessian = BlockHessian(model.loss, blocks)
    live = {name for name in blocks if name in ("used", "tied")}
    for name in blocks:
        rows = hessian.column(name, torch.ones(2, dtype=torch.double))
        assert {row for row, value in rows.items() if value.any()} <= live
        assert bool(rows[name].any()) == (name in live)
    model.frozen.requires_grad_(True)
    oracle = dense_by_differences(model.loss, [p for p in model.parameters() if p is not model.unused])
    assert oracle[-4:-2, -4:-2].any()
    torch.testing.assert_close(
        hessian["tied", "tied"] @ torch.eye(2, dtype=torch.double), oracle[-4:-2, -4:-2], rtol=1e-6, atol=1e-6
    )


def test_a_parameter_used_in_two_places_has_the_curvature_of_both():
    torch.manual_seed(0)
    shared = nn.Linear(3, 3).double()
    model = nn.Sequential(shared, nn.Tanh(), shared)
    inputs = normal(5, 3)
    parameters = list(shared.parameters())
    hessian = BlockHessian(lambda: model(inputs).square().mean(), {"shared": parameters})
    oracle = dense_by_differences(lambda: model(inputs).square().mean(), parameters)
    assert relative(hessian @ torch.eye(12, dtype=torch.double), oracle) <= 1e-6


def test_all_frozen_is_the_zero_matrix():
    layer = nn.Linear(3, 2).requires_grad_(False)
    hessian = BlockHessian(lambda: layer(torch.ones(3)).sum(), {"layer": layer.parameters()})
    assert not (hessian @ torch.ones(8)).any()


def test_single_precision_stays_single():
    layer = nn.Linear(3, 2)
    hessian = BlockHessian(lambda: layer(torch.ones(3)).exp().sum(), {"layer": layer.parameters()})
    assert (hessian @ torch.ones(8)).dtype == torch.float32


def test_scipy_sees_the_same_matrix():
    hessian = BlockHessian(case("mlp").loss, case("mlp").blocks)
    matrix = hessian.scipy() @ np.eye(hessian.shape[1])
    assert relative(torch.from_numpy(matrix), dense("mlp")) <= 1e-6
    assert hessian.scipy().dtype == np.float64


@pytest.mark.parametrize(("value", "word"), [(float("nan"), "nan"), (float("inf"), "inf")])
def test_a_loss_that_is_not_finite_is_an_error(value, word):
    weight = nn.Parameter(torch.ones(2))
    with pytest.raises(CurvatureError, match=f"the loss is {word}"):
        BlockHessian(lambda: weight.sum() * value, {"w": [weight]})
    objective = Objective(lambda: weight * value, lambda outputs: outputs)
    for kind in (GaussNewton, EmpiricalFisher):
        with pytest.raises(CurvatureError, match=r"no curvature|not finite"):
            kind(objective, {"w": [weight]})


def test_a_batch_that_is_not_finite_is_named():
    weight = nn.Parameter(torch.ones(2))
    hessian = BlockHessian(
        [lambda: weight.square().sum(), lambda: weight.sum() * float("nan")], {"w": [weight]}
    )
    with pytest.raises(CurvatureError, match="batch 1 is nan"):
        hessian @ torch.ones(2)


def test_a_loss_for_each_sample_is_refused():
    weight = nn.Parameter(torch.ones(2))
    with pytest.raises(CurvatureError, match=r"shape \(2,\)"):
        BlockHessian(weight.square, {"w": [weight]})


def test_blocks_that_cannot_be_told_apart_are_refused():
    weight, view = nn.Parameter(torch.ones(4)), torch.ones(6)
    overlapping = {"a": [nn.Parameter(view[:4])], "b": [nn.Parameter(view[3:])]}
    apart = {"a": [nn.Parameter(view[:3])], "b": [nn.Parameter(view[3:])]}
    for blocks, message in (
        ({"a": [weight], "b": [weight]}, "`a` and `b` overlap"),
        ({"a": [weight, weight]}, "`a` and `a` overlap"),
        (overlapping, "`a` and `b` overlap"),
        ({"a": []}, "`a` is empty"),
        ({"a": [weight, nn.Parameter(torch.ones(0))]}, "`a` holds a parameter without elements"),
        ({}, "no blocks"),
        ({"a": [weight * 2]}, "`a` holds a tensor that is computed"),
        ({"a": [weight], "b": [nn.Parameter(torch.ones(2).double())]}, "mix precisions"),
    ):
        with pytest.raises(ValueError, match=message):
            BlockHessian(weight.sum, blocks)
    BlockHessian(weight.sum, apart)
    with pytest.raises(ValueError, match="no loss"):
        BlockHessian([], {"a": [weight]})


def test_parameters_that_have_changed_since_are_noticed():
    layer = nn.Linear(3, 1)
    hessian = BlockHessian(lambda: layer(torch.ones(3)).exp().sum(), {"layer": layer.parameters()})
    with torch.no_grad():
        layer.bias.add_(1)
    with pytest.raises(CurvatureError, match="`layer` has changed"):
        hessian @ torch.ones(4)


def test_wrong_names_and_lengths_are_refused():
    hessian = BlockHessian(case("mlp").loss, case("mlp").blocks)
    with pytest.raises(KeyError, match="no block `5`"):
        hessian["0", "5"]
    with pytest.raises(ValueError, match="block `0` has 25 columns"):
        hessian.column("0", torch.ones(24))
    with pytest.raises(ValueError, match="the matrix has"):
        hessian @ torch.ones(3)


@pytest.mark.parametrize(("name", "batched"), [("conv3d", False), ("mlp", True)])
def test_convolutions_are_looped_over_unless_asked_for(name, batched):
    known = case(name)
    operator = BlockHessian(known.loss, known.blocks)
    vectors = torch.randn(
        operator.shape[0], 3, dtype=torch.double, generator=torch.Generator().manual_seed(0)
    )
    product = operator @ vectors
    assert operator.batched is batched
    asked = BlockHessian(known.loss, known.blocks, probes_at_once=2)
    torch.testing.assert_close(asked @ vectors, product)
    assert asked.batched is True
