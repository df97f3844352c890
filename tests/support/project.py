"""A copy of the project with a second, differently shaped dataset, and ways to run it."""

import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import openpyxl
import pytest
import yaml

ROOT = Path(__file__).parents[2]
EVIL = (
    "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\"> & \"quotes\""
)

CODEBOOK = """
version: 1
scopes: [attention_specific, general]
categories:
  masks:
    scope: attention_specific
    root_causes: {wrong_fill: Filled with a wrong value., None: No mask at all.}
  heads:
    scope: attention_specific
    root_causes: [mixed, merged]
  loop:
    scope: general
    root_causes: [step_missing, order]
symptoms: [bang, slow, wrong]
"""

SCHEMA = """
title: A user's own faults (synthetic)
note: Made up for a test.
sheet: Labels
columns:
  record_id: {from: No}
  url: {from: Link}
  project: {from: Link, pattern: "://[^/]+/([^/]+)/"}
  observed: {from: What happened}
  category: {from: Kind, labels: {Masking: masks, Heads: heads, Training loop: loop}}
  root_cause: {from: Why}
  symptom: {from: Seen, labels: {Bang!: bang}}
"""

REGISTER = """name,version,path,sha256,licence,population,synthetic,schema,codebook,ratings
own,1,own.xlsx,,CC0,independent,yes,schema.yaml,codebook.yaml,
"""


class Run(NamedTuple):
    """A finished run of the workflow."""

    folder: Path
    output: str

    @property
    def results(self) -> Path:
        return self.folder / "results"


def write_own_dataset(folder: Path) -> None:
    """Write a made-up dataset of a user: other columns, other labels, a workbook of two sheets."""
    folder.mkdir()
    book = openpyxl.Workbook()
    book.active.title = "Read me"
    sheet = book.create_sheet("Labels")
    sheet.append(["No", "Link", "What happened", "Kind", "Why", "Seen"])
    draw = random.Random(1)
    for number in range(120):
        kind, why = draw.choice(
            [("Masking", "wrong_fill"), ("Masking", "None"), ("Heads", "mixed"), ("Heads", "merged")]
            + [("Training loop", "order")] * 2
        )
        seen = "slow" if why == "None" and draw.random() < 0.8 else draw.choice(["Bang!", "slow", "wrong"])
        link = f"https://example.org/project-{number % 30}/{number}"
        sheet.append([number, link, EVIL if number == 0 else "=1+1", kind, why, seen])
    book.save(folder / "own.xlsx")
    (folder / "codebook.yaml").write_text(CODEBOOK)
    (folder / "schema.yaml").write_text(SCHEMA)
    (folder / "datasets.csv").write_text(REGISTER)


def copy_project(folder: Path) -> Path:
    """Copy the project without what it generates, and add the user's dataset."""
    generated = shutil.ignore_patterns(
        ".git", ".venv", ".label-studio", ".snakemake", "results", "raw", "*cache*", "*.egg-info"
    )
    shutil.copytree(ROOT, folder, ignore=generated, dirs_exist_ok=True)
    write_own_dataset(folder / "own")
    settings = yaml.safe_load((ROOT / "config/quick.yaml").read_text())
    settings |= {"registers": ["data/datasets.csv", "own/datasets.csv"], "datasets": ["github_2026", "own"]}
    (folder / "test.yaml").write_text(yaml.safe_dump(settings))
    return folder


def offline() -> list[str]:
    """Return the command prefix that takes the network away, loopback too."""
    prefix = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], check=False).returncode:
        missing("this system lets no user make a network namespace (unshare --net)")
    return prefix


def missing(what: str) -> None:
    """Skip a test for want of something; in continuous integration nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def snakemake(folder: Path, *arguments: str, own_code: bool = False) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a copy of the project, by choice with the package of the copy."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")} if own_code else None
    return subprocess.run(
        ["snakemake", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment,
    )  # fmt: skip
