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
    derived = adjudication.adjudicate(
        adjudication.load(EMBEDDED / "ratings.csv", book, records["record_id"])
    ).set_index("record_id")
    assert len(derived) == len(records) == 590
    for facet in book.columns:
        assert derived.loc[records["record_id"], facet].tolist() == records[facet].tolist()


def test_raters_and_adjudicator_of_the_embedded_dataset_are_told_apart(
    ratings: pd.DataFrame, records: pd.DataFrame
) -> None:
    table = adjudication.compare(ratings, records).set_index("facet")
    assert (table["raters_agreed"] + table["raters_differed"] == 590).all()
    overturned = table["overturned"]
    assert overturned[overturned > 0].to_dict() == {"root_cause": 12, "visibility": 4}
    assert (table[["unresolved", "unrated", "different"]] == 0).all(axis=None)


def test_comparison_counts_records_without_ratings_and_other_published_labels(
    ratings: pd.DataFrame, records: pd.DataFrame
) -> None:
    changed = records.assign(symptom=records["symptom"].where(records.index >= 3, "hang"))
    really = int((changed["symptom"] != records["symptom"])[1:].sum())
    rest = ratings[ratings["record_id"] != records["record_id"][0]]
    table = adjudication.compare(rest, changed).set_index("facet")
    assert (table["records"] == 590).all()
    assert (table["unrated"] == 1).all()
    assert table.loc["symptom", "different"] == really + 1
    assert table.loc["stage", "different"] == 1


@pytest.mark.parametrize(
    ("labels", "counted"),
    [
        (("x", "x", ""), "raters_agreed"),
        (("x", "x", "x"), "raters_agreed"),
        (("x", "x", "y"), "raters_agreed overturned"),
        (("x", "z", "y"), "raters_differed"),
        (("x", "z", ""), "raters_differed unresolved"),
        (("x", "", ""), "unresolved"),
        (("", "", "y"), ""),
        (("", "", ""), "unrated"),
    ],
)
def test_comparison_says_what_raters_and_adjudicator_did(labels: tuple[str, ...], counted: str) -> None:
    ratings = pd.DataFrame(
        [rating("a", *pair) for pair in zip(("first", "second", "adjudication"), labels, strict=True)]
    )
    final = adjudication.adjudicate(ratings)["symptom"]
    records = pd.DataFrame({"record_id": ["a"], "symptom": final})
    row = adjudication.compare(ratings, records).iloc[0].drop("facet")
    assert row[row > 0].index.tolist() == ["records", *counted.split()]


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
        "record_id,phase,round,rater,symptom\na,main,first,R1,crsh\na,main,first,R2,hang\nb,main,first,R1,none\nc,main,1,R1,\n"
    )
    with pytest.raises(InputError) as caught:
        adjudication.load(path, book, ["a", "b"])
    text = str(caught.value)
    assert f"{path}:2: column `symptom`: `crsh` is not in the codebook; did you mean `crash`?" in text
    assert f"{path}:3: record `a` already has a rating of phase `main`, round `first`" in text
    assert f"{path}:4: column `symptom`: `none`" in text
    assert f"{path}:5: column `record_id`: `c` is no record of the dataset" in text
    assert f"{path}:5: column `round`: `1` is not one of first, second, third, fourth, adjudication" in text


def test_columns_that_are_no_facets_are_refused(tmp_path: Path, book: Codebook) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("record_id,phase,rater,symptm\na,main,R1,hang\n")
    with pytest.raises(
        InputError, match=r"no column `round`(.|\n)*`symptm` is not a facet.*did you mean `symptom`"
    ):
        adjudication.load(path, book, ["a", "b"])
