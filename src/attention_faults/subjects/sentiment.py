"""Sentences and whether they are positive: two corpora as they are distributed."""

import csv
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from attention_faults.errors import InputError

PADDING, START, UNKNOWN = 0, 1, 2
POLARITIES = ("neg", "pos")


@dataclass(frozen=True)
class Sentences:
    """Sentences with their labels, 1 for positive; those of the test part are to be held out."""

    texts: NDArray[np.object_]
    labels: NDArray[np.int64]
    test: NDArray[np.bool_]


def read(path: Path, seed: int) -> Sentences:
    """Read a corpus.

    Args:
        path: `sentence_polarity.zip` of NLTK (Pang and Lee 2005), of which a random tenth of each polarity is
            held out; or a folder with `train.tsv` and `dev.tsv` of SST-2 as GLUE distributes it, of which
            `dev.tsv` is held out.
        seed: of the split, where the corpus has none.

    Raises:
        InputError: if there is no such corpus at the path.
    """
    return _read_sst2(path) if path.is_dir() else _read_polarity(path, seed)


def _read_polarity(path: Path, seed: int) -> Sentences:
    try:
        with zipfile.ZipFile(path) as archive:
            lines = [
                archive.read(f"sentence_polarity/rt-polarity.{polarity}").decode().splitlines()
                for polarity in POLARITIES
            ]
    except (OSError, zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as `sentence_polarity.zip` of NLTK: {error}") from error
    generator = np.random.default_rng(seed)
    return Sentences(
        np.concatenate([np.array(texts, dtype=object) for texts in lines]),
        np.repeat([0, 1], [len(texts) for texts in lines]),
        np.concatenate([generator.permutation(len(texts)) < len(texts) // 10 for texts in lines]),
    )


def _read_sst2(path: Path) -> Sentences:
    try:
        train, dev = (
            pd.read_csv(path / name, sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False)[
                ["sentence", "label"]
            ]
            for name in ("train.tsv", "dev.tsv")
        )
        both = pd.concat([train, dev])
        labels = both["label"].to_numpy(np.int64)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: cannot be read as SST-2 (`train.tsv` and `dev.tsv`, with columns `sentence` and "
            f"`label`): {error}"
        ) from error
    return Sentences(
        both["sentence"].to_numpy(object), labels, np.repeat([False, True], [len(train), len(dev)])
    )


def whole_words(texts: Sequence[str], known_from: Sequence[str], length: int) -> tuple[Tensor, int]:
    """Give the words of each text, which spaces set apart in both corpora, their numbers.

    Args:
        texts: what to number.
        known_from: texts whose words are known, if they occur twice in them.
        length: most tokens of a text, the start token included; the rest is cut off.

    Returns:
        Token ids (texts, length of the longest), 0 for padding, and the number of ids.
    """
    counts = Counter(word for text in known_from for word in text.split())
    known = sorted(word for word, count in counts.items() if count > 1)
    ids = {word: 1 + UNKNOWN + i for i, word in enumerate(known)}
    numbered = [
        torch.tensor([START, *(ids.get(word, UNKNOWN) for word in text.split())][:length]) for text in texts
    ]
    padded = torch.nn.utils.rnn.pad_sequence(numbered, batch_first=True, padding_value=PADDING)
    return padded, 1 + UNKNOWN + len(ids)
