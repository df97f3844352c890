"""Gradient metrics against gradients of single samples."""

import math

import pytest
import torch
from torch import nn

from attention_faults.curvature import CurvatureError, Objective, batch_gradient_profile, gradient_profile

INPUTS, LABELS = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).double(), torch.arange(7) % 3


def cross_entropy(outputs, labels=LABELS):
    return nn.functional.cross_entropy(outputs, labels, reduction="none")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def test_metrics_are_those_of_samples_alone(model):
    blocks = {"first": list(model[0].parameters()), "last": list(model[2].parameters())}
    profile = gradient_profile(Objective(lambda: model(INPUTS), cross_entropy), blocks)
    table = profile.table.set_index(["block", "metric"])
    for name, parameters in blocks.items():
        samples = torch.stack(
            [
                torch.cat(
                    [
                        g.flatten()
                        for g in torch.autograd.grad(cross_entropy(model(x[None]), y[None]).sum(), parameters)
                    ]
                )
                for x, y in zip(INPUTS, LABELS, strict=True)
            ]
        )
        mean, variance = samples.mean(dim=0), samples.var(dim=0).sum().item()
        weights = torch.cat([p.detach().flatten() for p in parameters])
        signal = mean.norm().item() ** 2 - variance / 7
        expected = {
            "norm": mean.norm().item(),
            "max": mean.abs().max().item(),
            "gradient_x_weight": (mean * weights).abs().sum().item(),
            "variance": variance,
            "signal_to_noise": mean.norm().item() / variance**0.5,
            "noise_scale": variance / signal if signal > 0 else math.nan,
        }
        found = table.loc[name]["estimate"].to_dict()
        assert found == pytest.approx(expected, nan_ok=True)
    assert table.loc["first"]["gradients"].to_dict() == {
        "norm": 1, "max": 1, "gradient_x_weight": 1, "variance": 8, "signal_to_noise": 8, "noise_scale": 8
    }  # fmt: skip
    assert profile.gradients == 8


def test_batches_of_one_sample_vary_as_samples_do(model):
    blocks = {"first": list(model[0].parameters()), "last": list(model[2].parameters())}
    losses = [lambda i=i: cross_entropy(model(INPUTS[[i]]), LABELS[[i]]).mean() for i in range(7)]
    batches = batch_gradient_profile(losses, blocks)
    found = batches.table.set_index(["block", "metric"])["estimate"]
    samples = gradient_profile(Objective(lambda: model(INPUTS), cross_entropy), blocks)
    expected = samples.table.set_index(["block", "metric"])["estimate"]
    assert found.to_dict() == pytest.approx(expected[found.index].to_dict())
    assert set(found.index.get_level_values("metric")) == {"norm", "max", "gradient_x_weight", "variance"}
    assert batches.gradients == 7


def test_one_batch_has_a_gradient_but_no_variance(model):
    blocks = {"all": list(model.parameters())}
    loss = lambda: cross_entropy(model(INPUTS)).mean()  # noqa: E731
    found = batch_gradient_profile([loss], blocks).table.set_index("metric")["estimate"]
    assert math.isnan(found["variance"])
    gradient = torch.cat([part.flatten() for part in torch.autograd.grad(loss(), blocks["all"])])
    assert found["norm"] == pytest.approx(gradient.norm().item())


def test_batches_must_be_some_and_their_losses_finite(model):
    blocks = {"all": list(model.parameters())}
    with pytest.raises(ValueError, match="at least one batch"):
        batch_gradient_profile([], blocks)
    with pytest.raises(CurvatureError, match="the loss of a batch is nan"):
        batch_gradient_profile([lambda: cross_entropy(model(INPUTS)).mean() * math.nan], blocks)


def test_frozen_and_unused_blocks_have_no_gradient(model):
    unused = nn.Linear(2, 2).double()
    model[0].requires_grad_(False)
    blocks = {"frozen": model[0].parameters(), "last": model[2].parameters(), "unused": unused.parameters()}
    profile = gradient_profile(Objective(lambda: model(INPUTS), cross_entropy), blocks)
    table = profile.table.pivot(index="block", columns="metric", values="estimate")
    assert table.loc[["frozen", "unused"], ["norm", "max", "variance"]].to_numpy().max() == 0
    assert table.loc[["frozen", "unused"], ["signal_to_noise", "noise_scale"]].isna().all(axis=None)
    assert table.loc["last", "norm"] > 0


def test_one_sample_has_no_variance(model):
    objective = Objective(lambda: model(INPUTS[:1]), lambda out: cross_entropy(out, LABELS[:1]))
    table = gradient_profile(objective, {"all": model.parameters()}).table.set_index("metric")
    assert math.isnan(table.loc["variance", "estimate"])
    assert table.loc["norm", "estimate"] > 0


def test_a_loss_that_is_not_finite_is_an_error(model):
    objective = Objective(lambda: model(INPUTS), lambda out: cross_entropy(out) * float("nan"))
    with pytest.raises(CurvatureError, match="7 samples are not finite"):
        gradient_profile(objective, {"all": model.parameters()})
