"""Training a subject: the same seed gives the same weights; a crash is a result."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn

from attention_faults.subjects.subject import Batch, Recipe, Subject, Task

FINISHED, CRASHED = "finished", "crashed"
STAGES = START, MIDDLE, END = "start", "middle", "end"  # of training, at which weights are kept

State = dict[str, Tensor]

log = logging.getLogger(__name__)


class Scores(NamedTuple):
    """How a model does on some samples: shares of 1, and the mean loss."""

    accuracy: float
    macro_f1: float
    loss: float


@dataclass
class Run:
    """One training run.

    Attributes:
        seed: of weights, order of samples and dropout.
        scores: on the test samples, before training and after each epoch; where validation samples chose the
            weights, the last entry once more is theirs.
        outcome: `finished`, or `crashed` with its `message`.
        checkpoints: weights at `start` (after injection), `middle` and `end`.
    """

    seed: int
    scores: list[Scores] = field(default_factory=list)
    outcome: str = FINISHED
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


CRASHES = (DivergedError, RuntimeError, ValueError, IndexError)  # how a faulty model may end


def train(model: nn.Module, plan: Plan) -> Run:
    """Train a model in place.

    A crash or a loss that is not finite ends the run with outcome `crashed`; it is a result, not an error.
    """
    run = Run(plan.seed)
    try:
        _train(model, plan, run)
    except CRASHES as error:
        run.outcome, run.message = CRASHED, f"{type(error).__name__}: {error}"
        log.info("seed %d crashed: %s", plan.seed, run.message)
    return run


def _train(model: nn.Module, plan: Plan, run: Run) -> None:
    torch.manual_seed(plan.seed)  # dropout draws from the global generator
    order = torch.Generator().manual_seed(plan.seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=plan.recipe.learning_rate, weight_decay=plan.recipe.weight_decay
    )
    epochs = plan.recipe.epochs
    epoch_of = {START: 0, MIDDLE: epochs // 2, END: epochs}
    best = Best()
    for epoch in range(epochs + 1):
        if epoch:
            model.train()
            for batch in plan.subject.batches(plan.task.train, plan.recipe.batch_size, order):
                optimiser.zero_grad()
                loss = plan.loss(model, batch)
                if not loss.isfinite():
                    raise DivergedError(f"the loss is {loss.item()} in epoch {epoch}")
                loss.backward()  # type: ignore[no-untyped-call]
                _penalise(model, plan.recipe.l2)
                optimiser.step()
        scores = evaluate(plan.subject, model, plan.task.test)
        if not math.isfinite(scores.loss):
            raise DivergedError(f"the test loss is {scores.loss} after epoch {epoch}")
        run.scores.append(scores)
        log.info("seed %d, epoch %d of %d: accuracy %.3f", plan.seed, epoch, epochs, scores.accuracy)
        state = _state(model)
        run.checkpoints |= {stage: state for stage, at in epoch_of.items() if at == epoch}
        if plan.task.validation is not None:
            best.offer(evaluate(plan.subject, model, plan.task.validation).loss, state)
    if best.state:
        model.load_state_dict(best.state)
        run.checkpoints[END] = best.state
        run.scores.append(evaluate(plan.subject, model, plan.task.test))


@dataclass
class Best:
    """The weights with the least validation loss so far."""

    loss: float = float("inf")
    state: State = field(default_factory=dict)

    def offer(self, loss: float, state: State) -> None:
        """Keep these weights if they are better."""
        if loss < self.loss:
            self.loss, self.state = loss, state


def _penalise(model: nn.Module, l2: float) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.add_(parameter.detach(), alpha=l2)


def _state(model: nn.Module) -> State:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


@torch.no_grad()
def evaluate(subject: Subject, model: nn.Module, data: Batch) -> Scores:
    """Score a model in evaluation mode."""
    model.eval()
    outputs = subject.outputs(model, data)
    label, predicted = data["label"].cpu(), outputs.argmax(dim=-1).cpu()
    return Scores(
        accuracy=(predicted == label).double().mean().item(),
        macro_f1=float(f1_score(label, predicted, average="macro", zero_division=0)),
        loss=subject.sample_losses(outputs, data).double().mean().item(),
    )
