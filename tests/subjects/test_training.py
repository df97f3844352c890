"""Training is that of the library's optimisers, and keeps the weights that it says it keeps."""

from dataclasses import replace

import pytest
import torch
from support.tiny import Tiny

from attention_faults.subjects.subject import Recipe
from attention_faults.subjects.training import Joint, LeastLoss, Plan, Scores, evaluate, train

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


def kept(best, offers):
    """Offer weights that hold their epoch; return which epoch's are kept after each offer."""
    epochs = []
    for epoch, (accuracy, loss) in enumerate(offers):
        best.offer(Scores(accuracy, accuracy, loss), {"epoch": torch.tensor(epoch)})
        epochs.append(best.state["epoch"].item())
    return epochs


def test_choices_of_the_epoch_differ():
    offers = [
        (0.5, 1.0),
        (0.6, 0.9),  # both better
        (0.7, 1.2),  # accuracy alone
        (0.6, 0.8),  # loss alone
        (0.7, 0.85),  # as accurate as the best, but the best loss is that of another epoch
        (0.7, 0.8),  # ties count
        (0.6, 0.7),
        (0.8, 0.7),
    ]
    assert kept(Joint(), offers) == [0, 1, 1, 1, 1, 5, 5, 7]
    assert kept(LeastLoss(), offers) == [0, 1, 1, 3, 3, 3, 6, 6]


def test_joint_choice_ends_after_as_many_idle_epochs_as_it_has_patience():
    worse, accurate, best = (0.4, 2.0), (0.6, 1.5), (0.9, 0.1)
    assert kept(Joint(patience=2), [(0.5, 1.0), worse, best]) == [0, 0, 2]
    assert kept(Joint(patience=2), [(0.5, 1.0), worse, accurate, worse, best]) == [0, 0, 0, 0, 4]
    assert kept(Joint(patience=2), [(0.5, 1.0), worse, worse, best]) == [0, 0, 0, 0]
    assert kept(Joint(), [(0.5, 1.0), *[worse] * 99, best])[-1] == 100
    assert kept(Joint(), [(0.5, 1.0), *[worse] * 100, best])[-1] == 0


def test_recipe_names_the_choice_of_the_epoch():
    recipe = Recipe(epochs=12, batch_size=16, learning_rate=0.05)
    task = replace(TASK, validation={**TASK.test, "label": 1 - TASK.test["label"]})
    _, least = trained(recipe, task)
    _, joint = trained(replace(recipe, choice="joint"), task)
    assert least.scores[:-1] == joint.scores[:-1]
    validation = [(1 - scores.accuracy) for scores in joint.scores[:-1]]  # of two classes, the other one
    assert validation[joint.scores.index(joint.scores[-1])] == max(
        validation[: joint.scores.index(joint.scores[-1]) + 1]
    )


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
