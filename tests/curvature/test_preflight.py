"""What the checks let pass, and what they do not."""

import os
import warnings
from collections.abc import Callable
from functools import partial

import pytest
import torch
from support.curvature import SUBJECTS, by_child, case, classify, seeded
from torch import Tensor, nn

from attention_faults.curvature.errors import CurvatureError
from attention_faults.curvature.operators import BlockHessian
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


class Track(nn.Module):
    """A layer that keeps a mean by assigning it anew."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        self.seen = 0.9 * self.seen + 0.1 * y.detach().mean()
        return y


class Headed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh())
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def ways_of_running() -> dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]]:
    sliced = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3))
    headed, track = Headed(), Track()
    return {
        "slices": (sliced, lambda x: sliced[3](sliced[:3](x))),
        "parts_then_whole": (headed, lambda x: headed.head(headed.body(x)) + headed(x)),
        "assigned": (track, track),
    }


@pytest.mark.parametrize("name", ["slices", "parts_then_whole", "assigned"])
def test_buffers_are_as_before_however_they_are_reached(name):
    torch.manual_seed(0)
    model, run = ways_of_running()[name]
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    inputs, labels = torch.randn(8, 4), torch.arange(8) % 3
    preflight(
        lambda: nn.functional.cross_entropy(run(inputs), labels), {"all": model.parameters()}, seeded(0)
    )
    for key, tensor in model.state_dict().items():
        assert tensor.dtype == before[key].dtype
        assert torch.equal(tensor, before[key])


def test_graphs_and_random_numbers_of_others_are_as_before():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    classified = classify(model, torch.randn(8, 4).double())
    hessian = BlockHessian(lambda: classified(model), by_child(model))
    vector = torch.ones(hessian.shape[1], dtype=torch.double)
    before, state = hessian @ vector, torch.get_rng_state()

    def loss() -> Tensor:
        torch.rand(1)
        return classified(model)

    preflight(loss, by_child(model), seeded(0))
    assert torch.equal(hessian @ vector, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_operator_made_before_the_check_of_a_single_precision_model_says_so():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    loss = partial(classify(model, torch.randn(8, 4)), model)
    hessian = BlockHessian(loss, by_child(model))
    preflight(loss, by_child(model), seeded(0))
    with pytest.raises(CurvatureError, match=r"block `0` has changed since .*after a preflight"):
        hessian @ torch.ones(hessian.shape[1])


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_a_single_precision_model_may_start_with_a_recurrent_module(kind, by_name):
    torch.manual_seed(0)
    model, inputs, labels = kind(4, 3, batch_first=True), torch.randn(6, 5, 4), torch.arange(6) % 3

    def loss() -> Tensor:
        states, _ = model(input=inputs) if by_name else model(inputs)
        return nn.functional.cross_entropy(states[:, -1], labels)

    assert preflight(loss, {"all": model.parameters()}, seeded(0)).symmetry <= 1e-11


def test_several_batches_are_checked_as_their_mean():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    losses = [partial(classify(model, torch.randn(size, 4)), model) for size in (8, 4)]
    assert preflight(losses, by_child(model), seeded(0)).difference <= 1e-6
    wrong = nn.Sequential(model, WrongBackward(WrongDouble))
    bad = partial(classify(wrong, torch.randn(8, 4)), wrong)
    with pytest.raises(CurvatureError, match="central differences"):
        preflight([losses[0], bad], by_child(model), seeded(0))


def test_what_a_closure_writes_in_place_is_not_lost_in_silence():
    torch.manual_seed(0)
    layer, inputs, space = nn.Linear(4, 3), torch.randn(8, 4), torch.zeros(8)

    def loss() -> Tensor:
        space[:] = inputs[:, 0]
        result = (layer(inputs).exp().mean(dim=1) * space.clone()).mean()
        space.zero_()
        return result

    with pytest.raises(CurvatureError, match=r"precision: the loss in torch.float32 differs.*anew"):
        preflight(loss, {"layer": layer.parameters()}, seeded(0))


def saturated(model: nn.Module, inputs: Tensor) -> Callable[[], Tensor]:
    """A loss that is next to zero, since its labels are what the model says."""
    labels = model(inputs).argmax(dim=1)
    return lambda: nn.functional.cross_entropy(300 * model(inputs), labels)


def test_rounding_in_single_precision_is_called_so():
    for seed, check_named in ((0, "symmetry"), (5, "precision")):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        loss = saturated(model, torch.randn(8, 4))
        with pytest.raises(CurvatureError, match=rf"{check_named}: .*rounding.*use double precision"):
            preflight(loss, {"all": model.parameters()}, seeded(0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_has_its_own_bounds(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)
    assert 1e-5 < check(model, torch.randn(8, 4, dtype=dtype)).symmetry_own <= 0.2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_hessian_of_nothing_but_rounding_is_no_alarm(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)
    inputs = torch.randn(16, 4, dtype=dtype)
    loss = classify(model, inputs)
    preflight(lambda: loss(model), {"bias that the norm takes away": [model[0].bias]}, seeded(0))
    preflight(lambda: model(inputs).softmax(dim=1).sum(), {"sum of shares": model.parameters()}, seeded(0))


def test_derivatives_that_are_not_finite_are_named_with_their_blocks():
    weight, other = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(2))
    blocks = {"root": [weight], "other": [other]}
    with pytest.raises(CurvatureError, match="finite: the gradient is not finite in `root` "):
        preflight(lambda: weight.square().sum().sqrt() + other.square().sum(), blocks, seeded(0))
    with pytest.raises(CurvatureError, match="finite: a product with the Hessian is not finite in `root` "):
        preflight(lambda: weight.abs().pow(1.5).sum() + other.square().sum(), blocks, seeded(0))


def test_a_kink_at_the_parameters_is_mentioned():
    weight, inputs = nn.Parameter(torch.zeros(3)), torch.eye(3)
    with pytest.raises(
        CurvatureError, match=r"gradient: it differs.*or a kink lies at these very parameters"
    ):
        preflight(lambda: (inputs @ weight).relu().sum(), {"weight": [weight]}, seeded(0))


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


def test_a_power_iteration_is_named_as_a_statistic():
    torch.manual_seed(0)
    model = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)), nn.Linear(4, 3))
    with pytest.raises(CurvatureError, match=r"determinism.*statistics that .*\(_SpectralNorm\) keeps"):
        check(model, torch.randn(8, 4))


def test_a_power_iteration_next_to_its_end_is_a_suspect():
    torch.manual_seed(0)
    model = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)), nn.Linear(4, 3))
    for _ in range(12):
        model(torch.ones(4))
    with pytest.raises(CurvatureError, match=r"change with each call: .*\(_SpectralNorm\)"):
        check(model, torch.randn(8, 4))


class Attending(nn.Module):
    def __init__(self, *, weights: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.weights, self.attention = weights, nn.MultiheadAttention(4, 2, dropout, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=self.weights)[0].mean(dim=1)


class Last(nn.Module):
    """The last state of a recurrent module with dropout between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 4, 2, dropout=0.5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(x)[0][:, -1]


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (lambda: Attending(weights=True, dropout=0.5), r"`0.attention` \(MultiheadAttention\)"),
        (Last, r"`0.gru` \(GRU\)"),
        (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(4), nn.RReLU()), r"`rrelu` in `0.2` \(RReLU\)"),
    ],
)
def test_randomness_inside_of_functions_is_named(layer, named):
    torch.manual_seed(0)
    model, inputs = nn.Sequential(layer(), nn.Linear(4, 3)), torch.randn(6, 5, 4)
    model(inputs)
    with pytest.raises(CurvatureError, match=rf"determinism.*{named}.*evaluation mode"):
        check(model, inputs)
    check(model.eval(), inputs)


def test_normalised_data_are_not_taken_for_random_ones():
    torch.manual_seed(0)
    layer, batches = nn.Linear(3, 1), iter(torch.randn(200, 4, 3))
    with pytest.raises(CurvatureError, match="data that is shuffled"):
        preflight(
            lambda: layer(nn.functional.normalize(next(batches))).square().mean(),
            {"layer": layer.parameters()},
            seeded(0),
        )


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


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (lambda: Attending(weights=False), r"`0.attention` \(MultiheadAttention\)"),
        (
            lambda: nn.Sequential(nn.TransformerEncoderLayer(4, 2, 4, 0.0, batch_first=True), nn.Flatten()),
            r"`0.0.self_attn` \(MultiheadAttention\)",
        ),
    ],
)
def test_fused_attention_inside_of_a_function_is_named_and_its_cure_is_one(layer, named):
    torch.manual_seed(0)
    model, inputs = nn.Sequential(layer(), nn.LazyLinear(3)), torch.randn(6, 5, 4)
    model(inputs)
    with pytest.raises(CurvatureError, match=rf"{named} has no double backward.*SDPBackend.MATH"):
        check(model, inputs)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        check(model, inputs)


def test_a_bag_of_embeddings_is_named_with_its_cure():
    torch.manual_seed(0)
    model = nn.Sequential(nn.EmbeddingBag(9, 4), nn.Tanh(), nn.Linear(4, 3))
    with pytest.raises(CurvatureError, match=r"`0` \(EmbeddingBag\) has no double backward.*nn.Embedding"):
        check(model, torch.randint(9, (6, 5)))


def test_a_function_that_cannot_be_derived_twice_is_named_although_autograd_takes_it_as_constant():
    torch.manual_seed(0)

    class Once(torch.autograd.Function):
        forward = staticmethod(lambda ctx, x: ctx.save_for_backward(x) or x * x)

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, grad):
            return 2 * ctx.saved_tensors[0] * grad

    model = nn.Sequential(nn.Linear(4, 4), WrongBackward(Once), nn.Linear(4, 3))
    with pytest.raises(
        CurvatureError,
        match=r"differences.*custom functions that ran: `OnceBackward` in `1` \(WrongBackward\)",
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
