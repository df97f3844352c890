"""Heterogeneous graph Attention Network (Wang et al. 2019).

Nodes of one type are classified. A metapath (say paper, author, paper) makes some of them neighbours;
within each metapath a node attends to its neighbours, and a semantic attention says how much each metapath
counts. DGL holds the heterograph and follows the metapaths; it takes no part in the loss.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
import scipy.io.matlab
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attention_faults.errors import InputError
from attention_faults.subjects.attention import Attention, Site
from attention_faults.subjects.edge_attention import EdgeAttention, Edges
from attention_faults.subjects.subject import Batch, Count, Positive, Recipe, Share, Subject, Task, demand

ACM_METAPATHS = {"pap": "PAP", "plp": "PLP"}


class NodeAttention(nn.Module):
    """Multi-head attention to the neighbours along one metapath (equations 1 to 5)."""

    def __init__(self, inputs: int, heads: int, size: int, edges: Edges, dropout: float) -> None:
        super().__init__()
        self.edges = edges
        self.attention = EdgeAttention(edges)
        self.dropout = dropout
        self.query = nn.Parameter(torch.empty(heads, size))
        self.key = nn.Parameter(torch.empty(heads, size))
        self.value = nn.Parameter(torch.empty(heads * size, inputs))
        self.bias = nn.Parameter(torch.zeros(heads * size))
        for parameter in (self.query, self.key, self.value):
            nn.init.xavier_normal_(parameter, gain=nn.init.calculate_gain("relu"))

    def forward(self, features: Tensor) -> Tensor:
        """Turn features (N, inputs) into embeddings (N, heads * size)."""
        dropout = self.dropout if self.training else 0.0
        query, key, value = self.project(features, dropout)
        output, _ = self.attention(query[None], key[None], value[None], dropout=dropout)
        return nn.functional.elu(output[0] + self.bias)

    def project(self, features: Tensor, dropout: float) -> tuple[Tensor, Tensor, Tensor]:
        """Turn features into queries and keys, (heads, N, 1), and values, (heads, N, size)."""
        features = nn.functional.dropout(features, dropout)
        value = (features @ self.value.T).view(-1, *self.query.shape).transpose(0, 1)
        query, key = ((value * vector[:, None]).sum(-1, keepdim=True) for vector in (self.query, self.key))
        return query, key, value

    def components(self) -> dict[str, tuple[nn.Parameter, ...]]:
        """Group the parameters by role."""
        return {"query": (self.query,), "key": (self.key,), "value": (self.value,), "output": (self.bias,)}


class SemanticAttention(nn.Module):
    """Average a node's embeddings over metapaths, with weights common to all nodes (equations 7 to 9)."""

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__()
        self.attention = Attention()
        self.query = nn.Parameter(torch.empty(size).uniform_(-1, 1) / size**0.5)
        self.key = nn.Linear(inputs, size)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Turn embeddings (N, metapaths, inputs) into (N, inputs)."""
        keys = self.keys(embeddings)
        output, _ = self.attention(self.query[None, None, None], keys[:, None], embeddings[:, None])
        return output[:, 0]

    def keys(self, embeddings: Tensor) -> Tensor:
        """Turn embeddings into what is compared with the query, (1 or N, metapaths, size)."""
        # the mean over nodes of a product with the query is the product with the mean
        return torch.tanh(self.key(embeddings)).mean(dim=0, keepdim=True)


class HeterogeneousGraphAttentionNetwork(nn.Module):
    """Node classifier on a fixed graph (Wang et al. 2019, algorithm 1)."""

    node_attention: ClassVar[type[NodeAttention]] = NodeAttention
    semantic_attention: ClassVar[type[SemanticAttention]] = SemanticAttention
    classifier: ClassVar[type[nn.Linear]] = nn.Linear

    features: Tensor

    def __init__(
        self,
        features: Tensor,
        metapaths: Mapping[str, Tensor],
        *,
        heads: int,
        size: int,
        semantic: int,
        classes: int,
        dropout: float,
    ) -> None:
        super().__init__()
        nodes, inputs = features.shape
        self.register_buffer("features", features, persistent=False)  # data, no weights
        self.node = nn.ModuleDict(
            {
                name: self.node_attention(inputs, heads, size, Edges(source, target, nodes), dropout)
                for name, (source, target) in metapaths.items()
            }
        )
        self.semantic = self.semantic_attention(heads * size, semantic)
        self.head = self.classifier(heads * size, classes)

    def layers(self) -> Iterator[tuple[str, NodeAttention]]:
        """Yield each metapath with its node attention."""
        for name, layer in self.node.items():
            yield name, cast("NodeAttention", layer)

    def forward(self, nodes: Tensor) -> Tensor:
        """Classify the nodes of these numbers (B,): logits (B, classes)."""
        embeddings = torch.stack([layer(self.features) for _, layer in self.layers()], dim=1)
        logits: Tensor = self.head(self.semantic(embeddings)[nodes])
        return logits


class ProgramNodeAttention(NodeAttention):
    """Node attention of the authors' program: dropout of each head's own, of values too; biased scores."""

    def __init__(self, inputs: int, heads: int, size: int, edges: Edges, dropout: float) -> None:
        super().__init__(inputs, heads, size, edges, dropout)
        self.query_bias = nn.Parameter(torch.zeros(heads))
        self.key_bias = nn.Parameter(torch.zeros(heads))
        # the fans are those of one head
        for projection in self.value.detach().view(heads, size, inputs):
            nn.init.xavier_uniform_(projection)
        for vector in (*self.query.detach(), *self.key.detach()):
            nn.init.xavier_uniform_(vector[None])

    def project(self, features: Tensor, dropout: float) -> tuple[Tensor, Tensor, Tensor]:
        """Turn sparse features into queries and keys, (heads, N, 1), and values, (heads, N, size)."""
        projections = self.value.view(*self.query.shape, -1)
        value = torch.stack([torch.sparse.mm(_dropped(features, dropout), one.T) for one in projections])
        query, key = (
            (value * vector[:, None]).sum(-1, keepdim=True) + bias[:, None, None]
            for vector, bias in ((self.query, self.query_bias), (self.key, self.key_bias))
        )
        return query, key, nn.functional.dropout(value, dropout)

    def components(self) -> dict[str, tuple[nn.Parameter, ...]]:
        """Group the parameters by role."""
        biases = {"query": (self.query, self.query_bias), "key": (self.key, self.key_bias)}
        return {**super().components(), **biases}


def _dropped(features: Tensor, dropout: float) -> Tensor:
    """Drop entries of a sparse matrix; those that are zero cannot be told from dropped ones."""
    values = nn.functional.dropout(features.values(), dropout)
    return torch.sparse_coo_tensor(
        features.indices(), values, features.shape, is_coalesced=True, check_invariants=False
    )


class ProgramSemanticAttention(SemanticAttention):
    """Semantic attention of the authors' program: each node weighs the metapaths on its own."""

    def __init__(self, inputs: int, size: int) -> None:
        super().__init__(inputs, size)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.1)

    def keys(self, embeddings: Tensor) -> Tensor:
        """Turn embeddings into what is compared with the query, (N, metapaths, size)."""
        return torch.tanh(self.key(embeddings))


class GlorotLinear(nn.Linear):
    """A linear layer that starts as Glorot and Bengio (2010, equation 16) say."""

    def reset_parameters(self) -> None:
        """Draw the weights; the bias is zero."""
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)


class ProgramNetwork(HeterogeneousGraphAttentionNetwork):
    """Node classifier as in the authors' program (https://github.com/Jhy1993/HAN)."""

    node_attention = ProgramNodeAttention
    semantic_attention = ProgramSemanticAttention
    classifier = GlorotLinear

    def __init__(self, features: Tensor, metapaths: Mapping[str, Tensor], **options: Any) -> None:
        # a paper has few of the words, and each head drops its own
        super().__init__(features.to_sparse().coalesce(), metapaths, **options)


NETWORKS: dict[str, type[HeterogeneousGraphAttentionNetwork]] = {
    "paper": HeterogeneousGraphAttentionNetwork,
    "program": ProgramNetwork,
}


@dataclass(frozen=True)
class GraphTask(Task):
    """Nodes to classify, named by their number, `node`; one graph holds training and test nodes.

    Attributes:
        features: of all nodes, shape (N, inputs).
        metapaths: sources and targets of the edges along each metapath, shape (2, E), self-loops included.
    """

    features: Tensor
    metapaths: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class GraphHan(Subject):
    """Heterogeneous graph Attention Network.

    The embedded task: papers belong to a community of authors and to a subject, each of which is black or
    white, and the class of a paper is the pair of colours. Half of the papers of a community show its
    colour in their features, the other half the contrary, and a mark says which do; so with subjects. A
    plain average over a community or a subject therefore says nothing, attention to marked papers says all,
    and a paper alone is noisy. Venues are random: their metapath misleads. No community or subject has both
    training and test papers.

    Attributes:
        heads: of node attention.
        size: features of a head.
        semantic: size of the keys of semantic attention.
        dropout: share of features and of node attention weights dropped in training.
        network: as the `paper` has it, or the authors' `program`, which drops values too.
        communities: of papers, in the embedded task, as many as subjects; a multiple of four.
        members: papers of a community or subject; even.
        inputs: features of a paper, at least four.
        noise: standard deviation of each feature; a colour is worth 1, a mark 2.
    """

    name: ClassVar[str] = "graph_han"

    recipe: Recipe = Recipe(epochs=20, batch_size=150, learning_rate=0.01)
    heads: Count = 4
    size: Count = 8
    semantic: Count = 16
    dropout: Share = 0.0
    network: Literal["paper", "program"] = "paper"
    communities: Count = 100
    members: Count = 12
    inputs: Count = 16
    noise: Positive = 0.8

    def __post_init__(self) -> None:
        """Refuse options that do not fit together."""
        demand(
            {
                "`communities` must be a multiple of four": self.communities % 4 == 0,
                "`members` must be even": self.members % 2 == 0,
                "`inputs` must be 4 or more": self.inputs > 3,
            }
        )

    def task(self, seed: int) -> GraphTask:
        """Make the embedded task: synthetic, the same for the same seed."""
        generator = np.random.default_rng(seed)
        paper = np.arange(self.communities * self.members)
        community = np.repeat(np.arange(self.communities), self.members)
        subject = np.concatenate([generator.permutation(half) for half in np.split(community, 2)])
        venue = generator.permutation(community)
        both_authors = 4 * community[:, None] + generator.random((len(paper), 4)).argsort(axis=1)[:, :2]
        metapaths = neighbours(
            {
                "pap": (np.repeat(paper, 2), both_authors.ravel()),
                "psp": (paper, subject),
                "pvp": (paper, venue),
            }
        )

        community_colour, community_signals = self._colours(community, generator)
        subject_colour, subject_signals = self._colours(subject, generator)
        signals = np.concatenate([community_signals, subject_signals], axis=1)
        directions = np.linalg.qr(generator.normal(size=(self.inputs, self.inputs))).Q[:4]
        noise = generator.normal(scale=self.noise, size=(len(paper), self.inputs))
        features = torch.from_numpy(signals @ directions + noise).float()

        label = torch.from_numpy(2 * community_colour + subject_colour)
        train, test = torch.from_numpy(paper).chunk(2)
        return GraphTask(
            train={"node": train, "label": label[train]},
            test={"node": test, "label": label[test]},
            classes=4,
            synthetic=True,
            features=features,
            metapaths=metapaths,
        )

    def _colours(
        self, group: NDArray[np.int_], generator: np.random.Generator
    ) -> tuple[NDArray[np.int_], NDArray[np.float64]]:
        """Colour each group 0 or 1; return each paper's colour (N,) and what it shows of it (N, 2)."""
        halves = [generator.permutation(self.communities // 2) % 2 for _ in range(2)]
        colour = np.concatenate(halves)[group]
        rank = np.empty(len(group), dtype=int)
        rank[np.lexsort((generator.random(len(group)), group))] = np.arange(len(group)) % self.members
        mark = np.where(rank < self.members // 2, 1, -1)
        return colour, np.stack([(2 * colour - 1) * mark, 2 * mark], axis=1).astype(float)

    def real_task(self, path: Path, seed: int) -> GraphTask:
        """Read ACM: papers of three fields, with metapaths through authors (PAP) and through subjects (PLP).

        Args:
            path: `ACM3025.mat` of Wang et al. (2019).
            seed: has no effect, since the split is published.

        Raises:
            InputError: if the file is not such a file.
        """
        parts = ("train", "val", "test")
        names = ["feature", "label", *(f"{part}_idx" for part in parts), *ACM_METAPATHS.values()]
        try:
            data: dict[str, Any] = scipy.io.matlab.loadmat(path, variable_names=names)
        except (OSError, ValueError, scipy.io.matlab.MatReadError) as error:
            raise InputError(f"{path}: cannot be read as a MATLAB file: {error}") from error
        missing = [f"{path}: variable `{name}` is missing" for name in names if name not in data]
        if missing:
            raise InputError(missing)
        label = torch.from_numpy(data["label"].argmax(axis=1))
        nodes = [torch.from_numpy(data[f"{part}_idx"][0].astype(int)) for part in parts]
        train, validation, test = ({"node": node, "label": label[node]} for node in nodes)
        return GraphTask(
            train=train,
            validation=validation,
            test=test,
            classes=data["label"].shape[1],
            synthetic=False,
            features=torch.from_numpy(data["feature"]).float(),
            metapaths={
                name: torch.from_numpy(np.stack(data[variable].T.nonzero()))
                for name, variable in ACM_METAPATHS.items()
            },
        )

    def build(self, task: Task, seed: int) -> HeterogeneousGraphAttentionNetwork:
        """Make the model with weights drawn from the seed."""
        if not isinstance(task, GraphTask):
            raise TypeError(f"{self.name} classifies nodes of a graph, got {type(task).__name__}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return NETWORKS[self.network](
                task.features,
                task.metapaths,
                heads=self.heads,
                size=self.size,
                semantic=self.semantic,
                classes=task.classes,
                dropout=self.dropout,
            )

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return logits, shape (nodes, classes)."""
        logits: Tensor = model(batch["node"])
        return logits

    def blocks(self, model: nn.Module) -> dict[str, list[nn.Parameter]]:
        """Group all parameters by layer and component; a layer of node attention is named by its metapath."""
        blocks = {
            f"{site.layer}.{component}": list(parameters)
            for site in self.sites(model)
            for component, parameters in site.components.items()
        }
        network = cast("HeterogeneousGraphAttentionNetwork", model)
        return {**blocks, "classifier.head": list(network.head.parameters())}

    def sites(self, model: nn.Module) -> list[Site]:
        """List the node attention of each metapath, then semantic attention."""
        network = cast("HeterogeneousGraphAttentionNetwork", model)
        node = [
            Site(
                path=f"node.{name}",
                layer=name,
                kind="graph_node",
                attention=layer.attention,
                components=layer.components(),
                head_count=self.heads,
            )
            for name, layer in network.layers()
        ]
        semantic = Site(
            path="semantic",
            layer="semantic",
            kind="graph_semantic",
            attention=network.semantic.attention,
            components={
                "query": (network.semantic.query,),
                "key": tuple(network.semantic.key.parameters()),
            },
            head_count=1,
        )
        return [*node, semantic]


def neighbours(links: dict[str, tuple[NDArray[np.int_], NDArray[np.int_]]]) -> dict[str, Tensor]:
    """Find the papers that share an author, a subject, and so on: edges (2, E) of each metapath.

    Args:
        links: for each metapath, papers and what they are linked to, pair by pair.
    """
    os.environ.setdefault("DGLBACKEND", "pytorch")  # else importing DGL writes a file into the home directory
    import dgl  # noqa: PLC0415 - slow, and only this function needs it

    links_both_ways = {}
    for name, (papers, others) in links.items():
        links_both_ways["paper", f"{name}_to", name] = (torch.from_numpy(papers), torch.from_numpy(others))
        links_both_ways[name, f"{name}_from", "paper"] = (torch.from_numpy(others), torch.from_numpy(papers))
    graph = dgl.heterograph(links_both_ways)
    return {
        name: torch.stack(dgl.metapath_reachable_graph(graph, [f"{name}_to", f"{name}_from"]).edges())
        for name in links
    }
