"""A fault: an operator at a place of a model, with a severity; injected, recorded, and undone."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attention_faults.errors import InputError, nearest, shown
from attention_faults.faults.operator import TRUTH_COMPONENTS, Operator, catalogue
from attention_faults.subjects.attention import Site
from attention_faults.subjects.subject import Batch, Subject
from attention_faults.subjects.training import CRASHES, Plan

EVERYWHERE = "everywhere"


class NoEffectError(RuntimeError):
    """An operator that changes nothing: neither parameters, nor outputs, nor gradients, nor the plan."""


@dataclass(frozen=True)
class Fault:
    """An operator at a place.

    Attributes:
        operator: id in the catalogue.
        place: layer of an attention, name of a block, `everywhere` (all places where the operator applies),
            or empty for a fault of the training process.
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


@dataclass(frozen=True)
class Spot:
    """What an operator is applied to at one place, and the blocks that are then at fault."""

    target: object
    truth: frozenset[str]


def spots(operator: Operator, subject: Subject, model: nn.Module) -> dict[str, Spot]:
    """Find where an operator applies in a model, by place; nowhere in particular for the training process."""
    sites = [site for site in subject.sites(model) if _applies(operator, site)]
    found: dict[str, Spot] = {}
    match operator.target:
        case "attention":
            found = {site.layer: Spot(site, truth(operator, site)) for site in sites}
        case "attentions" if len(sites) > 1:
            found = {
                site.layer: Spot([*sites[number:], *sites[:number]], truth(operator, site))
                for number, site in enumerate(sites)
            }
        case "positions" if sites:
            found = _alone(subject.positions(model))
        case "feed_forward":
            found = _alone(subject.feed_forwards(model))
        case "block":
            of_attention = [block for site in subject.sites(model) for block in _blocks(site)]
            blocks = subject.blocks(model).items()
            found = _alone({name: block for name, block in blocks if name not in of_attention})
        case "training":
            found = {"": Spot(None, frozenset())}
    return found


def _alone(targets: Mapping[str, object]) -> dict[str, Spot]:
    """Make a spot of each target that has a block to itself."""
    return {block: Spot(target, frozenset({block})) for block, target in targets.items()}


def places(operator: Operator, subject: Subject, model: nn.Module) -> list[str]:
    """List where an operator applies: layers of attentions, blocks, or "" for the training process."""
    return list(spots(operator, subject, model))


def _applies(operator: Operator, site: Site) -> bool:
    has = {
        "heads": site.head_count > 1,
        "value": "value" in site.components,
        "cache": site.cache is not None,
        "mask": site.masked,
        "earlier_queries": not site.last_query_only,
        "source": hasattr(site.attention, "source"),
    }
    return (not operator.kinds or site.kind in operator.kinds) and all(
        has[need] for need in operator.requires
    )


def _blocks(site: Site) -> list[str]:
    return [f"{site.layer}.{role}" for role in site.components]


def truth(operator: Operator, site: Site) -> frozenset[str]:
    """Name the blocks of an attention that are at fault; all of its blocks where it lacks those roles."""
    roles = [role for role in TRUTH_COMPONENTS[operator.truth] if site.components.get(role)]
    return frozenset(f"{site.layer}.{role}" for role in roles or site.components)


def unknown(operator: str) -> str:
    """Say that there is no such operator."""
    return f"there is no fault operator `{shown(operator)}`{nearest(operator, catalogue())}"


def find(fault: Fault, subject: Subject, model: nn.Module) -> tuple[Operator, list[Spot]]:
    """Find the operator of a fault and the spots that it breaks.

    Raises:
        InputError: if the operator is unknown, or does not apply at that place with that severity.
    """
    operator = catalogue().get(fault.operator)
    if operator is None:
        raise InputError(unknown(fault.operator))
    if fault.severity not in operator.severities:
        raise InputError(f"`{operator.id}` has the severities {operator.severities}, not {fault.severity}")
    possible = spots(operator, subject, model)
    everywhere = fault.place == EVERYWHERE and operator.target != "training"
    chosen = [spot for place, spot in possible.items() if everywhere or place == fault.place]
    if not chosen:
        known = ", ".join(f"`{place}`" for place in possible) or "no place of this model"
        raise InputError(f"`{operator.id}` does not apply at `{shown(fault.place)}`; it applies at {known}")
    return operator, chosen


@contextmanager
def injected(fault: Fault, model: nn.Module, plan: Plan) -> Iterator[Injection]:
    """Break a model, or the plan of its training, and mend it on exit.

    Raises:
        InputError: if the operator is unknown, or does not apply at that place with that severity.
    """
    operator, chosen = find(fault, plan.subject, model)
    with ExitStack() as stack:
        if operator.target == "training":
            yield Injection(stack.enter_context(operator.apply(plan, fault.severity, plan.seed)), frozenset())
        else:
            # all are prepared before any takes effect: one may read what another changes
            for change in [operator.apply(spot.target, fault.severity, plan.seed) for spot in chosen]:
                stack.enter_context(change)
            yield Injection(plan, frozenset().union(*(spot.truth for spot in chosen)))


def check_effect(fault: Fault, model: nn.Module, plan: Plan, batch: Batch) -> None:
    """Make sure that a fault changes parameters, outputs, gradients or the plan, right after injection.

    The model is left in evaluation mode: dropout would differ between any two calls.

    Raises:
        NoEffectError: if it changes nothing. To crash is an effect.
    """
    model.eval()
    before = fingerprint(model, plan, batch)
    with injected(fault, model, plan) as injection:
        try:
            after = fingerprint(model, injection.plan, batch)
        except CRASHES:
            return
        same_plan = injection.plan.recipe == plan.recipe and _equal(
            injection.plan.task.train, plan.task.train
        )
    if same_plan and _equal(before, after):
        raise NoEffectError(f"`{fault.operator}` at `{fault.place}` changes nothing in `{plan.subject.name}`")


def fingerprint(model: nn.Module, plan: Plan, batch: Batch) -> dict[str, Tensor]:
    """Copy parameters, outputs and the gradient that an optimiser sees; what it misses is an empty tensor."""
    found = {name: value.detach().clone() for name, value in model.state_dict().items()}
    model.zero_grad()
    plan.loss(model, batch).backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        found[f"gradient of {name}"] = torch.empty(0) if parameter.grad is None else parameter.grad.clone()
    model.zero_grad()
    found["outputs"] = plan.subject.outputs(model, batch).detach()
    return found


def _equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
