"""A decoder of the GPT-2 architecture (Radford et al. 2019), the model of `transformers` with its cache."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, GPT2Config, GPT2ForTokenClassification
from transformers.cache_utils import DynamicLayer

from attention_faults.subjects.attention import Attention, CacheReader, Site
from attention_faults.subjects.subject import (
    Batch,
    Count,
    FeedForward,
    Positive,
    Recipe,
    Subject,
    Task,
    demand,
)
from attention_faults.subjects.transformer_attention import IMPLEMENTATION, parameters_at


class ReadLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """A layer of the cache that is read by the steps of its attention."""

    def __init__(self, reader: CacheReader) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reader = reader

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values (B, H, T, D), then read the whole layer, (B, H, S, D) each."""
        keys, values = super().update(key_states, value_states)
        return self.reader.read(keys, values, key_states.shape[-2])


class StepwiseDecoder(GPT2ForTokenClassification):  # type: ignore[no-untyped-call]
    """GPT-2 that reads a prompt at once and what follows token by token, as when it generates text."""

    def new_cache(self) -> Cache:
        """Make the empty cache of keys and values with which one batch is read."""
        cache = DynamicCache(config=self.config)
        layers: Any = self.transformer.h
        cache.layers = [ReadLayer(layer.attn.cache_reader) for layer in layers]
        return cache

    def read(self, input_ids: Tensor, prompt: int) -> Tensor:
        """Read sequences (B, T), the first `prompt` tokens at once; return the last logits (B, classes)."""
        cache = self.new_cache()
        followers = input_ids.shape[1] - prompt
        for tokens in torch.split(input_ids, [prompt] + followers * [1], dim=1):
            output = self(input_ids=tokens, cache=cache, use_cache=True)
        return cast("Tensor", output.logits[:, -1])


@dataclass(frozen=True, kw_only=True)
class Decoder(Subject):
    """GPT-2 with a classifier of the last token; every batch is read through the cache, step by step.

    GPT-2 computes query, key and value by one matrix. They are one component, and one block, `qkv`.

    The embedded task is associative recall: pairs of a value and a key, then one of the keys; the class is
    its value. It takes two layers, one to look from a key to the token before it, one to find the key.

    Attributes:
        layers: number of attention layers.
        heads: of each layer.
        width: size of a token's state, a multiple of `heads`.
        feed_forward: size of the hidden layer of each feed-forward network.
        initial_deviation: standard deviation of the weights before training.
        keys: to choose from, in the embedded task.
        values: to choose from, in the embedded task; the classes.
        pairs: in a sequence, at most `keys`.
        prompt: tokens that are read at once, before the others follow one by one.
        train_size: training samples of the embedded task.
        test_size: test samples of the embedded task, none of which occurs in training.
    """

    name: ClassVar[str] = "decoder"

    recipe: Recipe = Recipe(epochs=4, batch_size=64, learning_rate=2e-3)
    layers: Count = 2
    heads: Count = 4
    width: Count = 64
    feed_forward: Count = 64
    initial_deviation: Positive = 0.1
    keys: Count = 6
    values: Count = 6
    pairs: Count = 3
    prompt: Count = 3
    train_size: Count = 8000
    test_size: Count = 1000

    def __post_init__(self) -> None:
        """Refuse options that do not fit together."""
        demand(
            {
                "`width` must be a multiple of `heads`": self.width % self.heads == 0,
                "`pairs` must be at most `keys`": self.pairs <= self.keys,
                "`prompt` must be at most the sequence": self.prompt <= 2 * self.pairs + 1,
                "`values` must be 2 or more": self.values > 1,
            }
        )

    def task(self, seed: int) -> Task:
        """Make the embedded task: synthetic, the same for the same seed."""
        generator = np.random.default_rng(seed)
        train = self._recall(self.train_size, generator)
        drawn = self._recall(2 * self.test_size, generator)
        seen = {tuple(tokens) for tokens in train["input_ids"].tolist()}
        fresh = [i for i, tokens in enumerate(drawn["input_ids"].tolist()) if tuple(tokens) not in seen]
        test = {name: tensor[fresh[: self.test_size]] for name, tensor in drawn.items()}
        return Task(train, test, classes=self.values, synthetic=True)

    def _recall(self, count: int, generator: np.random.Generator) -> Batch:
        """Draw samples; ids are the values, then the keys."""
        sample = np.arange(count)
        key = generator.random((count, self.keys)).argsort(axis=1)[:, : self.pairs]
        value = generator.integers(self.values, size=key.shape)
        asked = generator.integers(self.pairs, size=count)
        pairs = np.stack([value, self.values + key], axis=2).reshape(count, -1)
        return {
            "input_ids": torch.from_numpy(np.column_stack([pairs, self.values + key[sample, asked]])),
            "label": torch.from_numpy(value[sample, asked]),
        }

    def build(self, task: Task, seed: int) -> StepwiseDecoder:
        """Make the model with weights drawn from the seed."""
        options: dict[str, Any] = {
            "classifier_dropout": 0.0,
            "num_labels": task.classes,
            "attn_implementation": IMPLEMENTATION,
        }
        config = GPT2Config(
            vocab_size=self.values + self.keys,
            n_positions=task.train["input_ids"].shape[1],
            n_embd=self.width,
            n_layer=self.layers,
            n_head=self.heads,
            n_inner=self.feed_forward,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            initializer_range=self.initial_deviation,
            bos_token_id=None,
            eos_token_id=None,
            **options,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: Any = StepwiseDecoder(config)
        for layer in model.transformer.h:
            layer.attn.attention = Attention()
            layer.attn.cache_reader = CacheReader()
        return cast("StepwiseDecoder", model)

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return logits at the last token, shape (samples, classes)."""
        return cast("StepwiseDecoder", model).read(batch["input_ids"], self.prompt)

    def blocks(self, model: nn.Module) -> dict[str, list[nn.Parameter]]:
        """Group all parameters by layer and component."""
        blocks = {
            "tokens.embedding": parameters_at(model, "transformer.wte"),
            "positions.embedding": parameters_at(model, "transformer.wpe"),
        }
        for site in self.sites(model):
            block = site.path.removesuffix(".attn")
            for component, parameters in site.components.items():
                blocks[f"{site.layer}.{component}"] = list(parameters)
            blocks[f"{site.layer}.norm"] = parameters_at(model, f"{block}.ln_1", f"{block}.ln_2")
            blocks[f"{site.layer}.ffn"] = parameters_at(model, f"{block}.mlp")
        return {
            **blocks,
            "classifier.norm": parameters_at(model, "transformer.ln_f"),
            "classifier.head": parameters_at(model, "classifier"),
        }

    def positions(self, model: nn.Module) -> dict[str, nn.Module]:
        """Name the learnt embedding of positions."""
        return {"positions.embedding": model.get_submodule("transformer.wpe")}

    def feed_forwards(self, model: nn.Module) -> dict[str, FeedForward]:
        """List the feed-forward network of each layer."""
        network: Any = model
        return {
            f"layer{number}.ffn": FeedForward(layer.mlp, layer.mlp.act)
            for number, layer in enumerate(network.transformer.h)
        }

    def sites(self, model: nn.Module) -> list[Site]:
        """List the causal self-attention of each layer."""
        network: Any = model
        return [
            Site(
                path=(path := f"transformer.h.{number}.attn"),
                layer=f"layer{number}",
                kind="causal_self",
                attention=layer.attn.attention,
                components={
                    "qkv": tuple(parameters_at(model, f"{path}.c_attn")),
                    "output": tuple(parameters_at(model, f"{path}.c_proj")),
                },
                head_count=layer.attn.num_heads,
                cache=layer.attn.cache_reader,
                # the classifier reads the last token, which attends to all before it
                last_query_only=number == self.layers - 1,
                masked=number < self.layers - 1,
            )
            for number, layer in enumerate(network.transformer.h)
        ]
