"""DistilBERT with our attention steps against its own, and the task that needs both of its layers."""

import copy
from pathlib import Path

import pytest
import torch
import yaml
from support.real_data import ROOT
from support.small import SUBJECTS
from torch import nn
from transformers import BertTokenizer, DistilBertConfig, DistilBertForSequenceClassification

from attention_faults.errors import InputError
from attention_faults.faults.campaign import subject_of
from attention_faults.study import Model
from attention_faults.subjects import sentiment
from attention_faults.subjects.distilbert import DistilBert, TokenTask
from attention_faults.subjects.subject import Batch

SMALL = SUBJECTS["distilbert"]


@pytest.fixture(scope="module")
def task() -> TokenTask:
    return SMALL.task(seed=0)


@pytest.fixture
def model(task: TokenTask) -> DistilBertForSequenceClassification:
    return SMALL.build(task, seed=0)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_outputs_and_gradients_are_those_of_eager_attention(mode, task, model):
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    for site in SMALL.sites(eager):
        del eager.get_submodule(site.path).attention
    everyone = {**task.test, "attention_mask": torch.ones_like(task.test["attention_mask"])}
    for batch in (task.test, everyone):
        losses = []
        for network in (model, eager):
            getattr(network, mode)()
            network.zero_grad()
            losses.append(SMALL.outputs(network, batch))
            nn.functional.cross_entropy(losses[-1], batch["label"]).backward()
        torch.testing.assert_close(*losses, rtol=0, atol=1e-6)
        for ours, theirs in zip(model.parameters(), eager.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-6)


def test_weights_are_named_as_in_the_library_and_carry_over(task, model):
    theirs = DistilBertForSequenceClassification(model.config)
    assert theirs.state_dict().keys() == model.state_dict().keys()


def test_attention_rows_sum_to_one_and_leave_padding_out(task, model):
    attentions = model(task.test["input_ids"], task.test["attention_mask"], output_attentions=True).attentions
    assert len(attentions) == SMALL.layers
    padding = ~task.test["attention_mask"][:, None, None, :]
    for weights in attentions:
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
        assert (weights.masked_select(padding) == 0).all()
        assert (weights.masked_select(~padding) > 0).all()


def test_what_stands_in_the_padding_changes_nothing(task, model):
    ids, real = task.test["input_ids"], task.test["attention_mask"]
    other = torch.where(real, ids, torch.randint(task.vocabulary, ids.shape))
    assert not torch.equal(other, ids)
    assert torch.equal(
        SMALL.outputs(model, {**task.test, "input_ids": other}), SMALL.outputs(model, task.test)
    )


def test_positions_can_be_broken_at_their_embedding(task, model):
    before = SMALL.outputs(model, task.test)
    positions = model.get_submodule("distilbert.embeddings.position_embeddings")
    with positions.register_forward_hook(lambda module, inputs, output: torch.zeros_like(output)):
        assert not torch.equal(SMALL.outputs(model, task.test), before)
    with positions.register_forward_pre_hook(lambda module, inputs: ((inputs[0] + 1) % (SMALL.length + 1),)):
        assert not torch.equal(SMALL.outputs(model, task.test), before)
    assert torch.equal(SMALL.outputs(model, task.test), before)


def _assert_same(one: Batch, other: Batch) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_label_is_the_polarity_of_the_key_that_is_asked_for_turned_by_a_negation_before_it(task):
    keys, negation = SMALL.keys, 3 * SMALL.keys
    turned = 0
    for ids, real, label in zip(*(task.train[name].tolist() for name in task.train), strict=True):
        key, *tokens = [token for token, exists in zip(ids, real, strict=True) if exists]
        assert key < keys
        [place] = [i for i, token in enumerate(tokens) if token < negation and (token - keys) // 2 == key]
        polarity = (tokens[place] - keys) % 2
        if place and tokens[place - 1] == negation:
            polarity = 1 - polarity
            turned += 1
        assert label == polarity
    assert 0.1 < turned / len(task.train["label"]) < 0.5


def test_padding_holds_a_compound_that_contradicts(task):
    ids, real = task.train["input_ids"], task.train["attention_mask"]
    asked = ids[:, :1]
    of_key = (ids[:, 1:] - SMALL.keys).div(2, rounding_mode="floor") == asked
    padded = ~real[:, 1:].all(dim=1)
    assert torch.equal((of_key & ~real[:, 1:]).any(dim=1), padded)
    polarity = (ids[:, 1:] - SMALL.keys) % 2
    genuine = (polarity * (of_key & real[:, 1:])).sum(dim=1)
    for row in padded.nonzero().ravel().tolist():
        assert (polarity[row][of_key[row] & ~real[row, 1:]] == 1 - genuine[row]).any()


def test_full_size_is_the_published_one():
    settings = yaml.safe_load((ROOT / "config/distilbert_full.yaml").read_text())
    full = subject_of("full", Model(**settings["models"]["distilbert_full"]))
    published = DistilBertConfig()
    assert (full.layers, full.heads, full.width) == (published.n_layers, published.n_heads, published.dim)
    assert (full.feed_forward, full.dropout) == (published.hidden_dim, published.dropout)
    assert full.initial_deviation == published.initializer_range


@pytest.fixture
def sst2(tmp_path: Path) -> Path:
    """Six training sentences and two others, in the format of GLUE."""
    good, bad = "so good , so good\t1\n", "not so good at all , bad\t0\n"
    (tmp_path / "train.tsv").write_text("sentence\tlabel\n" + 3 * (good + bad))
    (tmp_path / "dev.tsv").write_text("sentence\tlabel\n" + bad + "good !\t1\n")
    return tmp_path


def test_real_sentences_are_whole_words_without_a_pretrained_model(sst2):
    task = SMALL.real_task(sst2, seed=0)
    assert not task.synthetic
    assert task.vocabulary == 3 + len({"so", "good", ",", "not", "at", "all", "bad"})
    assert task.train["label"].tolist() == [1, 0] * 3
    assert task.test["label"].tolist() == [0, 1]
    assert task.test["attention_mask"].sum(dim=1).tolist() == [8, 3]
    assert (task.test["input_ids"][:, 0] == sentiment.START).all()
    assert task.test["input_ids"][1, 2] == sentiment.UNKNOWN
    assert SMALL.outputs(SMALL.build(task, seed=0), task.test).shape == (2, 2)


def test_long_sentences_are_cut_off(sst2):
    assert SMALL.real_task(sst2, seed=0, length=4).train["input_ids"].shape == (6, 4)


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """A model that was saved with its tokenizer."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "so", "good", "bad", "##ly"]
    BertTokenizer(vocab={word: i for i, word in enumerate(words)}).save_pretrained(tmp_path / "saved")
    config = DistilBertConfig(vocab_size=len(words), n_layers=1, n_heads=2, dim=4, hidden_dim=6)
    DistilBertForSequenceClassification(config).save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_pretrained_model_brings_its_weights_sizes_and_tokens(pretrained, sst2):
    subject = DistilBert(pretrained=str(pretrained))
    task = subject.real_task(sst2, seed=0)
    assert task.vocabulary == 9
    assert task.test["input_ids"][1].tolist() == [2, 6, 1, 3, 0, 0, 0, 0, 0]
    assert task.test["attention_mask"][1].tolist() == [True] * 4 + [False] * 5
    model = subject.build(task, seed=0)
    saved = DistilBertForSequenceClassification.from_pretrained(pretrained)
    for name, parameter in saved.named_parameters():
        assert torch.equal(model.get_parameter(name), parameter)
    assert [site.head_count for site in subject.sites(model)] == [2]
    assert subject.outputs(model, task.test).shape == (2, 2)


def test_a_pretrained_model_that_cannot_be_had_is_the_users_error(monkeypatch, sst2, task):
    def nowhere(*_: object, **__: object) -> None:
        raise OSError("no connection")

    for kind in ("AutoTokenizer", "DistilBertForSequenceClassification"):
        monkeypatch.setattr(f"attention_faults.subjects.distilbert.{kind}.from_pretrained", nowhere)
    subject = DistilBert(pretrained="some/model")
    for attempt in (lambda: subject.real_task(sst2, seed=0), lambda: subject.build(task, seed=0)):
        with pytest.raises(InputError, match=r"`some/model` is no folder.*leave it empty"):
            attempt()
