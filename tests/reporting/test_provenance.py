"""Provenance says where results come from, in the same bytes for the same state."""

import hashlib
import json
from pathlib import Path

import pytest

from attention_faults.reporting import provenance


def write(folder: Path, seed: int = 1) -> bytes:
    records, protocol = folder / "records.csv", folder / "protocol.md"
    records.write_text("data")
    protocol.write_text("protocol")
    configuration = {"seed": seed, "registers": ["a.csv"]}
    about = {"dataset": {"synthetic": True, "sha256": provenance.sha256(records)}}
    provenance.write(folder / "provenance.json", about, configuration, protocol)
    return (folder / "provenance.json").read_bytes()


def test_checksums_are_those_of_the_files(tmp_path: Path) -> None:
    content = json.loads(write(tmp_path))
    assert content["dataset"]["sha256"] == hashlib.sha256(b"data").hexdigest()
    assert content["protocol_sha256"] == hashlib.sha256(b"protocol").hexdigest()
    assert content["dataset"]["synthetic"] is True
    assert content["versions"].keys() >= {"pandas", "scipy", "snakemake", "attention-faults"}


def test_same_state_gives_same_bytes_and_another_seed_another_hash(tmp_path: Path) -> None:
    first, second, third = write(tmp_path), write(tmp_path), write(tmp_path, seed=2)
    assert first == second
    assert json.loads(first)["configuration_sha256"] != json.loads(third)["configuration_sha256"]


def test_commit_is_unknown_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = json.loads(write(tmp_path))
    assert content["commit"] == provenance.UNKNOWN
    assert content["uncommitted_changes"] == [provenance.UNKNOWN]


def test_checksum_of_a_folder_is_of_names_and_contents(tmp_path: Path) -> None:
    def folder(name: str, files: dict[str, str]) -> str:
        for file, text in files.items():
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return provenance.sha256(tmp_path / name)

    first = folder("a", {"x/1": "one", "x/2": "two"})
    assert first == folder("b", {"x/2": "two", "x/1": "one"})
    assert first != folder("c", {"x/1": "two", "x/2": "one"})
    assert first != folder("d", {"y/1": "one", "x/2": "two"})
