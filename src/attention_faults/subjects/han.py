"""Hierarchical Attention Network for documents (Yang et al. 2016).

Words make sentences, sentences make a document: at both levels a bidirectional GRU reads the sequence and an
additive attention with a learnt context vector says which of its states count.
"""

import zipfile
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from attention_faults.errors import InputError
from attention_faults.subjects.attention import Attention, Site
from attention_faults.subjects.subject import Batch, Count, Recipe, Subject, Task, demand

PADDING, UNKNOWN = 0, 1
POLARITIES = ("neg", "pos")

Document = list[list[str]]


class AdditiveAttention(nn.Module):
    """Average the states that resemble a learnt context vector (equations 5 to 7, and 8 to 10)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attention = Attention()
        self.query = nn.Parameter(torch.empty(size).uniform_(-1, 1) / size**0.5)
        self.key = nn.Linear(size, size)

    def forward(self, states: Tensor, allowed: Tensor) -> Tensor:
        """Turn states (B, S, D), real where `allowed` (B, S), into one vector a sequence: (B, D)."""
        key = torch.tanh(self.key(states))
        output, _ = self.attention(
            self.query[None, None, None], key[:, None], states[:, None], allowed=allowed[:, None, None]
        )
        return output[:, 0]


class Encoder(nn.Module):
    """Turn a sequence of vectors into one vector: bidirectional GRU, then attention."""

    def __init__(self, size: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(size, hidden, batch_first=True, bidirectional=True)
        self.attend = AdditiveAttention(2 * hidden)

    def forward(self, vectors: Tensor, allowed: Tensor) -> Tensor:
        """Encode vectors (B, S, size), real where `allowed` (B, S), at least one a row: (B, 2 * hidden)."""
        position = torch.arange(1, allowed.shape[1] + 1, device=allowed.device)
        lengths = (position * allowed).amax(dim=1).cpu()
        packed = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN's GRU has no double backward
            states, _ = self.gru(packed)
        padded, _ = pad_packed_sequence(states, batch_first=True, total_length=allowed.shape[1])
        vector: Tensor = self.attend(padded, allowed)
        return vector


class HierarchicalAttentionNetwork(nn.Module):
    """Document classifier (Yang et al. 2016, equations 1 to 11)."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.word = Encoder(embedding, hidden)
        self.sentence = Encoder(2 * hidden, hidden)
        self.head = nn.Linear(2 * hidden, classes)

    def encoders(self) -> list[tuple[str, Encoder]]:
        """List both levels by name."""
        return [("word", self.word), ("sentence", self.sentence)]

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        """Classify documents of word ids (B, S, W), real where `mask` (B, S, W): logits (B, classes)."""
        real = mask.any(dim=2)
        encoded = self.word(self.embedding(words[real]), mask[real])
        sentences = encoded.new_zeros(*real.shape, encoded.shape[1]).masked_scatter(real[..., None], encoded)
        logits: Tensor = self.head(self.sentence(sentences, real))
        return logits


@dataclass(frozen=True)
class DocumentTask(Task):
    """Documents to classify: `words` (samples, sentences, words), padded where `mask` is false.

    Attributes:
        vocabulary: number of word ids, padding included.
    """

    vocabulary: int


@dataclass(frozen=True, kw_only=True)
class Han(Subject):
    """Hierarchical Attention Network.

    The embedded task: each word has a weight and a class, and a document has the class of its weightiest
    word. How heavy that word is differs from document to document, so that no set of words can be learnt to
    count: words compete within their sentence, and sentences within their document.

    Attributes:
        embedding: size of a word vector.
        hidden: size of a GRU state, each direction.
        classes: of words and documents, in the embedded task.
        weights: steps of weight, in the embedded task.
        sentences: most sentences of a document; the rest of a longer one is cut off.
        words: most words of a sentence, likewise.
        train_size: training documents of the embedded task.
        test_size: test documents of the embedded task.
    """

    name: ClassVar[str] = "han"

    recipe: Recipe = Recipe(epochs=8, batch_size=64, learning_rate=0.01)
    embedding: Count = 32
    hidden: Count = 12
    classes: Count = 6
    weights: Count = 6
    sentences: Count = 16
    words: Count = 5
    train_size: Count = 1600
    test_size: Count = 600

    def __post_init__(self) -> None:
        """Refuse options that do not fit together."""
        demand({"`sentences` and `words` must be 2 or more": min(self.sentences, self.words) > 1})

    def task(self, seed: int) -> DocumentTask:
        """Make the embedded task: synthetic, the same for the same seed."""
        generator = np.random.default_rng(seed)
        train = self._synthetic_documents(self.train_size, generator)
        test = self._synthetic_documents(self.test_size, generator)
        return DocumentTask(train, test, self.classes, True, vocabulary=1 + self.weights * self.classes)

    def _synthetic_documents(self, count: int, generator: np.random.Generator) -> Batch:
        document = np.arange(count)
        label = generator.permutation(document % self.classes)
        shape = (count, self.sentences, self.words)
        sentence_count = generator.integers(self.sentences // 2, self.sentences, (count, 1), endpoint=True)
        word_count = generator.integers(self.words // 2, self.words, (*shape[:2], 1), endpoint=True)
        mask = (np.arange(self.sentences) < sentence_count)[..., None] & (np.arange(self.words) < word_count)

        heaviest = generator.integers(1, self.weights, (count, 1, 1))
        ceiling = generator.integers(heaviest, size=(*shape[:2], 1))  # the others of its sentence stay below
        weight = generator.integers(ceiling, size=shape, endpoint=True)
        kind = generator.integers(self.classes, size=shape)
        place = np.where(mask, generator.random(shape), -1).reshape(count, -1).argmax(axis=1)
        weight.reshape(count, -1)[document, place] = heaviest.ravel()
        kind.reshape(count, -1)[document, place] = label

        words = np.where(mask, 1 + weight * self.classes + kind, PADDING)
        return {
            "words": torch.from_numpy(words),
            "mask": torch.from_numpy(mask),
            "label": torch.from_numpy(label),
        }

    def real_task(self, path: Path, seed: int, *, minimum_count: int = 5) -> DocumentTask:
        """Read the film reviews of Pang and Lee (2004) and hold out a random fifth of each polarity.

        Args:
            path: `movie_reviews.zip` of NLTK, or the folder that it holds: `{neg,pos}/*.txt`, one sentence a
                line.
            seed: of the split.
            minimum_count: how often a word must occur in the training part to be known.

        Raises:
            InputError: if the file is not such an archive.
        """
        documents = _read_reviews(path)
        generator = np.random.default_rng(seed)
        train: list[tuple[int, Document]] = []
        test: list[tuple[int, Document]] = []
        for label, polarity in enumerate(POLARITIES):
            order = generator.permutation(len(documents[polarity]))
            chosen = [(label, documents[polarity][i]) for i in order]
            held_out = len(chosen) // 5
            test += chosen[:held_out]
            train += chosen[held_out:]
        counts = Counter(chain.from_iterable(chain.from_iterable(document) for _, document in train))
        known = sorted(word for word, count in counts.items() if count >= minimum_count)
        ids = {word: 2 + i for i, word in enumerate(known)}
        return DocumentTask(
            self._encode(train, ids), self._encode(test, ids), len(POLARITIES), False, vocabulary=2 + len(ids)
        )

    def _encode(self, labelled: list[tuple[int, Document]], ids: dict[str, int]) -> Batch:
        words = torch.full((len(labelled), self.sentences, self.words), PADDING)
        for i, (_, document) in enumerate(labelled):
            for j, sentence in enumerate(document[: self.sentences]):
                known = [ids.get(word, UNKNOWN) for word in sentence[: self.words]]
                words[i, j, : len(known)] = torch.tensor(known)
        return {
            "words": words,
            "mask": words != PADDING,
            "label": torch.tensor([label for label, _ in labelled]),
        }

    def build(self, task: Task, seed: int) -> HierarchicalAttentionNetwork:
        """Make the model with weights drawn from the seed."""
        if not isinstance(task, DocumentTask):
            raise TypeError(f"{self.name} classifies documents, got {type(task).__name__}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return HierarchicalAttentionNetwork(task.vocabulary, self.embedding, self.hidden, task.classes)

    def outputs(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return logits, shape (documents, classes)."""
        logits: Tensor = model(batch["words"], batch["mask"])
        return logits

    def blocks(self, model: nn.Module) -> dict[str, list[nn.Parameter]]:
        """Group all parameters by layer and component."""
        network = cast("HierarchicalAttentionNetwork", model)
        blocks = {"word.embedding": list(network.embedding.parameters())}
        for layer, encoder in network.encoders():
            blocks[f"{layer}.gru"] = list(encoder.gru.parameters())
            blocks[f"{layer}.query"] = [encoder.attend.query]
            blocks[f"{layer}.key"] = list(encoder.attend.key.parameters())
        return {**blocks, "document.head": list(network.head.parameters())}

    def sites(self, model: nn.Module) -> list[Site]:
        """List word attention and sentence attention."""
        network = cast("HierarchicalAttentionNetwork", model)
        return [
            Site(
                path=f"{layer}.attend",
                layer=layer,
                kind="additive",
                attention=encoder.attend.attention,
                components={"query": (encoder.attend.query,), "key": tuple(encoder.attend.key.parameters())},
                head_count=1,
                masked=True,
            )
            for layer, encoder in network.encoders()
        ]


def _read_reviews(path: Path) -> dict[str, list[Document]]:
    """Read the documents of each polarity, in the order of their names, as sentences of words."""
    try:
        if path.is_dir():
            files = sorted(path.glob("*/*.txt"))
            texts = {str(file): file.read_text(encoding="utf-8", errors="replace") for file in files}
        else:
            with zipfile.ZipFile(path) as archive:
                names = sorted(name for name in archive.namelist() if name.endswith(".txt"))
                texts = {name: archive.read(name).decode("utf-8", errors="replace") for name in names}
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as the archive of movie reviews: {error}") from error
    documents = {
        polarity: [
            [line.split() for line in text.splitlines() if line.strip()]
            for name, text in texts.items()
            if Path(name).parent.name == polarity
        ]
        for polarity in POLARITIES
    }
    problems = [
        f"{path}: no documents `movie_reviews/{polarity}/*.txt`; is it `movie_reviews.zip` of NLTK?"
        for polarity in POLARITIES
        if not documents[polarity]
    ]
    if problems:
        raise InputError(problems)
    return documents
