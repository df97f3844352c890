"""Final labels: the adjudication, else the label on which the rounds agree."""

from pathlib import Path

import pandas as pd
import pytest

from attention_faults.errors import InputError
from attention_faults.labelling import adjudication
from attention_faults.taxonomy.codebook import Codebook

EMBEDDED = Path(__file__).parents[2] / "data" / "faults" / "github_2026"


def rating(record: str, turn: str, symptom: str, phase: str = "main") -> dict[str, str]:
    return {"record_id": record, "phase": phase, "round": turn, "rater": f"R-{turn}", "symptom": symptom}


def decide(*ratings: dict[str, str]) -> tuple[str, str]:
    row = adjudication.adjudicate(pd.DataFrame(ratings)).iloc[0]
    return row["symptom"], row["symptom_decided"]


def test_derived_labels_of_the_embedded_dataset_equal_its_records(
    book: Codebook, records: pd.DataFrame
) -> None:
    derived = adjudication.adjudicate(adjudication.load(EMBEDDED / "ratings.csv", book)).set_index(
        "record_id"
    )
    assert len(derived) == len(records) == 590
    for facet in book.columns:
        assert derived.loc[records["record_id"], facet].tolist() == records[facet].tolist()


def test_comparison_counts_ways_of_decision_and_differences(book: Codebook, records: pd.DataFrame) -> None:
    derived = adjudication.adjudicate(adjudication.load(EMBEDDED / "ratings.csv", book))
    changed = records.assign(symptom=records["symptom"].where(records.index >= 3, "hang"))
    really = int((changed["symptom"] != records["symptom"]).sum())
    table = adjudication.compare(derived.iloc[1:], changed).set_index("facet")
    assert (table[["agreed", "adjudicated", "unresolved", "unrated"]].sum(axis=1) == table["records"]).all()
    assert (table["unrated"] == 1).all()
    assert table.loc["symptom", "different"] in (really, really + 1)
    assert table.loc["stage", "different"] == 1


def test_agreed_label_stands() -> None:
    assert decide(rating("a", "first", "hang"), rating("a", "second", "hang")) == ("hang", "agreed")


def test_disagreement_without_adjudication_is_unresolved() -> None:
    assert decide(rating("a", "first", "hang"), rating("a", "second", "crash")) == ("", "unresolved")


def test_one_rating_alone_is_no_agreement() -> None:
    assert decide(rating("a", "first", "hang")) == ("", "unresolved")


def test_adjudication_overrules_even_an_agreed_label() -> None:
    ratings = [
        rating("a", turn, label) for turn, label in (("first", "x"), ("second", "x"), ("adjudication", "y"))
    ]
    assert decide(*ratings) == ("y", "adjudicated")


def test_empty_cell_of_an_adjudication_leaves_the_agreed_label() -> None:
    ratings = [
        rating("a", turn, label) for turn, label in (("first", "x"), ("second", "x"), ("adjudication", ""))
    ]
    assert decide(*ratings) == ("x", "agreed")


def test_last_phase_that_rated_the_facet_counts() -> None:
    ratings = [
        rating("a", "first", "x", "pilot"),
        rating("a", "second", "x", "pilot"),
        rating("a", "first", "y", "main"),
        rating("a", "second", "y", "main"),
        rating("a", "first", "", "uniqueness"),
    ]
    assert decide(*ratings) == ("y", "agreed")


def test_bad_ratings_are_all_reported_with_their_lines(tmp_path: Path, book: Codebook) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text(
        "record_id,phase,round,rater,symptom\na,main,first,R1,crsh\na,main,first,R2,hang\nb,main,first,R1,none\n"
    )
    with pytest.raises(InputError) as caught:
        adjudication.load(path, book)
    text = str(caught.value)
    assert f"{path}:2: column `symptom`: `crsh` is not in the codebook; did you mean `crash`?" in text
    assert f"{path}:3: record `a` already has a rating of phase `main`, round `first`" in text
    assert f"{path}:4: column `symptom`: `none`" in text


def test_columns_that_are_no_facets_are_refused(tmp_path: Path, book: Codebook) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("record_id,phase,rater,symptm\na,main,R1,hang\n")
    with pytest.raises(
        InputError, match=r"no column `round`(.|\n)*`symptm` is not a facet.*did you mean `symptom`"
    ):
        adjudication.load(path, book)
