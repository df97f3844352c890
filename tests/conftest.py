"""Fixtures that read the embedded dataset without the code under test."""

from pathlib import Path

import pandas as pd
import pytest

from attention_faults.taxonomy import codebook
from attention_faults.taxonomy.codebook import Codebook

ROOT = Path(__file__).parents[1]
EMBEDDED = ROOT / "data" / "faults" / "github_2026"


def read_text_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@pytest.fixture(scope="session")
def book() -> Codebook:
    return codebook.load(ROOT / "data" / "codebook.yaml")


@pytest.fixture(scope="session")
def records(book: Codebook) -> pd.DataFrame:
    return book.categorise(read_text_csv(EMBEDDED / "records.csv"))


@pytest.fixture(scope="session")
def ratings() -> pd.DataFrame:
    return read_text_csv(EMBEDDED / "ratings.csv")
