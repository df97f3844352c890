"""Faults that any deep network could have: the contrast to attention-specific ones."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from attention_faults.faults.injection import changed, hooked, replaced, unregistered
from attention_faults.faults.operator import operator
from attention_faults.subjects.subject import Batch, FeedForward
from attention_faults.subjects.training import Plan


@contextmanager
def _planned(plan: Plan) -> Iterator[Plan]:
    yield plan


@operator(
    category="training",
    root_cause="hyperparameters",
    truth="none",
    target="training",
    severities=(0.01, 30.0),
)
def learning_rate_wrong(plan: Plan, severity: float, seed: int) -> AbstractContextManager[Plan]:
    """The learning rate is `severity` times the right one."""
    rate = plan.recipe.learning_rate * severity
    return _planned(replace(plan, recipe=replace(plan.recipe, learning_rate=rate)))


@operator(
    category="training", root_cause="hyperparameters", truth="none", target="training", severities=(0.25,)
)
def trained_too_short(plan: Plan, severity: float, seed: int) -> AbstractContextManager[Plan]:
    """Training ends after `severity` of the epochs."""
    epochs = max(1, int(plan.recipe.epochs * severity))
    return _planned(replace(plan, recipe=replace(plan.recipe, epochs=epochs)))


@operator(
    category="training", root_cause="optimiser", truth="none", target="training", severities=(0.03, 0.3)
)
def weight_decay_excessive(plan: Plan, severity: float, seed: int) -> AbstractContextManager[Plan]:
    """Weights lose `severity` of themselves in every step."""
    decay = severity / plan.recipe.learning_rate
    return _planned(replace(plan, recipe=replace(plan.recipe, weight_decay=decay)))


@operator(
    category="training", root_cause="loss_function", truth="none", target="training", severities=(0.3, 0.6)
)
def loss_ignores_samples(plan: Plan, severity: float, seed: int) -> AbstractContextManager[Plan]:
    """The first `severity` share of each batch is left out of the loss."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        losses = plan.subject.sample_losses(plan.subject.outputs(model, batch), batch)
        return losses[min(int(len(losses) * severity), len(losses) - 1) :].mean()

    return _planned(replace(plan, loss=loss))


@operator(category="training", root_cause="loss_function", truth="none", target="training")
def loss_of_wrong_sign(plan: Plan, severity: float, seed: int) -> AbstractContextManager[Plan]:
    """The loss is maximised."""
    return _planned(replace(plan, loss=lambda model, batch: -plan.subject.loss(model, batch)))


@operator(
    category="training", root_cause="training_data", truth="none", target="training", severities=(0.2, 0.5)
)
def labels_wrong(plan: Plan, severity: float, seed: int) -> AbstractContextManager[Plan]:
    """The labels of `severity` of the training samples are drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    labels = plan.task.train["label"]
    drawn = torch.randint(plan.task.classes, labels.shape, generator=generator).to(labels.device)
    wrong = (torch.rand(labels.shape, generator=generator) < severity).to(labels.device)
    train = {**plan.task.train, "label": torch.where(wrong, drawn, labels)}
    return _planned(replace(plan, task=replace(plan.task, train=train)))


@operator(
    category="model",
    root_cause="layer_properties",
    truth="block",
    target="block",
    severities=(0.0, 20.0),
    persists=False,
)
def block_starts_badly_scaled(
    parameters: list[nn.Parameter], severity: float, seed: int
) -> AbstractContextManager[None]:
    """The weights of a block start `severity` times as large as they should."""
    return changed(parameters, lambda weights: weights * severity)


@operator(category="model", root_cause="layer_properties", truth="block", target="feed_forward")
def activation_missing(network: FeedForward, severity: float, seed: int) -> AbstractContextManager[None]:
    """The activation of a feed-forward network is missing, which makes it linear."""
    return replaced(network.activation, forward=lambda states: states)


@operator(category="model", root_cause="missing_or_wrong_layer", truth="block", target="feed_forward")
def feed_forward_dropped(network: FeedForward, severity: float, seed: int) -> AbstractContextManager[None]:
    """A feed-forward network is left out of the residual stream."""
    return hooked(network.branch, lambda module, arguments, output: output * 0)


@operator(
    category="model",
    root_cause="layer_properties",
    truth="block",
    target="feed_forward",
    severities=(0.1, 10.0),
)
def residual_badly_scaled(network: FeedForward, severity: float, seed: int) -> AbstractContextManager[None]:
    """What a feed-forward network adds to the residual stream is `severity` times what it should be."""
    return hooked(network.branch, lambda module, arguments, output: output * severity)


@operator(category="training", root_cause="optimiser", truth="block", target="block")
def block_not_trained(
    parameters: list[nn.Parameter], severity: float, seed: int
) -> AbstractContextManager[None]:
    """A block is missing from the optimiser and stays as it was drawn."""
    return unregistered(parameters)


@operator(
    category="model",
    root_cause="weight_loading",
    truth="block",
    target="block",
    severities=(0.3, 0.7),
    persists=False,
)
def rows_lost_in_loading(
    parameters: list[nn.Parameter], severity: float, seed: int
) -> AbstractContextManager[None]:
    """`severity` of the rows of a block are lost in loading and start at zero."""
    generator = torch.Generator().manual_seed(seed)

    def lose(weights: Tensor) -> Tensor:
        lost = torch.rand(len(weights), generator=generator) < severity
        lost[0] = True  # never a fault that changes nothing
        return torch.where(lost.view(-1, *[1] * (weights.dim() - 1)).to(weights.device), 0.0, weights)

    return changed(parameters, lose)
