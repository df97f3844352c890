"""A series is trained as planned; what is written can be read again, in the same bytes."""

import json

import numpy as np
import pytest
import torch
from support.tiny import Tiny

from attention_faults.faults import execution
from attention_faults.faults.campaign import Series
from attention_faults.faults.execution import Machine
from attention_faults.faults.fault import NoEffectError
from attention_faults.faults.operator import CATALOGUE, Operator, catalogue
from attention_faults.subjects.subject import Recipe

CLEAN = Series("tiny", "reference", "reference", (1, 2))
FAULTY = Series("tiny", "wrong_scale-attention-3", "faulty", (1, 2), "wrong_scale", "attention", 3.0)


def executed(folder, series, subject=None, machine=None):
    subject = subject or Tiny()
    task = subject.task(0)
    summary = folder / "train.json"
    execution.execute(
        series, subject, task, machine or Machine(), summary=summary, checkpoints=folder / "checkpoints"
    )
    return json.loads(summary.read_text())


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.mark.parametrize("series", [CLEAN, FAULTY], ids=lambda series: series.kind)
def test_same_series_gives_the_same_bytes(tmp_path, series):
    executed(tmp_path / "one", series)
    executed(tmp_path / "two", series)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert len(files(tmp_path / "one")) == 1 + 2 * 3


def test_summary_holds_the_fault_its_truth_and_the_scores_of_every_epoch(tmp_path):
    content = executed(tmp_path, FAULTY)
    assert content["truth"] == ["attention.key", "attention.query"]
    assert [content[name] for name in ("operator", "place", "severity")] == ["wrong_scale", "attention", 3.0]
    assert content["synthetic"] is True
    for run in content["runs"]:
        assert run["recipe"]["epochs"] == 2
        assert len(run["scores"]) == 3
        assert all(0 <= scores["accuracy"] <= 1 for scores in run["scores"])


def test_checkpoints_load_into_the_model_and_give_its_scores(tmp_path):
    content = executed(tmp_path, CLEAN)
    subject = Tiny()
    task = subject.task(0)
    for stage, epoch in (("start", 0), ("middle", 1), ("end", 2)):
        model = subject.build(task, 1)
        model.load_state_dict(execution.read_state(tmp_path / f"checkpoints/1/{stage}.safetensors"))
        predicted = subject.outputs(model.eval(), task.test).argmax(dim=1)
        accuracy = (predicted == task.test["label"]).double().mean().item()
        assert accuracy == content["runs"][0]["scores"][epoch]["accuracy"]


def test_first_checkpoint_holds_the_fault(tmp_path):
    series = Series("tiny", "x", "faulty", (1,), "comparison_starts_at_zero", "attention", 1.0)
    executed(tmp_path, series)
    state = execution.read_state(tmp_path / "checkpoints/1/start.safetensors")
    assert state["query.weight"].abs().max() == 0
    assert state["value.weight"].abs().max() > 0


def test_one_epoch_has_all_checkpoints(tmp_path):
    executed(tmp_path, CLEAN, Tiny(recipe=Recipe(epochs=1, batch_size=16, learning_rate=0.01)))
    assert {path.stem for path in (tmp_path / "checkpoints/1").iterdir()} == {"start", "middle", "end"}


def crash(monkeypatch):
    """Put a fault into the catalogue that ends training with a loss that is no number."""
    entry = {**vars(catalogue()["learning_rate_wrong"]), "id": "explosion", "severities": (1e30,)}
    monkeypatch.setitem(CATALOGUE, "explosion", Operator(**entry))
    return Series("tiny", "explosion", "faulty", (1, 2), "explosion", "", 1e30)


def test_crash_of_a_mutant_is_a_result(tmp_path, monkeypatch):
    content = executed(tmp_path, crash(monkeypatch))
    assert [run["outcome"] for run in content["runs"]] == ["crashed"] * 2
    assert "the loss is" in content["runs"][0]["message"]
    assert [path.stem for path in (tmp_path / "checkpoints/1").iterdir()] == ["start"]
    table = execution.read_runs([tmp_path / "train.json"])
    assert table["accuracy"].isna().all()
    assert table["outcome"].tolist() == ["crashed"] * 2


def test_crash_of_a_clean_run_is_an_error(tmp_path):
    subject = Tiny(recipe=Recipe(epochs=2, batch_size=16, learning_rate=1e30))
    with pytest.raises(RuntimeError, match="the clean run with seed 1 crashed: DivergedError"):
        executed(tmp_path, CLEAN, subject)
    assert not (tmp_path / "train.json").exists()


def test_fault_without_effect_ends_the_series(tmp_path, monkeypatch):
    entry = {**vars(catalogue()["wrong_scale"]), "severities": (1.0,)}
    monkeypatch.setitem(CATALOGUE, "wrong_scale", Operator(**entry))
    series = Series("tiny", "x", "faulty", (1,), "wrong_scale", "attention", 1.0)
    with pytest.raises(NoEffectError, match="changes nothing"):
        executed(tmp_path, series)
    assert not (tmp_path / "train.json").exists()


def test_runs_are_read_with_the_scores_after_the_last_epoch(tmp_path):
    content = executed(tmp_path, CLEAN)
    table = execution.read_runs([tmp_path / "train.json"])
    assert table["seed"].tolist() == [1, 2]
    assert table["accuracy"].tolist() == [run["scores"][-1]["accuracy"] for run in content["runs"]]


def test_negatives_are_re_tuned_mildly_each_in_its_own_way(tmp_path):
    content = executed(tmp_path, Series("tiny", "negatives", "negative", (1, 2, 3)))
    rates = np.array([run["recipe"]["learning_rate"] for run in content["runs"]])
    assert len(set(rates)) == 3
    assert ((rates >= 0.8 * 0.01) & (rates <= 1.25 * 0.01)).all()


def test_weights_have_the_type_of_the_configuration(tmp_path):
    executed(tmp_path, CLEAN, machine=Machine(dtype="float64"))
    state = execution.read_state(tmp_path / "checkpoints/1/end.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float64}
