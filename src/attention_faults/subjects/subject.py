"""What a model under study is: a model, its task, its loss, and the blocks in which a fault is located."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from attention_faults.subjects.attention import Site

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Task:
    """Data of one task: training and test samples as named tensors, all with the samples in dimension 0.

    Attributes:
        synthetic: whether it was made up from a seed; tables and figures say so.
    """

    train: Batch
    test: Batch
    classes: int
    synthetic: bool


@dataclass(frozen=True)
class Recipe:
    """How a subject is trained (AdamW)."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0


class Subject(ABC):
    """A model under study. A new one is a file in this package with a subclass; its name registers it.

    Subclasses are frozen dataclasses whose fields are the sizes that the configuration may set.
    """

    name: ClassVar[str]
    registry: ClassVar[dict[str, type["Subject"]]] = {}

    def __init_subclass__(cls) -> None:
        """Register the subject by its name."""
        super().__init_subclass__()
        Subject.registry[cls.name] = cls

    @property
    @abstractmethod
    def recipe(self) -> Recipe:
        """Training recipe of the embedded task."""

    @abstractmethod
    def task(self, seed: int) -> Task:
        """Make the embedded task: synthetic, the same for the same seed."""

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

    def batches(self, data: Batch, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield shuffled mini-batches of one epoch."""
        order = torch.randperm(len(data["label"]), generator=generator)
        for rows in torch.split(order, size):
            yield {name: tensor[rows] for name, tensor in data.items()}
