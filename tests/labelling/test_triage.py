"""Triage ranks, calibrated, by words; it proposes a batch in which rank does not show."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.labelling import PHASES, Running, write_candidates, write_study

from attention_faults.errors import InputError
from attention_faults.labelling import batch, progress, triage

OUTCOMES = ["scope=attention_specific", "category"]


def made_up(number: int, seed: int) -> pd.DataFrame:
    """SYNTHETIC texts: a third of attention, told by a word that one in ten texts has wrongly."""
    generator = np.random.default_rng(seed)
    specific = generator.random(number) < 1 / 3
    told = specific ^ (generator.random(number) < 0.1)
    filler = generator.choice(["model", "error", "training", "wrong", "shape", "crash"], (number, 8))
    text = [" ".join([*words, "mask" if hit else "loss"]) for words, hit in zip(filler, told, strict=True)]
    return pd.DataFrame(
        {
            "record_id": [f"r{n:04}" for n in range(number)],
            "text": text,
            "project": [f"p{n % 25}" for n in range(number)],
            "scope": np.where(specific, "attention_specific", "generic"),
            "category": np.where(specific, "masks", "loop"),
        }
    )


def test_probabilities_are_calibrated_and_lift_the_first() -> None:
    candidates = made_up(600, seed=2)
    ranked = triage.rank(made_up(400, seed=1), candidates, OUTCOMES, seed=1)
    truth = candidates.set_index("record_id")["scope"].loc[ranked["record_id"]] == "attention_specific"
    assert truth.head(60).mean() > 2 * truth.mean()
    for low in (True, False):
        group = (ranked["scope=attention_specific"] < 0.5).to_numpy() == low
        assert ranked.loc[group, "score"].mean() == pytest.approx(truth[group].mean(), abs=0.08)


def test_equal_seeds_give_equal_rankings_and_one_sided_training_none() -> None:
    training, candidates = made_up(100, seed=1), made_up(50, seed=2)
    first, second = (triage.rank(training, candidates, OUTCOMES, seed=1) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    one_sided = triage.rank(training.assign(fault="fault"), candidates, ["fault=fault"], seed=1)
    assert (one_sided["score"] == 1).all()


def test_a_batch_holds_the_first_and_the_controls_and_no_score(tmp_path: Path, records: pd.DataFrame) -> None:
    pool = {"pool": "pool.csv", "batch": 20, "control": 0.1, "fault": {"relevance": "fault"}}
    phases = {"fault_relevance": PHASES["fault_relevance"]}
    file = write_study(tmp_path, phases=phases, triage=pool)
    write_candidates(tmp_path / "pool.csv", 200, first=200)  # half of them are in the study already
    running = Running(file)
    labels = progress.final_labels(running.protocol, running.ratings(), list(running.phases().values()))
    proposed = batch.propose(running.protocol, labels, records, wanted=0.95, level=0.95)
    assert len(proposed.ranking) == 200
    assert list(proposed.threads) == ["url", "project", "source", "created", "title", "body"]
    assert not set(proposed.threads["url"]) & set(running.candidates["url"])
    assert 20 < len(proposed.threads) < 50
    assert not proposed.recall.stop


def test_a_study_without_a_pool_says_so(tmp_path: Path, records: pd.DataFrame) -> None:
    running = Running(write_study(tmp_path))
    with pytest.raises(InputError, match="no key `triage`"):
        batch.propose(running.protocol, pd.DataFrame(), records, wanted=0.95, level=0.95)
