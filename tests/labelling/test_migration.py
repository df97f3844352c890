"""What a change of the codebook does to ratings, and what is wrong with one that leaves labels behind."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from support.labelling import MIGRATIONS, Running, write_study

from attention_faults.errors import InputError
from attention_faults.labelling import protocol
from attention_faults.labelling.migration import migrate


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (("attention_specific", "heads", "mixed"), ("attention_specific", "heads", "heads_mixed")),
        (("attention_specific", "heads", "merged"), ("attention_specific", "heads", "heads_mixed")),
        (("attention_specific", "masks", "fill"), ("attention_specific", "masks", "?fill")),
        (("attention_specific", "masks", "axis"), ("attention_specific", "masks", "axis")),
        (("generic", "loop", "order"), ("generic", "training", "order")),
        (("generic", "loop", ""), ("generic", "training", "")),
        (("", "", ""), ("", "", "")),
    ],
)
def test_labels_are_renamed_merged_and_split(
    tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    study = protocol.load(write_study(tmp_path))
    columns = ["scope", "category", "root_cause"]
    rated = pd.DataFrame([before], columns=columns, dtype="str")
    assert tuple(migrate(rated, study.migrations[0], study.book)[columns].iloc[0]) == after


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rename": {}}, "category: `loop` is gone after; expected a rename, merge or split of it"),
        (
            {"split": {"root_cause": {"fil": ["fill_value"]}}},
            "root_cause: `fil` is no label before; did you mean `fill`?",
        ),
        (
            {"rename": {"category": {"loop": "trainings"}}},
            "category: `trainings` is no label after; did you mean `training`?",
        ),
        ({"to": "3"}, "key `migrations`: expected those of the codebooks, 1 to 2; found 1 to 3"),
    ],
)
def test_a_migration_that_leaves_labels_behind_is_refused(
    tmp_path: Path, change: dict[str, object], problem: str
) -> None:
    file = write_study(tmp_path)
    wrong = {"migrations": [MIGRATIONS["migrations"][0] | change]}
    (tmp_path / "migrations.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(InputError, match=r"migration|key `migrations`") as caught:
        protocol.load(file)
    assert any(problem in line for line in caught.value.problems)


def test_mistakes_in_a_study_are_all_named(tmp_path: Path) -> None:
    phases = {"pilot": {"asks": ["symptm"], "minimum_kappa": 0.5, "repeats": "nothing", "codebook": "1"}}
    file = write_study(tmp_path, phases=phases, adjudicator="ana")
    with pytest.raises(InputError) as caught:
        Running(file)
    text = str(caught.value)
    assert "key `phases.pilot.asks`: `symptm` is no column of the codebook; did you mean `symptom`?" in text
    assert "key `phases.pilot.repeats`: `nothing` is no phase before it" in text
    assert "key `adjudicator`: `ana` is one of the raters" in text
