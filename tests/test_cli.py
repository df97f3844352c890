"""The command line: what it ranks, and how it says no."""

import re
import subprocess
from pathlib import Path

import pytest

RECORDS = Path(__file__).parents[1] / "data/faults/github_2026/records.csv"


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = ["attention-faults", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_valid_dataset_is_counted() -> None:
    finished = run("validate", str(RECORDS))
    assert finished.returncode == 0
    assert finished.stdout.strip() == f"{RECORDS}: 590 records of 277 projects are valid."


def test_bad_dataset_is_reported_without_traceback(tmp_path: Path) -> None:
    lines = RECORDS.read_text(encoding="utf-8").splitlines()
    lines[3] = lines[3].replace(",mask_generation,", ",mask_genration,").replace(",inference,", ",inferense,")
    lines[4] = lines[4].replace(",training,", ",trainning,").replace(",inference,", ",inferense,")
    bad = tmp_path / "records.csv"
    bad.write_text("\n".join(lines), encoding="utf-8")
    finished = run("validate", str(bad))
    assert finished.returncode == 1
    assert re.search(
        rf"{re.escape(str(bad))}:[45]: column `\w+`: `\w+` is not in the codebook; did you mean `\w+`\?",
        finished.stderr,
    )
    assert finished.stderr.endswith("nothing was written.\n")
    assert "Traceback" not in finished.stderr


def test_suggestions_rank_categories_and_causes_with_examples(tmp_path: Path) -> None:
    finished = run("suggest", "--symptom", "nan_or_inf", "--trigger", "low_precision", folder=tmp_path)
    assert finished.returncode == 0
    assert "category" in finished.stdout
    assert "root_cause" in finished.stdout
    shares = [int(share) for share in re.findall(r"(\d+)% \(", finished.stdout)]
    assert len(shares) == 10
    assert shares[:5] == sorted(shares[:5], reverse=True)
    assert re.search(r"^ +https://github.com/\S+$", finished.stdout, re.MULTILINE)


def test_unknown_label_names_the_nearest_one() -> None:
    finished = run("suggest", "--symptom", "nan_or_inff")
    assert finished.returncode == 1
    assert "did you mean `nan_or_inf`?" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_suggest_needs_something_observed() -> None:
    finished = run("suggest")
    assert finished.returncode == 1
    assert "symptom" in finished.stderr


@pytest.mark.parametrize("arguments", [(), ("--help",), ("validate", "--help"), ("suggest", "--help")])
def test_help_names_the_commands(arguments: tuple[str, ...]) -> None:
    finished = run(*arguments)
    assert "Usage: attention-faults" in finished.stdout
