"""Provenance says where results come from, in the same bytes for the same state."""

import hashlib
import json
from pathlib import Path

import pytest

from attention_faults.reporting import provenance
from attention_faults.taxonomy.register import Entry


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    missing = tmp_path / "none"
    return Entry("mine", "2", "records.csv", "", "CC0", "independent", True, missing, missing, None)


def write(folder: Path, entry: Entry, seed: int = 1) -> bytes:
    records, protocol = folder / "records.csv", folder / "protocol.md"
    records.write_text("data")
    protocol.write_text("protocol")
    configuration = {"seed": seed, "registers": ["a.csv"]}
    about = {"dataset": provenance.of_dataset(entry, records)}
    provenance.write(folder / "provenance.json", about, configuration, protocol)
    return (folder / "provenance.json").read_bytes()


def test_checksums_are_those_of_the_files(tmp_path: Path, entry: Entry) -> None:
    content = json.loads(write(tmp_path, entry))
    assert content["dataset"]["sha256"] == hashlib.sha256(b"data").hexdigest()
    assert content["protocol_sha256"] == hashlib.sha256(b"protocol").hexdigest()
    assert content["dataset"]["synthetic"] is True
    assert content["versions"].keys() >= {"pandas", "scipy", "snakemake", "attention-faults"}


def test_same_state_gives_same_bytes_and_another_seed_another_hash(tmp_path: Path, entry: Entry) -> None:
    first, second, third = write(tmp_path, entry), write(tmp_path, entry), write(tmp_path, entry, seed=2)
    assert first == second
    assert json.loads(first)["configuration_sha256"] != json.loads(third)["configuration_sha256"]


def test_commit_is_unknown_outside_a_checkout(
    tmp_path: Path, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = json.loads(write(tmp_path, entry))
    assert content["commit"] == provenance.UNKNOWN
    assert content["uncommitted_changes"] == [provenance.UNKNOWN]
