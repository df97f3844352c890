"""A fault: an operator at a place of a model, with a severity; injected, recorded, and undone."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attention_faults.faults.operator import TRUTH_COMPONENTS, Operator, catalogue
from attention_faults.subjects.attention import Site
from attention_faults.subjects.subject import Batch, Subject
from attention_faults.subjects.training import Plan

EVERYWHERE = "everywhere"


class NoEffectError(RuntimeError):
    """An operator that changes nothing: neither parameters, nor outputs, nor gradients, nor the plan."""


@dataclass(frozen=True)
class Fault:
    """An operator at a place.

    Attributes:
        operator: id in the catalogue.
        place: layer of an attention, name of a block, `everywhere` (every attention to which the operator
            applies), or empty for a fault of the training process.
        severity: one of the operator's.
    """

    operator: str
    place: str
    severity: float


@dataclass(frozen=True)
class Injection:
    """What an injected fault is: the plan to train by, and the blocks that are at fault."""

    plan: Plan
    truth: frozenset[str]


def places(subject: Subject, model: nn.Module, operator: Operator) -> list[str]:
    """List where an operator applies: layers of attentions, blocks, or "" for the training process."""
    if operator.target == "training":
        return [""]
    if operator.target == "block":
        return list(subject.blocks(model))
    return [site.layer for site in subject.sites(model) if _applies(operator, site)]


def _applies(operator: Operator, site: Site) -> bool:
    return site.kind in operator.kinds and (site.head_count > 1 or not operator.multihead)


def truth(operator: Operator, site: Site) -> frozenset[str]:
    """Name the blocks of an attention that are at fault; all of its blocks where it lacks those roles."""
    roles = [role for role in TRUTH_COMPONENTS[operator.truth] if site.components.get(role)]
    return frozenset(f"{site.layer}.{role}" for role in roles or site.components)


@contextmanager
def injected(fault: Fault, model: nn.Module, plan: Plan) -> Iterator[Injection]:
    """Break a model, or the plan of its training, and mend it on exit.

    Raises:
        ValueError: if the operator is unknown, or does not apply at that place with that severity.
    """
    operator = catalogue().get(fault.operator)
    if operator is None:
        raise ValueError(f"there is no fault operator `{fault.operator}`")
    if fault.severity not in operator.severities:
        raise ValueError(f"`{operator.id}` has the severities {operator.severities}, not {fault.severity}")
    possible = places(plan.subject, model, operator)
    if not possible or (fault.place not in possible and fault.place != EVERYWHERE):
        known = ", ".join(possible) or "no place of this model"
        raise ValueError(f"`{operator.id}` does not apply at `{fault.place}`; it applies at {known}")
    with ExitStack() as stack:
        if operator.target == "training":
            changed = stack.enter_context(operator.apply(plan, fault.severity, plan.seed))
            yield Injection(changed, frozenset())
        elif operator.target == "block":
            parameters = plan.subject.blocks(model)[fault.place]
            stack.enter_context(operator.apply(parameters, fault.severity, plan.seed))
            yield Injection(plan, frozenset({fault.place}))
        else:
            chosen = [
                site
                for site in plan.subject.sites(model)
                if _applies(operator, site) and fault.place in (site.layer, EVERYWHERE)
            ]
            for site in chosen:
                stack.enter_context(operator.apply(site, fault.severity, plan.seed))
            yield Injection(plan, frozenset().union(*(truth(operator, site) for site in chosen)))


def check_effect(fault: Fault, model: nn.Module, plan: Plan, batch: Batch) -> None:
    """Make sure that a fault changes parameters, outputs, gradients or the plan, right after injection.

    Raises:
        NoEffectError: if it changes nothing.
    """
    before = _fingerprint(model, plan, batch)
    with injected(fault, model, plan) as injection:
        after = _fingerprint(model, injection.plan, batch)
        same_plan = injection.plan.recipe == plan.recipe and _equal(
            injection.plan.task.train, plan.task.train
        )
    if same_plan and _equal(before, after):
        raise NoEffectError(f"`{fault.operator}` at `{fault.place}` changes nothing in `{plan.subject.name}`")


def _fingerprint(model: nn.Module, plan: Plan, batch: Batch) -> dict[str, Tensor]:
    """Parameters, outputs and gradients of the loss; a missing gradient is an empty tensor."""
    found = {name: value.detach().clone() for name, value in model.state_dict().items()}
    named = dict(model.named_parameters())
    trained = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
    gradients = torch.autograd.grad(plan.loss(model, batch), list(trained.values()), allow_unused=True)
    for name, gradient in zip(trained, gradients, strict=True):
        found[f"gradient of {name}"] = torch.empty(0) if gradient is None else gradient
    found["outputs"] = plan.subject.outputs(model, batch).detach()
    return found


def _equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
