"""What every model under study promises, whatever it is made of."""

import copy
import pickle
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from support.small import GRAPH_HAN_PROGRAM, SUBJECTS
from torch import Tensor, nn

from attention_faults.errors import InputError
from attention_faults.faults.fault import EVERYWHERE, Fault, injected
from attention_faults.subjects.subject import Subject, Task
from attention_faults.subjects.training import Plan, train

UNIFORM = Fault("uniform_attention_dispatched", EVERYWHERE, 1.0)
DEEPER = [replace(SUBJECTS[name], layers=layers) for name in ("distilbert", "decoder") for layers in (1, 5)]


@pytest.fixture(
    params=[*SUBJECTS.values(), GRAPH_HAN_PROGRAM], ids=[*SUBJECTS, f"{GRAPH_HAN_PROGRAM.name}_program"]
)
def subject(request: pytest.FixtureRequest) -> Subject:
    return request.param


@pytest.fixture
def task(subject: Subject) -> Task:
    return subject.task(seed=0)


@pytest.fixture
def model(subject: Subject, task: Task) -> nn.Module:
    return subject.build(task, seed=0).eval()


def assert_same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_it_is_found_by_its_name(subject: Subject) -> None:
    assert Subject.named(subject.name) is type(subject)


def test_unknown_name_is_the_users_error() -> None:
    with pytest.raises(InputError, match=r"no file `subjects/bert\.py`"):
        Subject.named("bert")


@pytest.mark.parametrize("subject", [*SUBJECTS.values(), GRAPH_HAN_PROGRAM, *DEEPER], ids=str)
def test_blocks_hold_every_parameter_once(subject: Subject) -> None:
    model = subject.build(subject.task(0), seed=0)
    in_blocks = [id(parameter) for block in subject.blocks(model).values() for parameter in block]
    assert sorted(in_blocks) == sorted(map(id, model.parameters()))


def test_sites_name_their_owner_and_their_blocks(subject: Subject, model: nn.Module) -> None:
    blocks = subject.blocks(model)
    for site in subject.sites(model):
        assert model.get_submodule(site.path).attention is site.attention
        for component, parameters in site.components.items():
            assert [id(p) for p in parameters] == [id(p) for p in blocks[f"{site.layer}.{component}"]]


def test_positions_and_feed_forwards_are_named_by_their_blocks(subject: Subject, model: nn.Module) -> None:
    blocks = {name: set(map(id, parameters)) for name, parameters in subject.blocks(model).items()}
    for name, positions in subject.positions(model).items():
        assert set(map(id, positions.parameters())) == blocks[name]
    for name, network in subject.feed_forwards(model).items():
        assert set(map(id, network.branch.parameters())) <= blocks[name]
        assert network.activation in list(network.branch.modules())


def test_replacing_a_step_acts_on_one_attention_of_one_model(
    subject: Subject, task: Task, model: nn.Module
) -> None:
    before = subject.outputs(model, task.test)
    broken = copy.deepcopy(model)
    for number, site in enumerate(subject.sites(broken)):
        scores = site.attention.scores
        site.attention.scores = lambda query, key, scores=scores: 5 * scores(query, key)
        assert not torch.equal(subject.outputs(broken, task.test), before), number
        del site.attention.scores
        assert torch.equal(subject.outputs(broken, task.test), before), number
    assert torch.equal(subject.outputs(model, task.test), before)


def test_a_pickled_model_gives_the_same_outputs(subject: Subject, task: Task, model: nn.Module) -> None:
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(subject.outputs(again, task.test), subject.outputs(model, task.test))


def test_loss_is_the_mean_over_samples(subject: Subject, task: Task, model: nn.Module) -> None:
    outputs = subject.outputs(model, task.test)
    assert outputs.shape == (len(task.test["label"]), task.classes)
    expected = nn.functional.cross_entropy(outputs, task.test["label"])
    torch.testing.assert_close(subject.loss(model, task.test), expected)


def test_second_derivatives_are_those_of_central_differences(subject: Subject, task: Task) -> None:
    model = subject.build(task, seed=1).eval().double()
    parameters = list(model.parameters())
    batch = {
        name: tensor[:12].double() if tensor.is_floating_point() else tensor[:12]
        for name, tensor in task.train.items()
    }

    def gradient(*, differentiable: bool = False) -> tuple[Tensor, ...]:
        return torch.autograd.grad(subject.loss(model, batch), parameters, create_graph=differentiable)

    def shift(direction: list[Tensor], step: float) -> None:
        with torch.no_grad():
            for parameter, part in zip(parameters, direction, strict=True):
                parameter.add_(step * part)

    def differences(direction: list[Tensor], step: float) -> Tensor:
        shift(direction, step)
        ahead = gradient()
        shift(direction, -2 * step)
        behind = gradient()
        shift(direction, step)
        parts = [(plus - minus) / (2 * step) for plus, minus in zip(ahead, behind, strict=True)]
        return torch.cat([part.flatten() for part in parts])

    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
        product = torch.autograd.grad(gradient(differentiable=True), parameters, direction)
        exact = torch.cat([part.flatten() for part in product])
        # the kink of a LeakyReLU may lie within one step: no single step decides
        errors = [(exact - differences(direction, step)).norm() for step in (1e-5, 1e-6, 1e-7)]
        assert min(errors) <= 1e-6 * exact.norm()


def test_same_seed_gives_the_same_task_weights_and_training(subject: Subject, task: Task) -> None:
    again = subject.task(seed=0)
    assert_same(task.train, again.train)
    assert_same(task.test, again.test)
    runs = [train(subject.build(task, seed=3), Plan.of(subject, task, seed=3)) for _ in range(2)]
    for stage in ("start", "middle", "end"):
        assert_same(runs[0].checkpoints[stage], runs[1].checkpoints[stage])


def test_other_seeds_give_other_weights(subject: Subject, task: Task) -> None:
    one, other = (subject.build(task, seed).state_dict() for seed in (0, 1))
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_building_leaves_the_global_generator_alone(subject: Subject, task: Task) -> None:
    before = torch.get_rng_state()
    subject.build(task, seed=5)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["han", "graph_han", "distilbert"])
def test_a_task_of_another_kind_is_refused(name: str) -> None:
    task = SUBJECTS[name].task(0)
    other = Task(task.train, task.test, task.classes, task.synthetic)
    with pytest.raises(TypeError, match="classifies"):
        SUBJECTS[name].build(other, seed=0)


@pytest.mark.parametrize("name", SUBJECTS)
def test_embedded_task_is_synthetic_learnt_with_attention_and_not_without(name: str) -> None:
    subject = type(SUBJECTS[name])()  # in its default size
    task = subject.task(0)
    assert task.synthetic
    plan = Plan.of(subject, task, 0)
    clean, uniform = (subject.build(task, 0) for _ in range(2))
    accuracy = train(clean, plan).scores[-1].accuracy
    with injected(UNIFORM, uniform, plan):
        without = train(uniform, plan).scores[-1].accuracy
    assert accuracy >= 0.9
    assert without <= accuracy - 0.15
