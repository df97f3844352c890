"""Small models whose Hessian is known by central differences of the gradient, without any double backward."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from attention_faults.curvature.operators import BlockOperator
from attention_faults.subjects.subject import Subject

# a new subject needs a line here: its sizes, and how many samples of its task
SUBJECTS: dict[str, tuple[dict[str, Any], int]] = {
    "han": (
        {
            "embedding": 3,
            "hidden": 2,
            "classes": 3,
            "weights": 2,
            "sentences": 3,
            "words": 3,
            "train_size": 12,
        },
        6,
    ),
    "graph_han": ({"heads": 2, "size": 2, "semantic": 3, "communities": 4, "members": 4, "inputs": 4}, 8),
    "cnn3d": (
        {
            "channels": 4,
            "width": 4,
            "heads": 2,
            "latents": 2,
            "feed_forward": 3,
            "frames": 4,
            "size": 8,
            "classes": 2,
            "train_size": 12,
        },
        6,
    ),
    "distilbert": (
        {"layers": 2, "heads": 2, "width": 4, "feed_forward": 5, "keys": 3, "length": 4, "train_size": 12},
        6,
    ),
    "decoder": (
        {"layers": 2, "heads": 2, "width": 4, "feed_forward": 5, "train_size": 12, "test_size": 2},
        6,
    ),
}


class Closed(nn.Module):
    """A model with its data and its loss."""

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module], Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self) -> Tensor:
        return self.loss(self.model)


@dataclass(frozen=True)
class Case:
    """A loss in double precision with its blocks."""

    name: str
    closed: Closed
    blocks: dict[str, list[nn.Parameter]]

    def __str__(self) -> str:
        return self.name

    @property
    def loss(self) -> Callable[[], Tensor]:
        return self.closed

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for block in self.blocks.values() for parameter in block]

    def slices(self) -> dict[str, slice]:
        """Where each block lies in a flat vector."""
        places, start = {}, 0
        for name, block in self.blocks.items():
            places[name] = slice(start, start := start + sum(p.numel() for p in block))
        return places


def gradient(loss: Callable[[], Tensor], parameters: list[nn.Parameter]) -> Tensor:
    found = torch.autograd.grad(loss(), parameters, allow_unused=True)
    flat = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]
    return torch.cat([g.flatten() for g in flat])


def dense_by_differences(
    loss: Callable[[], Tensor], parameters: list[nn.Parameter], step: float = 3e-6
) -> Tensor:
    """Central differences of the gradient over every coordinate: (n, n)."""
    columns = []
    for parameter in parameters:
        flat = parameter.data.view(-1)  # unseen by autograd, which guards values that graphs hold
        for i in range(parameter.numel()):
            value = flat[i].item()
            flat[i] = value + step
            ahead = gradient(loss, parameters)
            flat[i] = value - step
            behind = gradient(loss, parameters)
            flat[i] = value
            columns.append((ahead - behind) / (2 * step))
    return torch.stack(columns, dim=1)


def second_voice(case: Case) -> Tensor:
    """The Hessian by `torch.autograd.functional.hessian`, (n, n)."""
    names = {id(parameter): name for name, parameter in case.closed.named_parameters()}

    def loss(flat: Tensor) -> Tensor:
        pieces = flat.split([p.numel() for p in case.parameters])
        values = {names[id(p)]: v.view(p.shape) for p, v in zip(case.parameters, pieces, strict=True)}
        result: Tensor = functional_call(case.closed, values, ())
        return result

    start = torch.cat([p.detach().flatten() for p in case.parameters])
    hessian: Tensor = torch.autograd.functional.hessian(loss, start)
    return hessian


def by_child(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """One block for each child that has parameters."""
    blocks = {name: list(child.parameters()) for name, child in model.named_children()}
    return {name: block for name, block in blocks.items() if block}


def classify(model: nn.Module, inputs: Tensor, classes: int = 3) -> Callable[[nn.Module], Tensor]:
    labels = torch.arange(len(inputs)) % classes
    return lambda network: nn.functional.cross_entropy(network(inputs).flatten(start_dim=1), labels)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.double)


def sequential(name: str, inputs: Tensor, *layers: nn.Module, training: bool = True) -> Case:
    model = nn.Sequential(*layers).double().train(training)
    with torch.no_grad():  # weights of norms are not 1, as after training
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return Case(name, Closed(model, classify(model, inputs)), by_child(model))


class CrossAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(3, 4)
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, both: Tensor) -> Tensor:
        states = self.read(both)
        output, _ = self.attend(states[:, :2], states[:, 2:], states[:, 2:], need_weights=True)
        logits: Tensor = self.head(output.mean(dim=1))
        return logits


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 3, batch_first=True)
        self.head = nn.Linear(3, 3)

    def forward(self, sequence: Tensor) -> Tensor:
        logits: Tensor = self.head(self.gru(sequence)[0][:, -1])
        return logits


def mlp() -> Case:
    return sequential(
        "mlp", normal(8, 4), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)
    )


def layer_norm() -> Case:
    return sequential(
        "layer_norm", normal(8, 4), nn.Linear(4, 5), nn.LayerNorm(5), nn.GELU(), nn.Linear(5, 3)
    )


def batch_norm_train() -> Case:
    layers = nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)
    return sequential("batch_norm_train", normal(8, 4), *layers)


def batch_norm_eval() -> Case:
    layers = nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)
    return sequential("batch_norm_eval", normal(8, 4), *layers, training=False)


def instance_norm() -> Case:
    layers = nn.Conv1d(2, 4, 2), nn.InstanceNorm1d(4, affine=True), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
    return sequential("instance_norm", normal(6, 2, 4), *layers)


def group_norm() -> Case:
    layers = nn.Conv1d(2, 4, 2), nn.GroupNorm(2, 4), nn.Tanh(), nn.Flatten(), nn.Linear(12, 3)
    return sequential("group_norm", normal(6, 2, 4), *layers)


def conv3d() -> Case:
    layers = nn.Conv3d(1, 3, 2), nn.Softplus(), nn.AvgPool3d(2), nn.Flatten(), nn.Linear(3, 3)
    return sequential("conv3d", normal(5, 1, 3, 3, 3), *layers)


def gru() -> Case:
    model = Recurrent().double()
    return Case("gru", Closed(model, classify(model, normal(6, 4, 3))), by_child(model))


def cross_attention() -> Case:
    model = CrossAttention().double()
    return Case("cross_attention", Closed(model, classify(model, normal(6, 5, 3))), by_child(model))


def of_subject(name: str) -> Case:
    sizes, samples = SUBJECTS[name]
    subject = Subject.named(name)(**sizes)
    task = subject.task(seed=0)
    model = subject.build(task, seed=0).double()
    batch = {
        key: tensor[:samples].double() if tensor.is_floating_point() else tensor[:samples]
        for key, tensor in task.train.items()
    }
    return Case(name, Closed(model, lambda network: subject.loss(network, batch)), subject.blocks(model))


MODELS = {
    make.__name__: make
    for make in (
        mlp,
        layer_norm,
        batch_norm_train,
        batch_norm_eval,
        instance_norm,
        group_norm,
        conv3d,
        gru,
        cross_attention,
    )
}
ALL = [*MODELS, *SUBJECTS]


@cache
def case(name: str) -> Case:
    """Make a case, the same at each call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return MODELS[name]() if name in MODELS else of_subject(name)


@cache
def dense(name: str) -> Tensor:
    """The oracle of a case, (n, n)."""
    known = case(name)
    return dense_by_differences(known.loss, known.parameters)


def relative(one: Tensor, other: Tensor) -> float:
    """Distance relative to the second."""
    return ((one - other).norm() / other.norm()).item()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def indefinite(size: int, shift: float = 0.0) -> Tensor:
    """A symmetric matrix with eigenvalues of both signs, the same at each call."""
    drawn = torch.randn(size, size, generator=seeded(size), dtype=torch.double)
    return (drawn + drawn.T) / (8 * size) ** 0.5 + shift * torch.eye(size, dtype=torch.double)


class Dense(BlockOperator):
    """A known matrix as an operator of blocks."""

    def __init__(self, matrix: Tensor, sizes: dict[str, int]) -> None:
        blocks = {name: [nn.Parameter(torch.zeros(size, dtype=matrix.dtype))] for name, size in sizes.items()}
        super().__init__(blocks, probes_at_once=64)
        self.matrix, self.batched = matrix, True
        starts = torch.tensor([0, *sizes.values()]).cumsum(0).tolist()
        self.places = [slice(a, b) for a, b in itertools.pairwise(starts)]

    def _multiply(self, vectors: dict[int, Tensor], rows: Sequence[int], *, batched: bool) -> list[Any]:
        def entry(row: int, place: int) -> Tensor:
            return self.matrix[self.places[row], self.places[place]]

        return [sum(v @ entry(row, place).T for place, v in vectors.items()) for row in rows]


def operator_of(name: str) -> Dense:
    """The oracle of a case as an operator, symmetric to the last bit."""
    matrix = dense(name)
    sizes = {block: place.stop - place.start for block, place in case(name).slices().items()}
    return Dense((matrix + matrix.T) / 2, sizes)
