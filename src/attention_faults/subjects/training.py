"""Training a subject: the same seed gives the same weights; a crash is a result."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from attention_faults.subjects.subject import Batch, Recipe, Subject, Task

State = dict[str, Tensor]


@dataclass
class Run:
    """One training run.

    Attributes:
        seed: of weights, order of samples and dropout.
        accuracy: share of test samples classified right, before training and after each epoch.
        loss: mean test loss, likewise.
        outcome: `finished`, or `crashed` with its `message`.
        checkpoints: weights at `start` (after injection), `middle` and `end`.
    """

    seed: int
    accuracy: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    outcome: str = "finished"
    message: str = ""
    checkpoints: dict[str, State] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """All that training needs; a fault of the training process replaces a part of it."""

    subject: Subject
    task: Task
    recipe: Recipe
    loss: Callable[[nn.Module, Batch], Tensor]
    seed: int

    @classmethod
    def of(cls, subject: Subject, task: Task, seed: int) -> "Plan":
        """Make the plan of a clean run."""
        return cls(subject, task, subject.recipe, subject.loss, seed)


class DivergedError(ArithmeticError):
    """The loss is not a number."""


def train(model: nn.Module, plan: Plan) -> Run:
    """Train a model in place.

    A crash or a loss that is not finite ends the run with outcome `crashed`; it is a result, not an error.
    """
    run = Run(plan.seed)
    try:
        _train(model, plan, run)
    except (DivergedError, RuntimeError, ValueError, IndexError) as error:
        run.outcome, run.message = "crashed", f"{type(error).__name__}: {error}"
    return run


def _train(model: nn.Module, plan: Plan, run: Run) -> None:
    torch.manual_seed(plan.seed)  # dropout draws from the global generator
    order = torch.Generator().manual_seed(plan.seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=plan.recipe.learning_rate, weight_decay=plan.recipe.weight_decay
    )
    keep = {0: "start", plan.recipe.epochs // 2: "middle", plan.recipe.epochs: "end"}
    for epoch in range(plan.recipe.epochs + 1):
        if epoch:
            model.train()
            for batch in plan.subject.batches(plan.task.train, plan.recipe.batch_size, order):
                optimiser.zero_grad()
                loss = plan.loss(model, batch)
                if not loss.isfinite():
                    raise DivergedError(f"the loss is {loss.item()} in epoch {epoch}")
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
        accuracy, loss_value = evaluate(plan.subject, model, plan.task.test)
        run.accuracy.append(accuracy)
        run.loss.append(loss_value)
        if epoch in keep:
            run.checkpoints[keep[epoch]] = copy.deepcopy(model.state_dict())


@torch.no_grad()
def evaluate(subject: Subject, model: nn.Module, data: Batch) -> tuple[float, float]:
    """Return accuracy and mean loss on `data`, the model in evaluation mode."""
    model.eval()
    outputs = subject.outputs(model, data)
    right = outputs.argmax(dim=-1) == data["label"]
    return right.double().mean().item(), subject.sample_losses(outputs, data).double().mean().item()
