"""The decoder that reads through its cache against one that reads at once, and the task it learns."""

import copy
import pickle
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from attention_faults.subjects.decoder import Decoder, StepwiseDecoder
from attention_faults.subjects.subject import Batch, Recipe, Subject, Task
from attention_faults.subjects.training import Plan, Run, train

SMALL = Decoder(
    heads=2,
    width=8,
    feed_forward=12,
    initial_deviation=0.5,
    train_size=60,
    test_size=40,
    recipe=Recipe(epochs=2, batch_size=20, learning_rate=2e-3),
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def task() -> Task:
    return SMALL.task(seed=0)


@pytest.fixture
def model(task: Task) -> StepwiseDecoder:
    return SMALL.build(task, seed=0)


def test_subject_is_registered_by_name():
    assert Subject.registry["decoder"] is Decoder


@pytest.mark.parametrize("layers", [1, 2, 5])
def test_blocks_hold_every_parameter_once(layers, task):
    subject = Decoder(layers=layers)
    model = subject.build(task, seed=0)
    in_blocks = [id(parameter) for block in subject.blocks(model).values() for parameter in block]
    assert sorted(in_blocks) == sorted(id(parameter) for parameter in model.parameters())
    assert len(subject.blocks(model)) == 4 + 4 * layers


def test_sites_name_their_owner_and_their_blocks(model):
    blocks = SMALL.blocks(model)
    sites = SMALL.sites(model)
    assert [site.layer for site in sites] == ["layer0", "layer1"]
    for site in sites:
        assert model.get_submodule(site.path).attention is site.attention
        assert list(site.components) == ["qkv", "output"]
        for component, parameters in site.components.items():
            assert [id(p) for p in parameters] == [id(p) for p in blocks[f"{site.layer}.{component}"]]


@pytest.mark.parametrize("prompt", [1, 3, 7])
def test_steps_through_the_cache_give_what_eager_attention_gives_at_once(prompt, task, model):
    subject = replace(SMALL, prompt=prompt)
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    for site in SMALL.sites(eager):
        del eager.get_submodule(site.path).attention
    stepwise = subject.outputs(model, task.test)
    at_once = eager(task.test["input_ids"], use_cache=False).logits[:, -1]
    torch.testing.assert_close(stepwise, at_once, rtol=0, atol=1e-6)
    for logits in (stepwise, at_once):
        nn.functional.cross_entropy(logits, task.test["label"]).backward()
    for ours, theirs in zip(model.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-6)


def test_every_query_may_attend_to_its_past_alone_and_its_row_sums_to_one(task, model):
    steps = []
    for site in SMALL.sites(model):
        mask, normalise = site.attention.mask, site.attention.normalise
        site.attention.mask = lambda scores, allowed, mask=mask: (
            steps.append([allowed]) or mask(scores, allowed)
        )
        site.attention.normalise = lambda scores, normalise=normalise: (
            steps[-1].append(normalise(scores)) or steps[-1][1]
        )
    SMALL.outputs(model, task.test)
    reads = [(3, 3), (1, 4), (1, 5), (1, 6), (1, 7)]  # queries and keys of the prompt and of each token
    assert [tuple(allowed.shape[-2:]) for allowed, _ in steps[:: SMALL.layers]] == reads
    for allowed, weights in steps:
        queries, keys = allowed.shape[-2:]
        past = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
        assert (allowed == past).all()
        assert (weights[~allowed] == 0).all()
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))


@pytest.mark.parametrize("number", [0, 1])
def test_replacing_a_step_acts_on_one_model_alone(number, task, model):
    before = SMALL.outputs(model, task.test)
    broken = copy.deepcopy(model)
    attention = SMALL.sites(broken)[number].attention
    attention.scale = lambda scores, scaling: scores
    assert not torch.equal(SMALL.outputs(broken, task.test), before)
    assert torch.equal(SMALL.outputs(model, task.test), before)
    del attention.scale
    assert torch.equal(SMALL.outputs(broken, task.test), before)


class Forgetful(DynamicCache):
    """Keeps the prompt and nothing after it."""

    def update(self, key_states, value_states, layer_idx, *args, **kwargs):
        if self.get_seq_length(layer_idx):
            layer = self.layers[layer_idx]
            return torch.cat([layer.keys, key_states], -2), torch.cat([layer.values, value_states], -2)
        return super().update(key_states, value_states, layer_idx, *args, **kwargs)


def test_a_fault_can_hand_over_another_cache(task, model):
    before = SMALL.outputs(model, task.test)
    made = []
    model.new_cache = lambda: made.append(Forgetful(config=model.config)) or made[-1]
    after = SMALL.outputs(model, task.test)
    assert len(made) == 1
    assert made[0].get_seq_length() == SMALL.prompt
    assert not torch.equal(after, before)
    del model.new_cache
    assert torch.equal(SMALL.outputs(model, task.test), before)


def test_batches_share_nothing(task, model):
    halves = [
        {name: tensor[rows] for name, tensor in task.test.items()} for rows in (slice(20), slice(20, 40))
    ]
    apart = torch.cat([SMALL.outputs(model, half) for half in halves])
    torch.testing.assert_close(apart, SMALL.outputs(model, task.test), rtol=0, atol=1e-6)


def test_a_pickled_model_gives_the_same_outputs(task, model):
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(SMALL.outputs(again, task.test), SMALL.outputs(model, task.test))


def test_positions_can_be_broken_at_their_embedding(task, model):
    before = SMALL.outputs(model, task.test)
    positions = model.get_submodule("transformer.wpe")
    with positions.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output)):
        assert not torch.equal(SMALL.outputs(model, task.test), before)
    seen = []
    with positions.register_forward_pre_hook(lambda module, inputs: seen.extend(inputs[0].ravel().tolist())):
        assert torch.equal(SMALL.outputs(model, task.test), before)
    assert seen == list(range(2 * SMALL.pairs + 1))


def test_second_derivatives_are_those_of_central_differences(task):
    model = SMALL.build(task, seed=1).double()
    parameters = list(model.parameters())
    batch = {name: tensor[:12] for name, tensor in task.train.items()}
    generator = torch.Generator().manual_seed(0)

    def gradient(*, differentiable: bool = False) -> tuple[Tensor, ...]:
        return torch.autograd.grad(SMALL.loss(model, batch), parameters, create_graph=differentiable)

    def shift(direction: list[Tensor], step: float) -> None:
        with torch.no_grad():
            for parameter, part in zip(parameters, direction, strict=True):
                parameter.add_(step * part)

    step = 1e-6
    for _ in range(3):
        direction = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
        product = torch.autograd.grad(gradient(differentiable=True), parameters, direction)
        shift(direction, step)
        ahead = gradient()
        shift(direction, -2 * step)
        behind = gradient()
        shift(direction, step)
        for exact, plus, minus in zip(product, ahead, behind, strict=True):
            torch.testing.assert_close(exact, (plus - minus) / (2 * step), rtol=1e-5, atol=1e-7)


def test_same_seed_gives_the_same_task_weights_and_training(task):
    again = SMALL.task(seed=0)
    for part in ("train", "test"):
        _assert_same(getattr(task, part), getattr(again, part))
    checkpoints = []
    for _ in range(2):
        run = train(SMALL.build(task, seed=3), Plan.of(SMALL, task, seed=3))
        checkpoints.append(run.checkpoints)
    for moment in ("start", "end"):
        _assert_same(checkpoints[0][moment], checkpoints[1][moment])


def _assert_same(one: Batch, other: Batch) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_other_seeds_give_other_tasks_and_weights(task):
    assert not torch.equal(SMALL.task(seed=1).train["input_ids"], task.train["input_ids"])
    one, other = (SMALL.build(task, seed) for seed in (0, 1))
    assert not torch.equal(one.classifier.weight, other.classifier.weight)


def test_building_leaves_the_global_generator_alone(task):
    before = torch.get_rng_state()
    SMALL.build(task, seed=5)
    assert torch.equal(torch.get_rng_state(), before)


def test_label_is_the_value_before_the_key_that_is_asked_for(task):
    for part in (task.train, task.test):
        for ids, label in zip(part["input_ids"].tolist(), part["label"].tolist(), strict=True):
            *pairs, asked = ids
            values, keys = pairs[::2], pairs[1::2]
            assert len(set(keys)) == SMALL.pairs
            assert max(values) < SMALL.values <= min(keys)
            assert label == values[keys.index(asked)]


def test_no_test_sequence_occurs_in_training():
    task = Decoder(train_size=4000, test_size=500).task(seed=0)
    train, test = ({tuple(ids) for ids in part["input_ids"].tolist()} for part in (task.train, task.test))
    assert len(task.test["label"]) == 500
    assert not train & test


def _run(*, uniform: bool) -> Run:
    subject = Decoder(recipe=Recipe(epochs=2, batch_size=64, learning_rate=2e-3))
    task = subject.task(0)
    model = subject.build(task, 0)
    if uniform:
        for site in subject.sites(model):
            scores = site.attention.scores
            site.attention.scores = lambda query, key, scores=scores: torch.zeros_like(scores(query, key))
    return train(model, Plan.of(subject, task, 0))


def test_task_is_learnt_with_attention_and_not_without():
    clean, uniform = (_run(uniform=uniform).scores[-1].accuracy for uniform in (False, True))
    assert clean >= 0.9
    assert uniform <= clean - 0.15
