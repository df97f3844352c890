"""DistilBERT as a classifier of sequences (Sanh et al. 2019), the model of `transformers`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification

from attention_faults.errors import InputError
from attention_faults.subjects import sentiment
from attention_faults.subjects.attention import Attention, Site
from attention_faults.subjects.subject import (
    Batch,
    Count,
    FeedForward,
    Positive,
    Recipe,
    Share,
    Subject,
    Task,
    demand,
)
from attention_faults.subjects.transformer_attention import IMPLEMENTATION, parameters_at

PROJECTIONS = {"query": "q_lin", "key": "k_lin", "value": "v_lin", "output": "out_lin"}


@dataclass(frozen=True)
class TokenTask(Task):
    """Sequences to classify: `input_ids` (samples, tokens), padded where `attention_mask` is false.

    Attributes:
        vocabulary: number of token ids.
    """

    vocabulary: int


@dataclass(frozen=True, kw_only=True)
class DistilBert(Subject):
    """`DistilBertForSequenceClassification`, small unless its sizes say otherwise.

    The embedded task is recall. The first token names a key. Of the tokens that follow, most are compounds of
    a key and a polarity, one of them of the key that is asked for, and some are negations. The label is the
    polarity of the key, turned if the token just before its compound is a negation. This takes two hops, to
    the left neighbour and to the key, so that positions and both layers count. Padding counts too: it is what
    an earlier sequence left there, with a compound of the same key and the other polarity.

    Attributes:
        layers: number of attention layers.
        heads: of each layer.
        width: size of a token's state, a multiple of `heads`.
        feed_forward: size of the hidden layer of each feed-forward network.
        initial_deviation: standard deviation of the weights before training.
        dropout: share of states and of attention weights dropped in training.
        keys: in the embedded task.
        length: most tokens after the first one in the embedded task, least half of it.
        negations: share of negations in the embedded task.
        train_size: training samples of the embedded task.
        test_size: test samples of the embedded task.
        pretrained: name on the Hugging Face hub, or folder, of a model whose weights and tokenizer to start
            from; the sizes are then its own. Empty to start from random weights, with whole words as tokens.
    """

    name: ClassVar[str] = "distilbert"

    recipe: Recipe = Recipe(epochs=3, batch_size=64, learning_rate=2e-3)
    layers: Count = 2
    heads: Count = 4
    width: Count = 64
    feed_forward: Count = 64
    initial_deviation: Positive = 0.1
    dropout: Share = 0.0
    keys: Count = 24
    length: Count = 8
    negations: Share = 0.3
    train_size: Count = 9600
    test_size: Count = 1000
    pretrained: str = ""

    def __post_init__(self) -> None:
        """Refuse options that do not fit together."""
        demand(
            {
                "`width` must be a multiple of `heads`": self.width % self.heads == 0,
                "`keys` and `length` must be 2 or more": min(self.keys, self.length) > 1,
            }
        )

    def task(self, seed: int) -> TokenTask:
        """Make the embedded task: synthetic, the same for the same seed."""
        generator = np.random.default_rng(seed)
        train = self._recall(self.train_size, generator)
        test = self._recall(self.test_size, generator)
        return TokenTask(train, test, classes=2, synthetic=True, vocabulary=3 * self.keys + 1)

    def _recall(self, count: int, generator: np.random.Generator) -> Batch:
        """Draw samples; ids are the keys, then their compounds, then the negation."""
        negation = 3 * self.keys
        sample, place = np.arange(count), np.arange(self.length)
        size = generator.integers(self.length // 2, self.length, count, endpoint=True)
        key = generator.integers(self.keys, size=count)
        other = (key[:, None] + generator.integers(1, self.keys, (count, self.length))) % self.keys
        tokens = self.keys + 2 * other + generator.integers(2, size=other.shape)
        tokens[generator.random(other.shape) < self.negations] = negation

        polarity = generator.integers(2, size=count)
        compound = generator.integers(size)
        tokens[sample, compound] = self.keys + 2 * key + polarity
        turned = (compound > 0) & (tokens[sample, compound - 1] == negation)
        padded = np.flatnonzero(size < self.length)
        stale = generator.integers(size[padded], self.length)
        tokens[padded, stale] = self.keys + 2 * key[padded] + 1 - polarity[padded]

        real = np.column_stack([np.ones(count, dtype=bool), place < size[:, None]])
        return {
            "input_ids": torch.from_numpy(np.column_stack([key, tokens])),
            "attention_mask": torch.from_numpy(real),
            "label": torch.from_numpy(polarity ^ turned),
        }

    def real_task(self, path: Path, seed: int, *, length: int = 64) -> TokenTask:
        """Read sentences that are negative or positive.

        Args:
            path: of a corpus that `sentiment.read` knows.
            seed: of the split, where the corpus has none.
            length: most tokens of a sentence; the rest is cut off.

        Raises:
            InputError: if there is no such corpus, or the tokenizer of `pretrained` cannot be had.
        """
        sentences = sentiment.read(path, seed)
        texts = sentences.texts.tolist()
        if self.pretrained:
            tokenizer = _fetch(AutoTokenizer, self.pretrained)
            encoded = tokenizer(texts, padding=True, truncation=True, max_length=length, return_tensors="pt")
            ids, real, vocabulary = encoded["input_ids"], encoded["attention_mask"].bool(), len(tokenizer)
        else:
            known_from = sentences.texts[~sentences.test].tolist()
            ids, vocabulary = sentiment.whole_words(texts, known_from, length)
            real = ids != sentiment.PADDING
        samples = {"input_ids": ids, "attention_mask": real, "label": torch.tensor(sentences.labels)}
        test = torch.from_numpy(sentences.test)
        return TokenTask(
            train={name: tensor[~test] for name, tensor in samples.items()},
            test={name: tensor[test] for name, tensor in samples.items()},
            classes=2,
            synthetic=False,
            vocabulary=vocabulary,
        )

    def build(self, task: Task, seed: int) -> DistilBertForSequenceClassification:
        """Make the model with weights drawn from the seed; of a pretrained one, the classifier only.

        Raises:
            InputError: if the weights of `pretrained` cannot be had.
        """
        if not isinstance(task, TokenTask):
            raise TypeError(f"{self.name} classifies sequences of tokens, got {type(task).__name__}")
        options: dict[str, Any] = {
            "num_labels": task.classes,
            "dropout": self.dropout,
            "attention_dropout": self.dropout,
            "seq_classif_dropout": self.dropout,
            "attn_implementation": IMPLEMENTATION,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.pretrained:
                model: Any = _fetch(DistilBertForSequenceClassification, self.pretrained, **options)
            else:
                model = DistilBertForSequenceClassification(
                    DistilBertConfig(
                        vocab_size=task.vocabulary,
                        max_position_embeddings=task.train["input_ids"].shape[1],
                        n_layers=self.layers,
                        n_heads=self.heads,
                        dim=self.width,
                        hidden_dim=self.feed_forward,
                        initializer_range=self.initial_deviation,
                        pad_token_id=None,  # what stands at padding is masked, not a token
                        **options,
                    )
                )
        for layer in model.distilbert.transformer.layer:
            layer.attention.attention = Attention()
        return cast("DistilBertForSequenceClassification", model)

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return logits, shape (samples, classes)."""
        output = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
        return cast("Tensor", output.logits)

    def blocks(self, model: nn.Module) -> dict[str, list[nn.Parameter]]:
        """Group all parameters by layer and component."""
        embeddings = "distilbert.embeddings"
        blocks = {
            "tokens.embedding": parameters_at(model, f"{embeddings}.word_embeddings"),
            "positions.embedding": parameters_at(model, f"{embeddings}.position_embeddings"),
            "embeddings.norm": parameters_at(model, f"{embeddings}.LayerNorm"),
        }
        for site in self.sites(model):
            block = site.path.removesuffix(".attention")
            norms = (f"{block}.sa_layer_norm", f"{block}.output_layer_norm")
            for component, parameters in site.components.items():
                blocks[f"{site.layer}.{component}"] = list(parameters)
            blocks[f"{site.layer}.norm"] = parameters_at(model, *norms)
            blocks[f"{site.layer}.ffn"] = parameters_at(model, f"{block}.ffn")
        return {**blocks, "classifier.head": parameters_at(model, "pre_classifier", "classifier")}

    def positions(self, model: nn.Module) -> dict[str, nn.Module]:
        """Name the learnt embedding of positions."""
        return {"positions.embedding": model.get_submodule("distilbert.embeddings.position_embeddings")}

    def feed_forwards(self, model: nn.Module) -> dict[str, FeedForward]:
        """List the feed-forward network of each layer."""
        network: Any = model
        return {
            f"layer{number}.ffn": FeedForward(layer.ffn, layer.ffn.activation)
            for number, layer in enumerate(network.distilbert.transformer.layer)
        }

    def sites(self, model: nn.Module) -> list[Site]:
        """List the self-attention of each layer."""
        network: Any = model
        return [
            Site(
                path=(path := f"distilbert.transformer.layer.{number}.attention"),
                layer=f"layer{number}",
                kind="self",
                attention=layer.attention.attention,
                components={
                    component: tuple(parameters_at(model, f"{path}.{projection}"))
                    for component, projection in PROJECTIONS.items()
                },
                head_count=layer.attention.n_heads,
                masked=True,
            )
            for number, layer in enumerate(network.distilbert.transformer.layer)
        ]


def _fetch(kind: Any, pretrained: str, **options: Any) -> Any:
    """Load from a folder or the local cache, otherwise from the hub."""
    try:
        try:
            return kind.from_pretrained(pretrained, local_files_only=True, **options)
        except OSError:
            return kind.from_pretrained(pretrained, **options)
    except OSError as error:
        raise InputError(
            f"`pretrained`: `{pretrained}` is no folder, not in the local cache, and cannot be fetched from "
            "the Hugging Face hub; leave it empty to start from random weights, with whole words as tokens"
        ) from error
