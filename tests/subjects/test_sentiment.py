"""Two corpora of sentences, read as they are distributed."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.real_data import POLARITY, needs

from attention_faults.errors import InputError
from attention_faults.subjects import sentiment


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Twenty negative and thirty positive sentences, each of its own words."""
    path = tmp_path / "sentence_polarity.zip"
    with zipfile.ZipFile(path, "w") as file:
        for polarity, count in (("neg", 20), ("pos", 30)):
            lines = "".join(f"{polarity}{i} caf\xe9 . \n" for i in range(count))
            file.writestr(f"sentence_polarity/rt-polarity.{polarity}", lines)
    return path


def test_labels_go_with_their_sentences(archive):
    sentences = sentiment.read(archive, seed=0)
    assert len(sentences.texts) == 50
    for text, label in zip(sentences.texts, sentences.labels, strict=True):
        assert text.startswith(("neg", "pos")[label])
        assert text.split()[1:] == ["caf\xe9", "."]


def test_a_tenth_of_each_polarity_is_held_out_by_seed(archive):
    one, again, other = (sentiment.read(archive, seed).test for seed in (0, 0, 1))
    labels = sentiment.read(archive, 0).labels
    assert np.bincount(labels[one]).tolist() == [2, 3]
    assert (one == again).all()
    assert (one != other).any()


def test_sst2_keeps_its_own_split_and_its_quotes(tmp_path):
    (tmp_path / "train.tsv").write_text('sentence\tlabel\n"so bad\t0\nNone\t1\n')
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\ngood\t1\n")
    sentences = sentiment.read(tmp_path, seed=0)
    assert sentences.texts.tolist() == ['"so bad', "None", "good"]
    assert sentences.labels.tolist() == [0, 1, 1]
    assert sentences.test.tolist() == [False, False, True]


def test_words_are_known_if_they_occur_twice():
    ids, vocabulary = sentiment.whole_words(["a b", "c a a"], ["a a b", "b c"], length=10)
    assert vocabulary == 5
    unknown, start, padding = sentiment.UNKNOWN, sentiment.START, sentiment.PADDING
    assert ids.tolist() == [[start, 3, 4, padding], [start, unknown, 3, 3]]


@pytest.mark.parametrize("content", [b"no archive", None])
def test_what_is_no_archive_is_the_users_error(content, tmp_path):
    path = tmp_path / "sentence_polarity.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"sentence_polarity\.zip"):
        sentiment.read(path, seed=0)


def test_an_archive_of_something_else_is_the_users_error(tmp_path):
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("movie_reviews/neg/cv000_1.txt", "bad .")
    with pytest.raises(InputError, match=r"rt-polarity\.neg"):
        sentiment.read(path, seed=0)


@pytest.mark.parametrize(
    "train",
    [None, "text\tlabel\ngood\t1\n", "sentence\tlabel\ngood\tgreat\n"],
    ids=["none", "column", "label"],
)
def test_a_folder_without_sst2_is_the_users_error(train, tmp_path):
    if train is not None:
        (tmp_path / "train.tsv").write_text(train)
        (tmp_path / "dev.tsv").write_text("sentence\tlabel\ngood\t1\n")
    with pytest.raises(InputError, match="SST-2"):
        sentiment.read(tmp_path, seed=0)


@needs(POLARITY)
def test_published_corpus_has_5331_sentences_of_each_polarity():
    sentences = sentiment.read(POLARITY, seed=0)
    assert np.bincount(sentences.labels).tolist() == [5331, 5331]
    assert sentences.test.sum() == 2 * 533
