"""Wrong second derivatives of others, which are why this package derives in reverse twice and checks itself.

Where one of these tests fails after an update, others have been mended: say so in `docs/curvature.md`.
"""

import os
import warnings
from functools import partial

import pytest
import torch
from support.curvature import (
    Case,
    case,
    classify,
    dense,
    dense_by_differences,
    gradient,
    normal,
    relative,
    seeded,
)
from torch import Tensor, nn
from torch.func import functional_call, jacrev, jvp
from torch.func import hessian as functional_hessian

from attention_faults.curvature import (
    BlockHessian,
    CurvatureError,
    EmpiricalFisher,
    GaussNewton,
    Objective,
    preflight,
)

# the forward mode of PyTorch compiles its formulas by what PyTorch itself deprecates
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")

WRONG = ["layer_norm", "batch_norm_train", "instance_norm"]


def functional_loss(known: Case):
    """The loss as a function of one flat vector, and where it is."""
    names = {id(parameter): name for name, parameter in known.closed.named_parameters()}

    def loss(flat: Tensor) -> Tensor:
        pieces = flat.split([p.numel() for p in known.parameters])
        values = {names[id(p)]: v.view(p.shape) for p, v in zip(known.parameters, pieces, strict=True)}
        statistics = {name: buffer.clone() for name, buffer in known.closed.named_buffers()}
        return functional_call(known.closed, {**values, **statistics}, ())

    return loss, torch.cat([p.detach().flatten() for p in known.parameters])


@pytest.mark.parametrize("name", WRONG)
def test_forward_over_reverse_is_wrong_and_not_symmetric_without_an_error(name):
    known = case(name)
    loss, at = functional_loss(known)
    theirs = functional_hessian(loss)(at)
    v = torch.randn(len(at), generator=torch.Generator().manual_seed(0), dtype=torch.double)
    _, product = jvp(jacrev(loss), (at,), (v,))
    ours = BlockHessian(known.loss, known.blocks) @ torch.eye(len(at), dtype=torch.double)
    assert relative(ours, dense(name)) <= 1e-6
    assert relative(theirs, dense(name)) >= 0.005
    assert relative(theirs, theirs.T) >= 0.005
    assert relative(product, dense(name) @ v) >= 0.005


@pytest.mark.parametrize("name", ["mlp", "batch_norm_eval", "cross_attention"])
def test_forward_over_reverse_is_right_without_these_norms(name):
    loss, at = functional_loss(case(name))
    assert relative(functional_hessian(loss)(at), dense(name)) <= 1e-6


def test_the_fused_graph_kernel_of_dgl_has_wrong_second_derivatives():
    os.environ.setdefault("DGLBACKEND", "pytorch")
    with warnings.catch_warnings(action="ignore"):
        import dgl  # noqa: PLC0415 - slow
        from dgl.nn.pytorch import GATConv  # noqa: PLC0415

        torch.manual_seed(0)
        graph = dgl.add_self_loop(dgl.rand_graph(12, 40))
    layer = GATConv(4, 3, 2).double()
    inputs, labels = torch.randn(12, 4).double(), torch.arange(12) % 3
    parameters = list(layer.parameters())

    def loss() -> Tensor:
        return nn.functional.cross_entropy(layer(graph, inputs).mean(dim=1), labels)

    direction = [torch.randn_like(p) for p in parameters]
    flat = torch.cat([d.flatten() for d in direction])
    ends = []
    for sign in (1, -1):
        for p, d in zip(parameters, direction, strict=True):
            p.data.add_(sign * 1e-6 * d)
        ends.append(gradient(loss, parameters))
        for p, d in zip(parameters, direction, strict=True):
            p.data.sub_(sign * 1e-6 * d)
    oracle = (ends[0] - ends[1]) / 2e-6
    product = BlockHessian(loss, {"layer": parameters}) @ flat
    assert relative(product, oracle) >= 0.05
    objective = Objective(
        lambda: layer(graph, inputs).mean(dim=1),
        lambda outputs: nn.functional.cross_entropy(outputs, labels, reduction="none"),
    )
    for kind in (GaussNewton, EmpiricalFisher):
        with pytest.raises(CurvatureError, match="adjoint"):
            kind(objective, {"layer": parameters})


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "weight_norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm], ids=["old", "new"]
)
def test_weight_norm_has_wrong_second_derivatives_by_every_recipe(weight_norm):
    torch.manual_seed(0)
    model = nn.Sequential(weight_norm(nn.Linear(5, 5)), nn.Tanh(), nn.Linear(5, 3)).double()
    loss = partial(classify(model, normal(12, 5)), model)
    parameters = list(model.parameters())
    oracle = dense_by_differences(loss, parameters)
    ours = BlockHessian(loss, {"all": parameters}) @ torch.eye(len(oracle), dtype=torch.double)
    assert relative(oracle, oracle.T) <= 1e-6
    assert relative(ours, oracle) >= 0.05
    assert relative(ours, ours.T) >= 0.05
    with pytest.raises(CurvatureError, match="central differences"):
        preflight(loss, {"all": parameters}, seeded(0))


def test_fused_attention_has_no_double_backward_on_the_processor():
    query = torch.randn(1, 1, 3, 4, requires_grad=True)
    output = nn.functional.scaled_dot_product_attention(query, query, query).sum()
    (first,) = torch.autograd.grad(output, query, create_graph=True)
    with pytest.raises(RuntimeError, match="flash_attention_for_cpu_backward is not implemented"):
        torch.autograd.grad(first.square().sum(), query)
