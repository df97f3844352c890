"""The smallest subject that has everything a fault can hit: two heads, a mask, four blocks."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from attention_faults.subjects.attention import Attention, Site
from attention_faults.subjects.subject import Batch, Recipe, Subject, Task

SIZE, HEADS, LENGTH, WORDS = 8, 2, 6, 12


class TinyModel(nn.Module):
    """Embedding with positions, one attention of a given kind, mean, head."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.attention = Attention()
        self.embedding = nn.Embedding(WORDS, SIZE)
        self.position = nn.Embedding(LENGTH, SIZE)
        self.query, self.key, self.value = (nn.Linear(SIZE, SIZE) for _ in range(3))
        self.output = nn.Linear(SIZE, SIZE)
        self.head = nn.Linear(SIZE, 2)

    def forward(self, words: Tensor, real: Tensor) -> Tensor:
        states = self.embedding(words) + self.position(torch.arange(LENGTH))
        query, key, value = (
            project(states).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        allowed = real[:, None, None]
        if self.causal:
            allowed = allowed & torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
        merged, _ = self.attention(query, key, value, allowed=allowed, scaling=(SIZE / HEADS) ** -0.5)
        return self.head((states + self.output(merged)).sum(dim=1))


@dataclass(frozen=True, kw_only=True)
class Tiny(Subject):
    """SYNTHETIC: the label is the parity of the first word; sequences are padded at the end."""

    name: ClassVar[str] = "tiny"
    recipe: Recipe = Recipe(epochs=2, batch_size=16, learning_rate=0.01)
    kind: str = "self"

    def task(self, seed: int) -> Task:
        generator = torch.Generator().manual_seed(seed)

        def draw(samples: int) -> Batch:
            words = torch.randint(WORDS, (samples, LENGTH), generator=generator)
            lengths = torch.randint(3, LENGTH + 1, (samples, 1), generator=generator)
            return {"words": words, "real": torch.arange(LENGTH) < lengths, "label": words[:, 0] % 2}

        return Task(draw(64), draw(32), classes=2, synthetic=True)

    def build(self, task: Task, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return TinyModel(causal=self.kind == "causal_self")

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        return model(batch["words"], batch["real"])

    def blocks(self, model: nn.Module) -> dict[str, list[nn.Parameter]]:
        attention = {
            f"attention.{role}": list(getattr(model, role).parameters())
            for role in ("query", "key", "value", "output")
        }
        return {
            "embedding.word": [model.embedding.weight],
            "embedding.position": [model.position.weight],
            **attention,
            "head.output": list(model.head.parameters()),
        }

    def positions(self, model: nn.Module) -> dict[str, nn.Module]:
        return {"embedding.position": model.position}

    def sites(self, model: nn.Module) -> list[Site]:
        roles = ("query", "key", "value", "output")
        components = {role: tuple(getattr(model, role).parameters()) for role in roles}
        return [Site("", "attention", self.kind, model.attention, components, HEADS, masked=True)]
