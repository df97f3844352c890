"""What a model under study is: a model, its task, its loss, and the blocks in which a fault is located."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from attention_faults.errors import InputError
from attention_faults.subjects.attention import Site

Batch = dict[str, Tensor]
Count = Annotated[int, Field(ge=1)]  # of the options that the configuration may set
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(ge=0)]
STRICT = ConfigDict(extra="forbid")  # an option that does not exist is an error


@dataclass(frozen=True)
class Task:
    """Data of one task: training and test samples as named tensors, all with the samples in dimension 0.

    Attributes:
        synthetic: whether it was made up from a seed; tables and figures say so.
        validation: samples that choose the epoch whose weights are kept; without them it is the last one.
    """

    train: Batch
    test: Batch
    classes: int
    synthetic: bool
    validation: Batch | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Recipe:
    """How a subject is trained (Adam; Loshchilov and Hutter 2019 for the two kinds of decay).

    Attributes:
        epochs: at most, where validation samples choose one.
        batch_size: in samples.
        learning_rate: constant.
        weight_decay: decoupled from the gradient, as in AdamW.
        l2: weight of a penalty that is added to the gradient, as in Adam.
        choice: of the epoch by validation samples, where there are some: a key of `training.CHOICES`.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    epochs: Count
    batch_size: Count
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    l2: Annotated[float, Field(ge=0)] = 0.0
    choice: Literal["least_loss", "joint"] = "least_loss"


def demand(options: dict[str, bool]) -> None:
    """Check options of a subject.

    Args:
        options: for each demand, in words, whether it is met.

    Raises:
        ValueError: with the first demand that is not met.
    """
    for words, met in options.items():
        if not met:
            raise ValueError(words)


@dataclass(frozen=True)
class FeedForward:
    """A feed-forward network: `branch` is the module whose output joins the residual stream."""

    branch: nn.Module
    activation: nn.Module


@dataclass(frozen=True, kw_only=True)
class Subject(ABC):
    """A model under study. A new one is a file `<name>.py` in this package with a subclass of this name.

    Subclasses are frozen dataclasses whose fields are what the configuration may set.

    Attributes:
        recipe: how it is trained.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: ClassVar[str]
    registry: ClassVar[dict[str, type["Subject"]]] = {}

    recipe: Recipe

    def __init_subclass__(cls) -> None:
        """Register the subject by its name."""
        super().__init_subclass__()
        Subject.registry[cls.name] = cls

    @staticmethod
    def named(name: str) -> type["Subject"]:
        """Find a subject, importing its file (and with it its libraries) only now.

        Raises:
            InputError: if there is none of that name.
        """
        if name not in Subject.registry:
            module = f"{__package__}.{name}"
            try:
                importlib.import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:
                    raise
                raise InputError(f"there is no subject `{name}`: no file `subjects/{name}.py`") from None
        if name not in Subject.registry:
            raise InputError(f"there is no subject `{name}` in `subjects/{name}.py`")
        return Subject.registry[name]

    @abstractmethod
    def task(self, seed: int) -> Task:
        """Make the embedded task: synthetic, the same for the same seed."""

    def real_task(self, path: Path, seed: int) -> Task:
        """Read real data; the seed decides what is held out where the data has no split of its own.

        Raises:
            InputError: if the data cannot be read, or the subject has no real task.
        """
        raise InputError(f"{path}: `{self.name}` has an embedded task only")

    @abstractmethod
    def build(self, task: Task, seed: int) -> nn.Module:
        """Make the model with weights drawn from the seed."""

    @abstractmethod
    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return logits, shape (samples, classes)."""

    def sample_losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the loss of each sample, shape (samples,)."""
        return nn.functional.cross_entropy(outputs, batch["label"], reduction="none")

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss of a batch, a scalar: what is trained, and what has a Hessian."""
        return self.sample_losses(self.outputs(model, batch), batch).mean()

    @abstractmethod
    def blocks(self, model: nn.Module) -> dict[str, list[nn.Parameter]]:
        """Group all parameters into (layer, component) blocks: the units in which a fault is located."""

    @abstractmethod
    def sites(self, model: nn.Module) -> list[Site]:
        """List the attentions of the model, in the order in which data meets them."""

    def positions(self, model: nn.Module) -> dict[str, nn.Module]:
        """List the modules that turn position ids into vectors, by the name of their block."""
        return {}

    def feed_forwards(self, model: nn.Module) -> dict[str, FeedForward]:
        """List the feed-forward networks, by the name of their block."""
        return {}

    def batches(self, data: Batch, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield shuffled mini-batches of one epoch."""
        order = torch.randperm(len(data["label"]), generator=generator)
        for rows in torch.split(order, size):
            yield {name: tensor[rows] for name, tensor in data.items()}
