"""The embedded dataset, derived from its own ratings, is the published one; its release is valid."""

from pathlib import Path

import pandas as pd

from attention_faults import settings
from attention_faults.labelling import adjudication, release
from attention_faults.taxonomy import agreement
from attention_faults.taxonomy.codebook import Codebook

ROOT = Path(__file__).parents[2]
EMBEDDED = ROOT / "data" / "faults" / "github_2026"


def test_labels_of_the_embedded_release_are_the_published_ones(
    book: Codebook, records: pd.DataFrame, ratings: pd.DataFrame, tmp_path: Path
) -> None:
    blank = records.assign(**dict.fromkeys(book.columns, pd.NA))  # nothing to copy labels from
    described = settings.read(release.Description, EMBEDDED / "release.yaml")
    projects = records.set_index("record_id")["project"]
    measured = agreement.measure(ratings, projects, draws=100, level=0.95, seed=1)
    files = {"codebook.yaml": ROOT / "data" / "codebook.yaml"}
    folder = tmp_path / "release"
    release.write(release.of_dataset(described, blank, ratings, measured, files, book), folder)
    derived = pd.read_csv(folder / "records.csv", dtype=str, keep_default_na=False)
    for name in book.columns:
        assert derived[name].tolist() == records[name].tolist()
    assert release.validate(folder) == []
    provenance = adjudication.provenance(ratings)
    assert set(provenance["decided"]) == {"agreed", "adjudicated"}
    assert set(provenance.loc[provenance["decided"] == "adjudicated", "by"]) == {"C"}
    assert set(described.raters) == set(ratings["rater"])
