"""The decoder that reads through its cache against one that reads at once, and the task it learns."""

import copy
from dataclasses import replace

import pytest
import torch
from support.small import SUBJECTS
from torch import nn
from transformers import DynamicCache

from attention_faults.subjects.decoder import Decoder, StepwiseDecoder
from attention_faults.subjects.subject import Batch, Task

SMALL = SUBJECTS["decoder"]


@pytest.fixture(scope="module")
def task() -> Task:
    return SMALL.task(seed=0)


@pytest.fixture
def model(task: Task) -> StepwiseDecoder:
    return SMALL.build(task, seed=0)


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


def test_positions_can_be_broken_at_their_embedding(task, model):
    before = SMALL.outputs(model, task.test)
    positions = model.get_submodule("transformer.wpe")
    with positions.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output)):
        assert not torch.equal(SMALL.outputs(model, task.test), before)
    seen = []
    with positions.register_forward_pre_hook(lambda module, inputs: seen.extend(inputs[0].ravel().tolist())):
        assert torch.equal(SMALL.outputs(model, task.test), before)
    assert seen == list(range(2 * SMALL.pairs + 1))


def _assert_same(one: Batch, other: Batch) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


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
