"""A fault changes what it says it changes, nothing else, and nothing stays behind."""

import copy
from dataclasses import replace

import pytest
import torch
from support.tiny import Tiny
from torch import nn

from attention_faults.errors import InputError
from attention_faults.faults import fault as faults
from attention_faults.faults.fault import Fault, NoEffectError, check_effect, injected, places
from attention_faults.faults.injection import changed, replaced, unregistered
from attention_faults.faults.operator import CATALOGUE, NOT_SHOWN, Operator, catalogue
from attention_faults.faults.rounding import rounded
from attention_faults.subjects.distilbert import DistilBert
from attention_faults.subjects.subject import Recipe
from attention_faults.subjects.training import Plan, train
from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC, Codebook

SUBJECTS = {"self": Tiny(kind="self"), "causal_self": Tiny(kind="causal_self")}


def plan_of(kind: str) -> Plan:
    subject = SUBJECTS[kind]
    return Plan.of(subject, subject.task(0), seed=1)


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(model.state_dict())


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", SUBJECTS)
def test_steps_and_gradients_are_put_back_on_exit(kind: str) -> None:
    plan = plan_of(kind)
    model = plan.subject.build(plan.task, seed=1)
    steps = dict(vars(model.attention))
    for operator in catalogue().values():
        for place in places(operator, plan.subject, model):
            with injected(Fault(operator.id, place, operator.severities[0]), model, plan):
                pass
    assert dict(vars(model.attention)) == steps
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("operator", ["wrong_scale", "comparison_starts_at_zero", "labels_wrong"])
def test_same_seed_trains_to_the_same_bytes(operator: str) -> None:
    def end() -> dict[str, torch.Tensor]:
        plan = plan_of("self")
        model = plan.subject.build(plan.task, seed=1)
        chosen = catalogue()[operator]
        fault = Fault(operator, places(chosen, plan.subject, model)[0], chosen.severities[0])
        with injected(fault, model, plan) as injection:
            return train(model, injection.plan).checkpoints["end"]

    assert same(end(), end())


def test_trained_parameters_are_kept_when_a_starting_fault_ends() -> None:
    plan = plan_of("self")
    model = plan.subject.build(plan.task, seed=1)
    fault = Fault("comparison_starts_badly_scaled", "attention", 0.01)
    with injected(fault, model, plan) as injection:
        run = train(model, injection.plan)
    assert same(state_of(model), run.checkpoints["end"])


def test_crash_of_a_faulty_run_is_a_result() -> None:
    plan = plan_of("self")
    model = plan.subject.build(plan.task, seed=1)
    with replaced(model.attention, normalise=lambda scores: scores / 0):
        run = train(model, plan)
    assert run.outcome == "crashed"
    assert "the test loss is nan after epoch 0" in run.message


def test_operator_that_changes_nothing_fails_loudly(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = Operator(
        **{**vars(catalogue()["wrong_scale"]), "id": "idle", "severities": (1.0,),
           "apply": lambda site, severity, seed: replaced(site.attention, scale=site.attention.scale)}
    )  # fmt: skip
    monkeypatch.setitem(CATALOGUE, "idle", idle)
    plan = plan_of("self")
    with pytest.raises(NoEffectError, match="`idle` at `attention` changes nothing in `tiny`"):
        check_effect(Fault("idle", "attention", 1.0), plan.subject.build(plan.task, 1), plan, plan.task.test)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("no_such", "attention", 1.0), "no fault operator `no_such`"),
        (Fault("wrong_scale", "attention", 1.0), r"has the severities \(.*\), not 1.0"),
        (Fault("wrong_scale", "layer7", 3.0), "does not apply at `layer7`; it applies at `attention`"),
        (Fault("causal_mask_leaks", "everywhere", 1.0), "it applies at no place of this model"),
    ],
)
def test_fault_that_does_not_fit_is_refused(fault: Fault, message: str) -> None:
    plan = plan_of("self")
    model = plan.subject.build(plan.task, seed=1)
    with pytest.raises(InputError, match=message), injected(fault, model, plan):
        pass


def test_fault_everywhere_has_the_union_of_the_places_as_truth() -> None:
    plan = plan_of("self")
    model = plan.subject.build(plan.task, seed=1)
    with injected(Fault("wrong_scale", faults.EVERYWHERE, 3.0), model, plan) as injection:
        assert injection.truth == {"attention.query", "attention.key"}


def test_unregistered_parameters_do_not_move_but_have_a_gradient() -> None:
    plan = plan_of("self")
    model = plan.subject.build(plan.task, seed=1)
    before = state_of(model)
    with unregistered(model.key.parameters()):
        train(model, plan)
        gradient = torch.autograd.grad(plan.loss(model, plan.task.test), model.key.weight)[0]
    assert gradient.abs().sum() > 0
    assert torch.equal(model.key.weight, before["key.weight"])
    assert not torch.equal(model.value.weight, before["value.weight"])


def test_changed_parameters_are_restored_bit_for_bit() -> None:
    weights = nn.Parameter(torch.randn(5) * 1e-30)
    before = weights.detach().clone()
    with changed([weights], lambda value: value * 1e-20):
        assert not torch.equal(weights, before)
    assert torch.equal(weights, before)


def test_replacing_a_step_that_does_not_exist_is_an_error() -> None:
    model = Tiny().build(Tiny().task(0), 1)
    with pytest.raises(AttributeError), replaced(model.attention, softmax=lambda scores: scores):
        pass


def test_catalogue_speaks_the_language_of_the_codebook(book: Codebook) -> None:
    for operator in catalogue().values():
        assert book.category_of[operator.root_cause] == operator.category
        assert operator.mechanism.endswith("."), operator.id
        specific = operator.target in ("attention", "attentions", "positions")
        assert (book.scope_of[operator.category] == ATTENTION_SPECIFIC) == specific


def test_every_attention_specific_root_cause_has_an_operator_or_a_reason(book: Codebook) -> None:
    shown = {operator.root_cause for operator in catalogue().values()}
    specific = {
        cause for cause, category in book.category_of.items() if book.scope_of[category] == ATTENTION_SPECIFIC
    }
    assert len(specific) == 25
    assert specific - shown == NOT_SHOWN.keys()


def test_dropout_does_not_hide_a_fault_without_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = {**vars(catalogue()["wrong_scale"]), "severities": (1.0,)}
    monkeypatch.setitem(CATALOGUE, "wrong_scale", Operator(**idle))
    subject = DistilBert(dropout=0.5, train_size=20, test_size=10)
    plan = Plan.of(subject, subject.task(0), seed=1)
    model = subject.build(plan.task, seed=1).train()
    with pytest.raises(NoEffectError):
        check_effect(Fault("wrong_scale", "layer0", 1.0), model, plan, plan.task.train)


def test_to_crash_is_an_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of("self")
    model = plan.subject.build(plan.task, seed=1)

    def apply(site, severity, seed):
        def fail(scores, scaling):
            raise RuntimeError("shapes do not match")

        return replaced(site.attention, scale=fail)

    monkeypatch.setitem(
        CATALOGUE, "broken", Operator(**{**vars(catalogue()["scale_missing"]), "apply": apply})
    )
    fault = Fault("broken", "attention", 1.0)
    check_effect(fault, model, plan, plan.task.test)
    with injected(fault, model, plan) as injection:
        run = train(model, injection.plan)
    assert (run.outcome, run.message) == ("crashed", "RuntimeError: shapes do not match")


def test_rounding_keeps_what_is_smaller_than_any_step_finite() -> None:
    tiny = torch.tensor([1e-43, 0.0, 1.0, 3.14159])
    assert rounded(tiny, 7).isfinite().all()
    assert rounded(tiny, 7)[3] == 3.140625  # 7 bits after the leading one


def test_weights_that_end_as_no_number_are_a_crash() -> None:
    plan = plan_of("self")
    model = plan.subject.build(plan.task, seed=1)
    one_step = replace(plan, recipe=Recipe(epochs=1, batch_size=64, learning_rate=1e30))
    run = train(model, one_step)
    assert run.outcome == "crashed"
    assert "the test loss is" in run.message
