"""What the checks let pass, and what they do not."""

import os
import warnings

import pytest
import torch
from support.curvature import SUBJECTS, by_child, case, classify, seeded
from torch import Tensor, nn

from attention_faults.curvature.errors import CurvatureError
from attention_faults.curvature.preflight import Preflight, preflight
from attention_faults.subjects.subject import Subject


def check(model: nn.Module, inputs: Tensor, seed: int = 0) -> Preflight:
    """Run the checks on a classifier with one block a parameter."""
    loss = classify(model, inputs)
    blocks = {name: [parameter] for name, parameter in model.named_parameters()}
    return preflight(lambda: loss(model), blocks, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("seed", range(50))
def test_kinks_are_no_alarm(seed, dtype):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    )
    check(model.to(dtype), torch.randn(16, 1, 6, 6, dtype=dtype), seed)


@pytest.mark.parametrize("name", SUBJECTS)
def test_single_precision_subjects_pass_in_double_precision(name):
    sizes, samples = SUBJECTS[name]
    subject = Subject.named(name)(**sizes)
    task = subject.task(seed=0)
    model = subject.build(task, seed=0)
    batch = {key: tensor[:samples] for key, tensor in task.train.items()}
    result = preflight(lambda: subject.loss(model, batch), subject.blocks(model), seeded(0))
    assert result.symmetry <= 1e-11
    assert 1e-11 < result.symmetry_own <= 1e-4
    assert result.difference <= 1e-6
    assert result.slope <= 1e-6
    assert len(result.steps) == result.directions == 3
    assert result.gradients > 6


def test_the_model_is_as_before():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    check(model, torch.randn(8, 4))
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])
    assert all(p.grad is None for p in model.parameters())
    assert torch.get_default_dtype() == torch.float32


def test_the_model_is_as_before_after_an_alarm():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), WrongBackward(WrongDouble), nn.Linear(4, 3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CurvatureError):
        check(model, torch.randn(8, 4))
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])
    assert torch.get_default_dtype() == torch.float32


class WrongFirst(torch.autograd.Function):
    """Tanh with a backward that is a tenth too large."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.tanh(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 1.1 * grad * (1 - torch.tanh(x) ** 2)


class WrongDouble(torch.autograd.Function):
    """Tanh whose backward is right, but a constant to autograd."""

    @staticmethod
    def forward(ctx, x):
        y = torch.tanh(x)
        ctx.slope = (1 - y**2).detach()
        return y

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.slope


class WrongBackward(nn.Module):
    def __init__(self, function: type[torch.autograd.Function]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function.apply(x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("function", [WrongFirst, WrongDouble])
@pytest.mark.parametrize("seed", range(5))
def test_a_wrong_backward_is_an_alarm(seed, function, dtype):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 5), WrongBackward(function), nn.Linear(5, 3)).to(dtype)
    with pytest.raises(CurvatureError, match=r"symmetry|central differences"):
        check(model, torch.randn(8, 4, dtype=dtype), seed)


def test_a_wrong_factor_at_the_end_is_an_alarm_although_it_is_symmetric():
    torch.manual_seed(0)

    class Doubled(torch.autograd.Function):
        forward = staticmethod(lambda ctx, x: x.clone())
        backward = staticmethod(lambda ctx, grad: 2 * grad)

    layer = nn.Linear(3, 2)
    inputs = torch.randn(5, 3)
    with pytest.raises(CurvatureError, match="gradient: it differs from central differences of the loss"):
        preflight(
            lambda: Doubled.apply(layer(inputs).square().mean()),
            {"layer": layer.parameters()},
            torch.Generator(),
        )


def test_an_error_in_one_small_block_is_not_hidden_by_large_ones():
    torch.manual_seed(0)
    small = nn.Parameter(torch.full((2,), 0.01).double())
    large = nn.Parameter(10 * torch.randn(50).double())

    def loss() -> Tensor:
        return large.pow(4).sum() + WrongDouble.apply(small).square().sum()

    with pytest.raises(CurvatureError, match="in block `small`"):
        preflight(loss, {"large": [large], "small": [small]}, seeded(0))


@pytest.mark.parametrize("seed", range(5))
def test_dropout_is_named(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    with pytest.raises(CurvatureError, match=r"determinism.*dropout.*`1` \(Dropout\).*evaluation mode"):
        check(model, torch.randn(8, 4))
    check(model.eval(), torch.randn(8, 4))
    check(nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.0), nn.Linear(8, 3)), torch.randn(8, 4))


def test_shuffled_data_and_train_mode_statistics_are_named():
    torch.manual_seed(0)
    layer, batches = nn.Linear(3, 1), iter(torch.randn(200, 4, 3))
    with pytest.raises(CurvatureError, match="data that is shuffled"):
        preflight(
            lambda: layer(next(batches)).square().mean(), {"layer": layer.parameters()}, torch.Generator()
        )
    layer = nn.Linear(3, 1)
    with pytest.raises(CurvatureError, match="`rand`"):
        preflight(
            lambda: layer(torch.rand(4, 3)).square().mean(), {"layer": layer.parameters()}, torch.Generator()
        )

    class Moving(nn.Module):
        """A norm by the statistics of the past, which it moves in each call."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 1)
            self.register_buffer("running_mean", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            y = self.layer(x) - self.running_mean
            self.running_mean = 0.9 * self.running_mean + 0.1 * y.detach().mean()
            return y

    model, inputs = Moving(), torch.randn(4, 3) + 1
    with pytest.raises(CurvatureError, match=r"statistics that `Moving` keeps in training mode"):
        preflight(lambda: model(inputs).square().mean(), {"layer": model.parameters()}, seeded(0))


class Fused(nn.Module):
    """Attention by the fused kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(self.query(x), x, x).mean(dim=1)


def test_fused_attention_is_named_with_its_cure():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), Fused(), nn.Linear(4, 3))
    with pytest.raises(CurvatureError, match=r"`1` \(Fused\) has no double backward.*eager"):
        check(model, torch.randn(4, 2, 5, 4))


def test_a_function_that_cannot_be_derived_twice_is_named_although_autograd_takes_it_as_constant():
    torch.manual_seed(0)

    class Once(torch.autograd.Function):
        forward = staticmethod(lambda ctx, x: x * x)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, grad):
            return 2 * grad

    model = nn.Sequential(nn.Linear(4, 4), WrongBackward(Once), nn.Linear(4, 3))
    with pytest.raises(
        CurvatureError, match=r"symmetry.*custom functions that ran: `OnceBackward` in `1` \(WrongBackward\)"
    ):
        check(model, torch.randn(4, 4))


def test_the_fused_graph_kernel_of_dgl_is_an_alarm():
    os.environ.setdefault("DGLBACKEND", "pytorch")
    with warnings.catch_warnings(action="ignore"):
        import dgl  # noqa: PLC0415 - slow
        from dgl.nn.pytorch import GATConv  # noqa: PLC0415

    for seed in range(5):
        torch.manual_seed(seed)
        with warnings.catch_warnings(action="ignore"):
            graph = dgl.add_self_loop(dgl.rand_graph(12, 40))
        layer = GATConv(4, 3, 2)
        inputs, labels = torch.randn(12, 4), torch.arange(12) % 3
        with pytest.raises(CurvatureError, match=r"symmetry|central differences"):
            preflight(
                lambda: nn.functional.cross_entropy(layer(graph, inputs).mean(dim=1), labels),  # noqa: B023
                {name: [parameter] for name, parameter in layer.named_parameters()},
                torch.Generator().manual_seed(seed),
            )


def test_a_loss_without_a_graph_is_an_alarm():
    layer = nn.Linear(3, 2)
    with pytest.raises(CurvatureError, match=r"torch\.no_grad"):
        preflight(
            lambda: layer(torch.ones(3)).detach().sum(), {"layer": layer.parameters()}, torch.Generator()
        )


def test_frozen_and_unused_parameters_are_no_alarm():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))
    model[0].requires_grad_(False)
    unused = nn.Linear(2, 2)
    loss = classify(model, torch.randn(8, 4))
    preflight(lambda: loss(model), {**by_child(model), "unused": unused.parameters()}, seeded(0))


def test_one_direction_says_nothing_about_symmetry():
    known = case("mlp")
    with pytest.raises(ValueError, match="at least 2 directions"):
        preflight(known.loss, known.blocks, torch.Generator(), directions=1)
