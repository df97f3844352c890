"""Training is that of the library's optimisers, and keeps the weights that it says it keeps."""

from dataclasses import replace

import pytest
import torch
from support.tiny import Tiny

from attention_faults.subjects.subject import Recipe
from attention_faults.subjects.training import Plan, evaluate, train

SUBJECT = Tiny()
TASK = SUBJECT.task(0)


def trained(recipe, task=TASK):
    model = SUBJECT.build(task, 1)
    run = train(model, replace(Plan.of(SUBJECT, task, 1), recipe=recipe))
    assert run.outcome == "finished", run.message
    return model, run


@pytest.mark.parametrize(
    ("recipe", "optimiser"),
    [
        (
            Recipe(3, 16, 0.01, l2=0.1),
            lambda parameters: torch.optim.Adam(parameters, lr=0.01, weight_decay=0.1),
        ),
        (
            Recipe(3, 16, 0.01, weight_decay=0.1),
            lambda parameters: torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1),
        ),
    ],
    ids=["l2", "weight_decay"],
)
def test_both_kinds_of_decay_are_those_of_the_library(recipe, optimiser):
    model, _ = trained(recipe)
    twin = SUBJECT.build(TASK, 1)
    step = optimiser(twin.parameters())
    order = torch.Generator().manual_seed(1)
    for _ in range(recipe.epochs):
        for rows in torch.randperm(64, generator=order).split(16):
            step.zero_grad()
            SUBJECT.loss(twin, {name: tensor[rows] for name, tensor in TASK.train.items()}).backward()
            step.step()
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_validation_samples_choose_the_epoch_whose_weights_are_kept():
    recipe = Recipe(epochs=12, batch_size=16, learning_rate=0.05)
    _, plain = trained(recipe)
    # other labels: training makes this loss worse from some epoch on
    validation = {**TASK.test, "label": 1 - TASK.test["label"]}
    model, run = trained(recipe, replace(TASK, validation=validation))
    assert [scores.loss for scores in run.scores[:-1]] == [scores.loss for scores in plain.scores]
    assert evaluate(SUBJECT, model, validation).loss < evaluate_end(plain, validation)
    assert run.scores[-1] in run.scores[:-2]
    for name, value in run.checkpoints["end"].items():
        assert torch.equal(value, model.state_dict()[name])


def evaluate_end(run, data):
    model = SUBJECT.build(TASK, 1)
    model.load_state_dict(run.checkpoints["end"])
    return evaluate(SUBJECT, model, data).loss


def test_scores_are_those_of_the_library():
    model, run = trained(Recipe(1, 16, 0.01))
    outputs = SUBJECT.outputs(model, TASK.test)
    loss = torch.nn.functional.cross_entropy(outputs, TASK.test["label"])
    assert run.scores[-1].loss == pytest.approx(loss.item())
    predicted = outputs.argmax(dim=1)
    f1 = []
    for label in (0, 1):
        hits = ((predicted == label) & (TASK.test["label"] == label)).sum().item()
        f1.append(2 * hits / ((predicted == label).sum() + (TASK.test["label"] == label).sum()).item())
    assert run.scores[-1].macro_f1 == pytest.approx(sum(f1) / 2)
