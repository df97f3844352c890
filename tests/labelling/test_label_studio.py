"""The configuration shows each question where Label Studio can, and its export is read as it was meant."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from support.labelling import BEFORE

from attention_faults.labelling import form, label_studio
from attention_faults.taxonomy.codebook import Category, Codebook

ASKED = ["scope", "category", "root_cause"]


def book(rename: dict[str, str]) -> Codebook:
    """Codebook 1 of the made-up study with some labels renamed."""

    def named(labels: dict[str, str]) -> dict[str, str]:
        return {rename.get(name, name): definition for name, definition in labels.items()}

    categories = {
        rename.get(name, name): Category(entry["scope"], "", named(entry["root_causes"]))
        for name, entry in BEFORE["categories"].items()
    }
    return Codebook("1", BEFORE["scopes"], categories, {"symptom": named(BEFORE["symptoms"])}, [])


def choices(asks: list[str], **rename: str) -> dict[str, ET.Element]:
    questions = form.questions(asks, book(rename))
    view = ET.fromstring(label_studio.configuration(questions, adjudicates=False))
    return {element.attrib["name"]: element for element in view.iter("Choices")}


def read(path: Path, chosen: dict[str, str]) -> dict[str, str]:
    result = [{"from_name": name, "value": {"choices": [label]}} for name, label in chosen.items()]
    data = {"phase": "main", "rater": "ana", "record_id": "0123456789"}
    path.write_text(json.dumps([{"data": data, "annotations": [{"result": result}]}]))
    return label_studio.read(path)[0].answers


@pytest.mark.parametrize("asks", [ASKED, ["category", "root_cause"], ["root_cause", "scope"], ["root_cause"]])
def test_every_label_is_offered_once_below_choices_that_exist(asks: list[str]) -> None:
    made = choices(asks)
    for element in made.values():
        if "whenTagName" in element.attrib:
            above = made[element.attrib["whenTagName"]]
            assert element.attrib["whenChoiceValue"] in [one.attrib["value"] for one in above]
    causes = [
        label.attrib["value"]
        for name, element in made.items()
        if name.startswith("root_cause")
        for label in element
    ]
    assert sorted(causes) == ["axis", "fill", "merged", "mixed", "order", "step"]


def test_labels_with_markup_quotes_and_commas_stay_what_they_are() -> None:
    evil = "a \"b\" <c> & 'd', e"
    made = choices(["symptom"], crash=evil)
    assert evil in [label.attrib["value"] for label in made["symptom"]]


def test_a_comma_in_a_category_would_hide_its_root_causes_so_all_are_shown() -> None:
    made = choices(["category", "root_cause"], masks="masks, fill")
    assert "root_cause" in made
    assert not [element for element in made.values() if "whenChoiceValue" in element.attrib]


def test_an_answer_below_a_label_that_was_given_up_does_not_count(tmp_path: Path) -> None:
    chosen = {
        "root_cause__of__masks": "fill",
        "root_cause__of__heads": "mixed",
        "category__of__attention_specific": "heads",
        "category__of__generic": "loop",
        "scope": "attention_specific",
        "symptom": "masks",  # another question may have a label of that name
    }
    found = read(tmp_path / "ana.json", chosen)
    assert found == {
        "scope": "attention_specific",
        "category": "heads",
        "root_cause": "mixed",
        "symptom": "masks",
    }
