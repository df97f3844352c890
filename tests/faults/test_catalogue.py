"""No silent no-op: every operator, at every place and severity of every model under study."""

import hashlib
from collections.abc import Iterator
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from attention_faults.faults.fault import EVERYWHERE, Fault, check_effect, fingerprint, injected, places
from attention_faults.faults.operator import catalogue
from attention_faults.subjects.graph_han import GraphHan
from attention_faults.subjects.subject import Batch, Subject
from attention_faults.subjects.training import Plan

EMBEDDED = ["han", "graph_han", "cnn3d", "distilbert", "decoder"]
OTHERS: dict[str, Subject] = {"graph_han_program": GraphHan(network="program")}
SUBJECTS = [*EMBEDDED, *OTHERS]


@cache
def studied(name: str) -> tuple[Plan, nn.Module, Batch]:
    """A model in its default size, made once: whatever a fault leaves behind shows in the next test."""
    subject = OTHERS.get(name) or Subject.named(name)()
    plan = Plan.of(subject, subject.task(0), seed=1)
    batch = {key: tensor[:32] for key, tensor in plan.task.train.items()}
    return plan, subject.build(plan.task, seed=1).eval(), batch


def faults(name: str, operator: str) -> Iterator[Fault]:
    plan, model, _ = studied(name)
    entry = catalogue()[operator]
    for place in places(entry, plan.subject, model):
        for severity in entry.severities:
            yield Fault(operator, place, severity)


CASES = [
    pytest.param(name, operator, id=f"{name}-{operator}")
    for name in SUBJECTS
    for operator in catalogue()
    if any(faults(name, operator))
]


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("name", "operator"), CASES)
def test_operator_has_an_effect(name: str, operator: str) -> None:
    plan, model, batch = studied(name)
    for fault in faults(name, operator):
        check_effect(fault, model, plan, batch)


@pytest.mark.parametrize(("name", "operator"), CASES)
def test_only_the_blocks_at_fault_change_and_all_is_mended_on_exit(name: str, operator: str) -> None:
    plan, model, batch = studied(name)
    before, outputs = state_of(model), plan.subject.outputs(model, batch)
    blocks = plan.subject.blocks(model)
    originals = {block: [p.detach().clone() for p in parameters] for block, parameters in blocks.items()}
    for fault in faults(name, operator):
        with injected(fault, model, plan) as injection:
            touched = {
                block
                for block, parameters in blocks.items()
                if not all(map(torch.equal, parameters, originals[block]))
            }
        assert touched <= injection.truth <= blocks.keys()
        # a fault that changes the start only is a fault of parameters, and all blocks at fault have them
        assert catalogue()[operator].persists or touched == injection.truth
        assert bool(injection.truth) == (catalogue()[operator].truth != "none")
    assert same(state_of(model), before)
    assert torch.equal(plan.subject.outputs(model, batch), outputs)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("name", "operator"), CASES)
def test_loss_with_a_fault_is_the_same_in_two_calls(name: str, operator: str) -> None:
    plan, model, batch = studied(name)
    for fault in faults(name, operator):
        with injected(fault, model, plan) as injection:
            first, second = (injection.plan.loss(model, batch) for _ in range(2))
        assert torch.equal(first, second) or first.isnan()


@pytest.mark.parametrize("name", SUBJECTS)
def test_fault_everywhere_has_the_truth_of_all_places(name: str) -> None:
    plan, model, _ = studied(name)
    entry = catalogue()["uniform_attention_dispatched"]
    severity = entry.severities[0]
    joint: set[str] = set()
    for place in places(entry, plan.subject, model):
        with injected(Fault(entry.id, place, severity), model, plan) as injection:
            joint |= injection.truth
    with injected(Fault(entry.id, EVERYWHERE, severity), model, plan) as injection:
        assert injection.truth == joint


@pytest.mark.parametrize("name", SUBJECTS)
def test_no_two_faults_are_the_same(name: str) -> None:
    plan, model, _ = studied(name)
    seen: dict[bytes, Fault] = {}
    for operator in catalogue():
        for fault in faults(name, operator):
            if not fault.place or "not_registered" in operator or operator == "block_not_trained":
                continue  # a training process, or a gradient that stays away, is no matter of numbers
            key = hashlib.sha256()
            with injected(fault, model, plan) as injection:
                for rows in (slice(32), slice(32, 64)):  # by chance one batch may start without padding
                    batch = {name: tensor[rows] for name, tensor in plan.task.train.items()}
                    for value in fingerprint(model, injection.plan, batch).values():
                        key.update(value.numpy().tobytes())
            assert key.digest() not in seen, f"{fault} is {seen[key.digest()]}"
            seen[key.digest()] = fault


@pytest.mark.parametrize("name", ["graph_han", "graph_han_program"])
def test_metapaths_mixed_up_everywhere_each_take_the_next(name: str) -> None:
    plan, model, _ = studied(name)
    edges = [site.attention.edges for site in plan.subject.sites(model)[:3]]
    with injected(Fault("metapath_mixed_up", EVERYWHERE, 1.0), model, plan):
        mixed = [site.attention.edges for site in plan.subject.sites(model)[:3]]
    assert [id(one) for one in mixed] == [id(edges[1]), id(edges[2]), id(edges[0])]
