"""The Heterogeneous graph Attention Network, its symmetry, and the task that needs its attention."""

import dataclasses
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from support.real_data import ACM, needs
from support.small import GRAPH_HAN_PROGRAM, SUBJECTS
from torch import Tensor

from attention_faults.errors import InputError
from attention_faults.subjects.edge_attention import Edges
from attention_faults.subjects.graph_han import (
    GraphHan,
    GraphTask,
    HeterogeneousGraphAttentionNetwork,
    NodeAttention,
    ProgramNodeAttention,
    ProgramSemanticAttention,
    SemanticAttention,
    neighbours,
)
from attention_faults.subjects.subject import Batch
from attention_faults.subjects.training import Plan, train

SMALL = SUBJECTS["graph_han"]


@pytest.fixture(scope="module")
def task() -> GraphTask:
    return SMALL.task(seed=0)


@pytest.fixture
def model(task: GraphTask) -> HeterogeneousGraphAttentionNetwork:
    return SMALL.build(task, seed=0)


def everything(task: GraphTask) -> Tensor:
    return torch.arange(len(task.features))


def test_state_holds_weights_and_no_data(model: HeterogeneousGraphAttentionNetwork) -> None:
    assert model.state_dict().keys() == dict(model.named_parameters()).keys()


def test_weights_sum_to_one(task: GraphTask, model: HeterogeneousGraphAttentionNetwork) -> None:
    seen = []
    for site in SMALL.sites(model):
        normalise = site.attention.normalise
        site.attention.normalise = lambda scores, normalise=normalise: (  # type: ignore[method-assign]
            seen.append(normalise(scores)) or seen[-1]
        )
    SMALL.outputs(model, task.test)
    *node, semantic = seen
    nodes = len(task.features)
    for weights, (_, target) in zip(node, task.metapaths.values(), strict=True):
        total = torch.zeros(SMALL.heads, nodes).index_add(1, target.sort().values, weights[0, :, 0])
        torch.testing.assert_close(total, torch.ones(SMALL.heads, nodes))
    assert semantic.shape == (1, 1, 1, 3)
    assert semantic.sum().item() == pytest.approx(1)


def test_renumbering_the_nodes_renumbers_the_outputs(task: GraphTask) -> None:
    new = torch.randperm(len(task.features), generator=torch.Generator().manual_seed(0))  # new[i] was node i
    features = torch.empty_like(task.features)
    features[new] = task.features
    renumbered = dataclasses.replace(
        task, features=features, metapaths={name: new[edges] for name, edges in task.metapaths.items()}
    )
    before = SMALL.build(task, seed=0).double()(everything(task))
    after = SMALL.build(renumbered, seed=0).double()(everything(task))
    torch.testing.assert_close(after[new], before)
    assert not torch.allclose(after, before)


def test_edges_point_from_neighbour_to_the_node_that_attends() -> None:
    layer = NodeAttention(2, 1, 2, Edges(torch.tensor([0, 1, 1]), torch.tensor([1, 1, 0]), 3), dropout=0.0)
    layer.double()
    features = torch.randn(3, 2, dtype=torch.double)
    before = layer(features)
    features[0] += 1
    changed = (layer(features) != before).any(dim=1)
    assert changed.tolist() == [False, True, False]


def test_node_attention_is_that_of_dgl(task: GraphTask) -> None:
    os.environ.setdefault("DGLBACKEND", "pytorch")
    dgl = pytest.importorskip("dgl")
    convolution = pytest.importorskip("dgl.nn.pytorch").GATConv
    torch.manual_seed(0)
    source, target = task.metapaths["pap"]
    nodes, inputs = task.features.shape
    ours = NodeAttention(inputs, 4, 3, Edges(source, target, nodes), dropout=0.0)
    with torch.no_grad():
        ours.bias.normal_()
    theirs = convolution(inputs, 3, 4, activation=torch.nn.functional.elu)
    weights = {
        "fc.weight": ours.value,
        "attn_l": ours.key[None],
        "attn_r": ours.query[None],
        "bias": ours.bias,
    }
    theirs.load_state_dict(weights)
    expected = theirs(dgl.graph((source, target), num_nodes=nodes), task.features).flatten(start_dim=1)
    torch.testing.assert_close(ours(task.features), expected)


def test_semantic_attention_is_that_of_the_paper_element_by_element() -> None:
    torch.manual_seed(0)
    nodes, metapaths, inputs, size = 4, 3, 2, 5
    attend = SemanticAttention(inputs, size).double()
    embeddings = torch.randn(nodes, metapaths, inputs, dtype=torch.double)
    weight, bias, query = (p.tolist() for p in (attend.key.weight, attend.key.bias, attend.query))
    z = embeddings.tolist()
    importance = []
    for p in range(metapaths):
        products = []
        for i in range(nodes):
            key = [
                math.tanh(sum(weight[k][j] * z[i][p][j] for j in range(inputs)) + bias[k])
                for k in range(size)
            ]
            products.append(sum(query[k] * key[k] for k in range(size)))
        importance.append(math.exp(sum(products) / nodes))
    share = [value / sum(importance) for value in importance]
    output = attend(embeddings).tolist()
    for i in range(nodes):
        expected = [sum(share[p] * z[i][p][j] for p in range(metapaths)) for j in range(inputs)]
        assert output[i] == pytest.approx(expected, abs=1e-12)


def test_program_weighs_metapaths_for_each_node_element_by_element() -> None:
    torch.manual_seed(0)
    nodes, metapaths, inputs, size = 4, 3, 2, 5
    attend = ProgramSemanticAttention(inputs, size).double()
    embeddings = 20 * torch.randn(nodes, metapaths, inputs, dtype=torch.double)
    seen = []
    normalise = attend.attention.normalise
    attend.attention.normalise = lambda scores: (  # type: ignore[method-assign]
        seen.append(normalise(scores)) or seen[-1]
    )
    output = attend(embeddings).tolist()
    (weights,) = seen
    assert weights.shape == (nodes, 1, 1, metapaths)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(nodes, 1, 1, dtype=torch.double))
    assert (weights.std(dim=0) > 1e-3).all()  # nodes differ
    weight, bias, query = (p.tolist() for p in (attend.key.weight, attend.key.bias, attend.query))
    z = embeddings.tolist()
    for i in range(nodes):
        importance = [
            math.exp(
                sum(
                    query[k] * math.tanh(sum(weight[k][j] * z[i][p][j] for j in range(inputs)) + bias[k])
                    for k in range(size)
                )
            )
            for p in range(metapaths)
        ]
        expected = [
            sum(importance[p] * z[i][p][j] for p in range(metapaths)) / sum(importance) for j in range(inputs)
        ]
        assert output[i] == pytest.approx(expected, abs=1e-12)


def test_node_attention_of_the_program_adds_a_bias_to_each_score() -> None:
    torch.manual_seed(0)
    edges = Edges(torch.tensor([0, 1, 2, 1]), torch.tensor([0, 0, 0, 1]), 3)  # node 2 attends to nothing
    layer = ProgramNodeAttention(4, 2, 3, edges, dropout=0.6).double().eval()
    with torch.no_grad():
        for bias in (layer.bias, layer.query_bias, layer.key_bias):
            bias.normal_()
    features = torch.randn(3, 4, dtype=torch.double)
    expected = []
    for head, projection in enumerate(layer.value.split(3)):
        value = features @ projection.T
        query = value[0] @ layer.query[head] + layer.query_bias[head]
        scores = [query + value[i] @ layer.key[head] + layer.key_bias[head] for i in range(3)]
        weights = torch.stack([torch.where(s > 0, s, 0.2 * s) for s in scores]).softmax(0)
        expected.append(weights @ value)
    expected_first = torch.nn.functional.elu(torch.cat(expected) + layer.bias)
    torch.testing.assert_close(layer(features.to_sparse().coalesce())[0], expected_first)


def test_heads_of_the_program_drop_their_own_features_and_their_values() -> None:
    torch.manual_seed(0)
    nodes = 200
    everyone = torch.arange(nodes)
    layer = ProgramNodeAttention(1, 2, 1, Edges(everyone, everyone, nodes), dropout=0.5)
    features = torch.ones(nodes, 1).to_sparse().coalesce()
    query, _, value = layer.project(features, 0.5)
    kept = query[..., 0] != 0  # of the features; the bias starts at zero
    assert kept.double().mean(dim=1).tolist() == pytest.approx([0.5, 0.5], abs=0.15)
    assert (kept[0] == kept[1]).double().mean().item() == pytest.approx(0.5, abs=0.15)
    valued = value[..., 0] != 0
    assert not (valued & ~kept).any()
    assert valued.double().mean().item() == pytest.approx(0.25, abs=0.1)
    factors = (value[..., 0] / layer.value.detach())[valued]
    torch.testing.assert_close(factors, torch.full_like(factors, 4.0))  # twice the double of what is kept


def test_weights_of_the_program_are_drawn_as_it_says() -> None:
    subject = GraphHan(heads=8, size=50, semantic=400, communities=4, inputs=100, network="program")
    model = subject.build(subject.task(0), seed=0)
    for _, layer in model.layers():
        assert layer.value.std().item() == pytest.approx(math.sqrt(2 / (100 + 50)), rel=0.05)
        assert layer.value.abs().max().item() == pytest.approx(math.sqrt(6 / (100 + 50)), rel=0.01)
        for vectors in (layer.query, layer.key):
            assert vectors.abs().max().item() == pytest.approx(math.sqrt(6 / (50 + 1)), rel=0.05)
        assert not any(b.any() for b in (layer.bias, layer.query_bias, layer.key_bias))
    for parameter in model.semantic.parameters():
        assert parameter.std().item() == pytest.approx(0.1, rel=0.15)
    assert model.head.weight.abs().max().item() == pytest.approx(math.sqrt(6 / (400 + 4)), rel=0.02)
    assert not model.head.bias.any()


def _assert_same(one: Batch, other: Batch) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("subject", [SMALL, GRAPH_HAN_PROGRAM], ids=["paper", "program"])
def test_dropout_acts_in_training_only(task: GraphTask, subject: GraphHan) -> None:
    model = dataclasses.replace(subject, dropout=0.5).build(task, seed=0)
    assert not torch.equal(model(everything(task)), model(everything(task)))
    model.eval()
    assert torch.equal(model(everything(task)), subject.build(task, seed=0)(everything(task)))


def test_neighbours_share_what_they_are_linked_to() -> None:
    generator = np.random.default_rng(0)
    papers, others = (generator.random((9, 5)) < 0.3).nonzero()
    links = np.zeros((9, 5), dtype=int)
    links[papers, others] = 1
    edges = neighbours({"pap": (papers, others)})["pap"]
    assert sorted(edges.T.tolist()) == sorted(np.argwhere(links @ links.T).tolist())


def test_no_community_or_subject_has_both_training_and_test_papers() -> None:
    task = GraphHan().task(seed=0)
    in_test = torch.zeros(len(task.features), dtype=torch.bool)
    in_test[task.test["node"]] = True
    assert not in_test[task.train["node"]].any()
    assert len(task.train["node"]) == len(task.test["node"]) == 600
    for name, across in (("pap", False), ("psp", False), ("pvp", True)):
        source, target = task.metapaths[name]
        assert (in_test[source] != in_test[target]).any().item() is across
        assert (source == target).sum() == len(task.features)


def test_neighbours_along_the_informative_metapaths_agree_in_a_colour() -> None:
    task = GraphHan().task(seed=0)
    label = torch.empty(len(task.features), dtype=torch.long)
    for batch in (task.train, task.test):
        label[batch["node"]] = batch["label"]
        assert torch.bincount(batch["label"]).min() >= 0.8 * len(batch["label"]) / 4
    for name, colour in (("pap", label // 2), ("psp", label % 2)):
        source, target = task.metapaths[name]
        assert torch.equal(colour[source], colour[target])
    source, target = task.metapaths["pvp"]
    elsewhere = source != target
    assert (label[source] == label[target])[elsewhere].double().mean().item() == pytest.approx(0.25, abs=0.03)


def test_making_the_task_writes_nothing_into_the_home_folder(tmp_path: Path) -> None:
    code = "from attention_faults.subjects.graph_han import GraphHan; GraphHan(communities=4).task(0)"
    environment = {name: value for name, value in os.environ.items() if name != "DGLBACKEND"}
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**environment, "HOME": str(tmp_path)}, cwd=tmp_path
    )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def acm(tmp_path: Path) -> Path:
    """Six papers in the form of the published file, neighbours asymmetric to tell sources from targets."""
    path = tmp_path / "ACM3025.mat"
    follows = np.eye(6, k=1, dtype=np.uint8)
    variables = {
        "feature": np.arange(12, dtype=np.uint8).reshape(6, 2),
        "label": np.eye(3, dtype=np.uint8)[[0, 1, 2, 0, 1, 2]],
        "PAP": np.eye(6, dtype=np.uint8) + follows,
        "PLP": np.eye(6, dtype=np.uint8),
        "train_idx": np.array([[0, 1]], dtype=np.int32),
        "val_idx": np.array([[2]], dtype=np.int32),
        "test_idx": np.array([[3, 4, 5]], dtype=np.int32),
    }
    scipy.io.savemat(path, variables)
    return path


def test_published_form_is_read(acm: Path) -> None:
    task = SMALL.real_task(acm, seed=0)
    assert not task.synthetic
    assert task.classes == 3
    assert task.train["node"].tolist() == [0, 1]
    assert task.validation["node"].tolist() == [2]
    assert task.test["node"].tolist() == [3, 4, 5]
    assert task.test["label"].tolist() == [0, 1, 2]
    assert task.features[5].tolist() == [10, 11]
    assert list(task.metapaths) == ["pap", "plp"]
    source, target = task.metapaths["pap"]
    follower = source != target
    assert target[follower].tolist() == [0, 1, 2, 3, 4]  # a row attends to its columns
    assert source[follower].tolist() == [1, 2, 3, 4, 5]
    assert SMALL.outputs(SMALL.build(task, seed=0), task.test).shape == (3, 3)


def test_what_is_not_the_published_file_is_the_users_error(acm: Path, tmp_path: Path) -> None:
    names = ["feature", "label", "train_idx", "test_idx", "PAP", "PLP"]
    variables = {name: scipy.io.loadmat(acm)[name] for name in names}
    scipy.io.savemat(acm, variables)
    with pytest.raises(InputError, match="`val_idx` is missing"):
        SMALL.real_task(acm, seed=0)
    other = tmp_path / "other.mat"
    with pytest.raises(InputError, match=r"other\.mat"):
        SMALL.real_task(other, seed=0)
    other.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"other\.mat"):
        SMALL.real_task(other, seed=0)


@needs(ACM)
def test_published_papers_are_read_and_can_be_trained_on() -> None:
    task = SMALL.real_task(ACM, seed=0)
    assert task.features.shape == (3025, 1870)
    assert torch.bincount(task.train["label"]).tolist() == [200, 200, 200]
    assert len(task.test["label"]) == 2125
    assert {name: edges.shape[1] for name, edges in task.metapaths.items()} == {"pap": 29281, "plp": 2210761}
    few = dataclasses.replace(task, metapaths={"pap": task.metapaths["pap"]})
    run = train(SMALL.build(few, seed=0), Plan.of(SMALL, few, seed=0))
    assert run.scores[-1].accuracy >= 0.6
