"""Training a subject: the same seed gives the same weights; a crash is a result."""

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn

from attention_faults.subjects.outcome import CRASHED, FINISHED
from attention_faults.subjects.subject import Batch, Recipe, Subject, Task

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
    best = CHOICES[plan.recipe.choice]()
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
            best.offer(evaluate(plan.subject, model, plan.task.validation), state)
    if best.state:
        model.load_state_dict(best.state)
        run.checkpoints[END] = best.state
        run.scores.append(evaluate(plan.subject, model, plan.task.test))


@dataclass
class Best(ABC):
    """The best weights so far, by their scores on the validation samples."""

    state: State = field(default_factory=dict, init=False)

    @abstractmethod
    def offer(self, scores: Scores, state: State) -> None:
        """Keep these weights, those of the next epoch, if they are better."""


@dataclass
class LeastLoss(Best):
    """The weights of the least loss."""

    loss: float = float("inf")

    def offer(self, scores: Scores, state: State) -> None:
        """Keep these weights if their loss is less."""
        if scores.loss < self.loss:
            self.loss, self.state = scores.loss, state


@dataclass
class Joint(Best):
    """The last weights of both the best accuracy and the least loss, as in the program of Wang et al. (2019).

    Attributes:
        patience: epochs in a row that reach neither, after which that program stops and nothing is kept.
    """

    patience: int = 100
    accuracy: float = 0.0
    loss: float = float("inf")
    waited: int = 0

    def offer(self, scores: Scores, state: State) -> None:
        """Keep these weights if neither score is worse than the best of it so far."""
        if self.waited == self.patience:
            return
        reached = scores.accuracy >= self.accuracy, scores.loss <= self.loss
        if all(reached):
            self.state = state
        self.waited = 0 if any(reached) else self.waited + 1
        self.accuracy, self.loss = max(scores.accuracy, self.accuracy), min(scores.loss, self.loss)


CHOICES: dict[str, type[Best]] = {"least_loss": LeastLoss, "joint": Joint}


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
