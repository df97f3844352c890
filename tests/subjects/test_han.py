"""The Hierarchical Attention Network, its masks, and the task that needs its attention."""

import dataclasses
import math
import zipfile
from pathlib import Path

import pytest
import torch
from support.real_data import REVIEWS, needs
from support.small import SUBJECTS
from torch import Tensor, nn

from attention_faults.errors import InputError
from attention_faults.subjects.han import (
    PADDING,
    UNKNOWN,
    AdditiveAttention,
    DocumentTask,
    Encoder,
    HierarchicalAttentionNetwork,
)
from attention_faults.subjects.subject import Batch
from attention_faults.subjects.training import Plan, train

SMALL = SUBJECTS["han"]


@pytest.fixture(scope="module")
def task() -> DocumentTask:
    return SMALL.task(seed=0)


@pytest.fixture
def model(task: DocumentTask) -> HierarchicalAttentionNetwork:
    return SMALL.build(task, seed=0)


def test_weights_sum_to_one_and_leave_padding_out(
    task: DocumentTask, model: HierarchicalAttentionNetwork
) -> None:
    seen = []
    for site in SMALL.sites(model):
        normalise = site.attention.normalise
        site.attention.normalise = lambda scores, normalise=normalise: (  # type: ignore[method-assign]
            seen.append(normalise(scores)) or seen[-1]
        )
    SMALL.outputs(model, task.test)
    mask = task.test["mask"]
    real = mask.any(dim=2)
    for weights, allowed in zip(seen, (mask[real], real), strict=True):
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
        assert (weights[:, 0, 0][~allowed] == 0).all()
        assert (weights[:, 0, 0][allowed] > 0).all()


def test_what_stands_in_the_padding_changes_nothing(
    task: DocumentTask, model: HierarchicalAttentionNetwork
) -> None:
    words, mask = task.test["words"], task.test["mask"]
    other = torch.where(mask, words, torch.randint(task.vocabulary, words.shape))
    assert not torch.equal(other, words)
    assert torch.equal(model(other, mask), model(words, mask))


def test_more_padding_changes_nothing(task: DocumentTask, model: HierarchicalAttentionNetwork) -> None:
    words, mask = task.test["words"], task.test["mask"]
    longer = nn.functional.pad(words, (0, 3, 0, 2), value=7)
    torch.testing.assert_close(model(longer, nn.functional.pad(mask, (0, 3, 0, 2))), model(words, mask))


def test_a_word_that_is_not_padding_counts(task: DocumentTask, model: HierarchicalAttentionNetwork) -> None:
    words, mask = task.test["words"], task.test["mask"]
    document, sentence, word = mask.nonzero()[-1]
    other = words.clone()
    other[document, sentence, word] = 1 + words[document, sentence, word] % (task.vocabulary - 1)
    changed = (model(other, mask) != model(words, mask)).any(dim=1)
    assert changed.nonzero().ravel().tolist() == [document]


def test_a_padded_sequence_is_read_like_the_sequence_alone() -> None:
    torch.manual_seed(0)
    encoder = Encoder(4, 3).double()
    vectors = torch.randn(5, 6, 4, dtype=torch.double)
    lengths = torch.tensor([6, 1, 4, 2, 5])
    together = encoder(vectors, torch.arange(6) < lengths[:, None])
    for row, length in enumerate(lengths):
        forward, backward = _gru_states(encoder.gru, vectors[row, :length])
        states = torch.cat([forward, backward], dim=1)[None]
        alone = encoder.attend(states, torch.ones(1, int(length), dtype=torch.bool))
        torch.testing.assert_close(together[row], alone[0])


def _gru_states(gru: nn.GRU, sequence: Tensor) -> tuple[Tensor, Tensor]:
    """Step through a sequence in both directions, gate by gate (equations 1 to 4 of Yang et al.)."""
    both = []
    for suffix, order in (("", range(len(sequence))), ("_reverse", reversed(range(len(sequence))))):
        w_i, w_h, b_i, b_h = (
            getattr(gru, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        state = torch.zeros(gru.hidden_size, dtype=sequence.dtype)
        states: dict[int, Tensor] = {}
        for position in order:
            reset_i, update_i, new_i = (w_i @ sequence[position] + b_i).chunk(3)
            reset_h, update_h, new_h = (w_h @ state + b_h).chunk(3)
            reset, update = torch.sigmoid(reset_i + reset_h), torch.sigmoid(update_i + update_h)
            state = (1 - update) * torch.tanh(new_i + reset * new_h) + update * state
            states[position] = state
        both.append(torch.stack([states[position] for position in range(len(sequence))]))
    return both[0], both[1]


def test_attention_is_that_of_the_paper_element_by_element() -> None:
    torch.manual_seed(0)
    attend = AdditiveAttention(3).double()
    states = torch.randn(4, 5, 3, dtype=torch.double)
    lengths = [5, 1, 3, 4]
    output = attend(states, torch.arange(5) < torch.tensor(lengths)[:, None])
    weight, bias, context = (p.tolist() for p in (attend.key.weight, attend.key.bias, attend.query))
    for row, length in enumerate(lengths):
        h = states[row].tolist()
        importance = []
        for t in range(length):
            u = [math.tanh(sum(weight[i][j] * h[t][j] for j in range(3)) + bias[i]) for i in range(3)]
            importance.append(math.exp(sum(u[i] * context[i] for i in range(3))))
        expected = [sum(importance[t] * h[t][i] for t in range(length)) / sum(importance) for i in range(3)]
        assert output[row].tolist() == pytest.approx(expected, abs=1e-12)


def _assert_same(one: Batch, other: Batch) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_label_is_the_class_of_the_one_weightiest_word(task: DocumentTask) -> None:
    for batch in (task.train, task.test):
        for words, mask, label in zip(batch["words"], batch["mask"], batch["label"], strict=True):
            ids = words[mask] - 1
            weight, kind = ids // SMALL.classes, ids % SMALL.classes
            heaviest = weight == weight.max()
            assert heaviest.sum() == 1
            assert kind[heaviest].item() == label
        assert torch.bincount(batch["label"]).tolist() == [len(batch["label"]) // 3] * 3


def test_mask_marks_the_words_and_padding_stands_at_the_end(task: DocumentTask) -> None:
    mask = task.train["mask"]
    assert torch.equal(task.train["words"] != PADDING, mask)
    for dimension in (1, 2):
        steps = (mask if dimension == 2 else mask.any(dim=2)).int().diff(dim=dimension)
        assert (steps <= 0).all()
    assert mask.any(dim=2).sum(dim=1).unique().tolist() == [2, 3, 4]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Ten documents a polarity: each with a word of its own, five times, and a rare word."""
    path = tmp_path / "movie_reviews.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("movie_reviews/README", "none")
        for polarity in ("neg", "pos"):
            for number in range(10):
                own = f"{polarity}{number}"
                text = f"{own} {own} a \n\n{own} {own} {own} rare{own} a a a a\na\na\na\n"
                file.writestr(f"movie_reviews/{polarity}/cv{number:03}_1.txt", text)
    return path


def test_reviews_are_split_by_seed_within_each_polarity(archive: Path) -> None:
    one, again, other = (SMALL.real_task(archive, seed) for seed in (0, 0, 1))
    assert not one.synthetic
    assert torch.bincount(one.train["label"]).tolist() == [8, 8]
    assert torch.bincount(one.test["label"]).tolist() == [2, 2]
    _assert_same(one.test, again.test)
    assert not torch.equal(one.train["words"], other.train["words"])


def test_a_folder_is_read_like_the_archive(archive: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    one, other = (SMALL.real_task(path, seed=0) for path in (archive, tmp_path / "movie_reviews"))
    for part in ("train", "test"):
        assert all(torch.equal(getattr(one, part)[name], getattr(other, part)[name]) for name in one.train)


def test_vocabulary_is_that_of_the_training_part(archive: Path) -> None:
    task = SMALL.real_task(archive, seed=0)
    assert task.vocabulary == 2 + 1 + 16  # padding and unknown; `a`; the own words of 16 training documents
    own = {name: getattr(task, name)["words"][:, 0, 0] for name in ("train", "test")}
    assert (own["test"] == UNKNOWN).all()
    assert len(own["train"].unique()) == 16
    assert own["train"].min() > UNKNOWN
    assert SMALL.real_task(archive, seed=0, minimum_count=1).vocabulary == 2 + 1 + 32


def test_reviews_are_cut_to_the_sizes_of_the_subject(archive: Path) -> None:
    task = SMALL.real_task(archive, seed=0)
    assert task.train["words"].shape == (16, 4, 5)
    assert task.train["mask"].sum(dim=2).unique(dim=0).tolist() == [[3, 5, 1, 1]]
    model = SMALL.build(task, seed=0)
    assert SMALL.outputs(model, task.test).shape == (4, 2)


@pytest.mark.parametrize("content", [b"no archive", None])
def test_what_is_no_archive_of_reviews_is_the_users_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "movie_reviews.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"movie_reviews\.zip"):
        SMALL.real_task(path, seed=0)


def test_an_archive_without_one_polarity_is_the_users_error(tmp_path: Path) -> None:
    path = tmp_path / "reviews.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("movie_reviews/neg/cv000_1.txt", "bad .")
    with pytest.raises(InputError, match="movie_reviews/pos/") as caught:
        SMALL.real_task(path, seed=0)
    assert len(caught.value.problems) == 1


@needs(REVIEWS)
def test_published_reviews_are_read_and_can_be_trained_on() -> None:
    subject = dataclasses.replace(SMALL, sentences=6, words=8)
    task = subject.real_task(REVIEWS, seed=0)
    assert torch.bincount(task.train["label"]).tolist() == [800, 800]
    assert torch.bincount(task.test["label"]).tolist() == [200, 200]
    few = dataclasses.replace(
        task,
        train={name: tensor[::10] for name, tensor in task.train.items()},
        test={name: tensor[::10] for name, tensor in task.test.items()},
    )
    recipe = dataclasses.replace(subject.recipe, epochs=2, batch_size=16)
    plan = dataclasses.replace(Plan.of(subject, few, seed=0), recipe=recipe)
    run = train(subject.build(task, seed=0), plan)
    assert run.outcome == "finished"
    assert run.scores[-1].loss < run.scores[0].loss or run.scores[-1].accuracy > run.scores[0].accuracy
