"""Bad input ends a run with one clear message, and no result."""

from pathlib import Path

import pytest
import yaml
from support.project import snakemake

pytestmark = pytest.mark.xdist_group("workflow")


def results(folder: Path) -> list[Path]:
    return [path for path in (folder / "results").rglob("*") if path.is_file() and path.suffix != ".log"]


def test_bad_configuration_is_reported_whole(project: Path) -> None:
    (project / "bad.yaml").write_text(yaml.safe_dump({"sed": 3, "interval": {"level": 95}}))
    finished = snakemake(project, "--configfile", "bad.yaml")
    assert finished.returncode != 0
    assert "unknown key `sed`; did you mean `seed`?" in finished.stdout
    assert "key `interval.level`" in finished.stdout
    assert "Traceback" not in finished.stdout
    assert results(project) == []


def test_unknown_dataset_names_the_nearest_one(project: Path) -> None:
    (project / "bad.yaml").write_text(yaml.safe_dump({"datasets": ["github_2062"]}))
    finished = snakemake(project, "--configfile", "bad.yaml")
    assert finished.returncode != 0
    assert "`github_2062` is not in the register; did you mean `github_2026`?" in finished.stdout


def test_bad_records_are_all_reported_and_nothing_is_written(project: Path) -> None:
    path = project / "data/faults/github_2026/records.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[2] = lines[2].replace("wrong_input", "wrong_imput")
    lines[5] = lines[5].replace("https://", "javascript://")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    register = project / "data/datasets.csv"
    name, version, file, _, *rest = register.read_text().splitlines()[1].split(",")
    header = register.read_text().splitlines()[0]
    register.write_text(f"{header}\n{','.join([name, version, file, '', *rest])}\n")
    finished = snakemake(project, "taxonomy")
    assert finished.returncode != 0
    source = "data/faults/github_2026/records.csv"
    assert (
        f"{source}:3: column `root_cause`: `wrong_imput` is not in the codebook; did you mean `wrong_input`?"
        in finished.stdout
    )
    assert f"{source}:6: column `url`: `javascript://" in finished.stdout
    assert "2 errors; nothing was written." in finished.stdout
    assert "Traceback" not in finished.stdout
    assert results(project) == []


def test_changed_file_is_not_taken_for_the_registered_one(project: Path) -> None:
    path = project / "data/faults/github_2026/records.csv"
    path.write_bytes(path.read_bytes() + b"\n")
    finished = snakemake(project, "taxonomy")
    assert finished.returncode != 0
    assert "the register expects de91e8ec" in finished.stdout
    assert results(project) == []
