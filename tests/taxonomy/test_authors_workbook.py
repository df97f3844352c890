"""A SYNTHETIC workbook of 555 rows, shaped as the authors' may be, goes from import to verdicts."""

from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from attention_faults import settings
from attention_faults.errors import InputError
from attention_faults.taxonomy import claims, dataset, heuristics, prevalence
from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC, Codebook
from attention_faults.taxonomy.schema import Schema

PUBLISHED = Path(__file__).parents[2] / "data" / "published" / "claims.csv"
COLUMN_MAP = """
title: Synthetic stand-in for the authors' workbook
note: SYNTHETIC.
sheet: Manual Analysis
columns:
  record_id: {from: "#"}
  url: {from: Issue Link}
  project: {from: Issue Link, pattern: "github.com/([^/]+/[^/]+)"}
  framework: {from: Framework}
  category: {from: Category}
  root_cause: {from: Root Cause}
  symptom: {from: Symptom}
"""


@pytest.fixture(scope="module")
def workbook(tmp_path_factory: pytest.TempPathFactory, book: Codebook) -> Path:
    """Write 555 synthetic rows: 96 projects, ten frameworks, every root cause, 60% attention-specific."""
    generator = np.random.default_rng(555)
    causes = book.labels("root_cause")
    specific = [cause for cause in causes if book.scope_of[book.category_of[cause]] == ATTENTION_SPECIFIC]
    generic = [cause for cause in causes if cause not in specific]
    file = openpyxl.Workbook()
    file.active.title = "Notes"
    sheet = file.create_sheet("Manual Analysis")
    sheet.append(["#", "Issue Link", "Framework", "Category", "Root Cause", "Symptom"])
    for row in range(555):
        pool = specific if row % 5 < 3 else generic
        cause = pool[row % len(pool)] if row < 200 else generator.choice(pool)
        link = f"https://github.com/owner/project-{row % 96}/issues/{row}"
        symptom = generator.choice(book.labels("symptom"))
        sheet.append([row, link, f"framework {row % 10}", book.category_of[cause], cause, symptom])
    path = tmp_path_factory.mktemp("authors") / "Manual_Analysis.xlsx"
    file.save(path)
    return path


@pytest.fixture(scope="module")
def schema(workbook: Path) -> Schema:
    path = workbook.with_name("schema.yaml")
    path.write_text(COLUMN_MAP)
    return settings.read(Schema, path)


@pytest.fixture(scope="module")
def verdicts(workbook: Path, schema: Schema, book: Codebook) -> dict[str, pd.Series]:
    records = dataset.load(workbook, schema, book)
    draws = {"min_antecedent": 5, "permutations": 19, "grid_permutations": 19, "folds": 10}
    thresholds = heuristics.Thresholds(**heuristics.PROTOCOL, **draws)
    ours = claims.measure(
        records,
        prevalence.measure(records, book, draws=200, level=0.95, seed=1),
        heuristics.derive(records, thresholds, draws=200, level=0.95, seed=1).summary,
        None,
    )
    published = claims.load(PUBLISHED)
    published = published[published["study"] == "taxonomy"]
    return {
        population: claims.judge(published, ours, population).set_index("id")["verdict"]
        for population in ("authors", "independent")
    }


def test_counts_of_the_abstract_are_reproduced_on_the_authors_own_data(
    verdicts: dict[str, pd.Series],
) -> None:
    counted = ["fault_count", "project_count", "framework_count", "category_count", "root_cause_count"]
    assert verdicts["authors"][[*counted, "attention_specific_majority"]].unique().tolist() == ["reproduced"]


def test_random_symptoms_do_not_reproduce_the_coverage(verdicts: dict[str, pd.Series]) -> None:
    assert verdicts["authors"]["heuristic_coverage"] == "not reproduced"


def test_agreement_without_ratings_is_not_comparable(verdicts: dict[str, pd.Series]) -> None:
    assert verdicts["authors"]["phase_count"] == "not comparable"


def test_every_verdict_occurs(verdicts: dict[str, pd.Series]) -> None:
    seen = set(verdicts["authors"]) | set(verdicts["independent"])
    assert seen == {"reproduced", "not reproduced", "not comparable", "by construction"}


def test_map_that_does_not_fit_prints_sheets_and_columns_and_guesses_nothing(
    workbook: Path, schema: Schema, book: Codebook
) -> None:
    with pytest.raises(
        InputError, match=r"sheet `Manual Analysis` has the columns `#`, `Issue Link`, `Framework`"
    ):
        dataset.load(workbook, schema.model_copy(update={"sheet": "Sheet1"}), book)
    misnamed = {
        **schema.columns,
        "symptom": schema.columns["symptom"].model_copy(update={"source": "Symptoms"}),
    }
    with pytest.raises(InputError, match=r"no column `Symptoms`; did you mean `Symptom`"):
        dataset.load(workbook, schema.model_copy(update={"columns": misnamed}), book)
