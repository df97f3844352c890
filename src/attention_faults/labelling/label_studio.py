"""Tasks for Label Studio, and the ratings of its JSON export.

Tags and attributes: https://labelstud.io/tags/; import format: https://labelstud.io/guide/tasks; export
format JSON: https://labelstud.io/guide/export. A project is of one rater and phase: whoever works in it sees
all annotations of it, and ratings must be independent.
"""

import html
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from attention_faults.errors import InputError, shown
from attention_faults.files import replacing
from attention_faults.labelling.form import CONFIDENCE, CONFIDENCES, GIVEN, SHOWN, Question, Tasks
from attention_faults.labelling.returned import Rating

_SEPARATOR = "__of__"  # in names of questions that show only after an answer: root_cause__of__kv_cache


def configuration(questions: Sequence[Question], *, adjudicates: bool) -> str:
    """Return the labelling configuration of a project: one choice a question, definitions as hints.

    A question whose labels lie below those of another one that is asked shows only the labels below the
    answer given there.

    Args:
        questions: of the phase.
        adjudicates: whether the labels given by others are shown, and questions may be left unanswered.
    """
    view = ET.Element("View")
    ET.SubElement(view, "Header", value="$title")
    ET.SubElement(view, "HyperText", name="link", value="$link", inline="true")
    ET.SubElement(view, "Header", value="$origin", size="5")
    ET.SubElement(view, "Text", name="thread", value="$body")
    if adjudicates:
        ET.SubElement(view, "Header", value="Labels given: $given", size="4")
    asked = {question.name for question in questions}
    for question in questions:
        ET.SubElement(view, "Header", value=question.name, size="4")
        if question.parent in asked:
            for parent in dict.fromkeys(question.parent_of[label] for label in question.labels):
                below = {k: v for k, v in question.labels.items() if question.parent_of[k] == parent}
                shown_when = {
                    "visibleWhen": "choice-selected",
                    "whenTagName": question.parent,
                    "whenChoiceValue": parent,
                }
                name = f"{question.name}{_SEPARATOR}{parent}"
                _add_choices(view, name, below, required=not adjudicates, **shown_when)
        else:
            _add_choices(view, question.name, question.labels, required=not adjudicates)
    ET.SubElement(view, "Header", value=CONFIDENCE, size="4")
    _add_choices(view, CONFIDENCE, CONFIDENCES, required=False)
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def _add_choices(view: ET.Element, name: str, labels: dict[str, str], *, required: bool, **when: str) -> None:
    attributes = {"name": name, "toName": "thread", "choice": "single-radio", "showInline": "true"}
    choices = ET.SubElement(view, "Choices", attributes | {"required": str(required).lower()} | when)
    for label, definition in labels.items():
        ET.SubElement(choices, "Choice", value=label, hint=definition)


def write_tasks(tasks: Tasks, path: Path) -> None:
    """Write tasks as JSON to import: only what the rater is shown, and whose tasks they are."""
    content = [
        {"data": {"phase": tasks.phase, "rater": tasks.rater, **_data(thread)}}
        for thread in tasks.threads.to_dict("records")
    ]
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _data(thread: dict[Any, str]) -> dict[str, str]:
    url = html.escape(thread["url"])
    data = {name: thread[name] for name in SHOWN}
    data["link"] = f'<a href="{url}" target="_blank" rel="noopener noreferrer">{url}</a>'
    data["origin"] = ", ".join(x for x in (thread["project"], thread["source"], thread["created"]) if x)
    # an object tag without text cannot be answered
    data["body"] = thread["body"] or "(no text)"
    return data | ({GIVEN: thread[GIVEN]} if GIVEN in thread else {})


def read(path: Path) -> list[Rating]:
    """Read ratings of Label Studio's JSON export; tasks without an annotation are not rated yet.

    Raises:
        InputError: if the file is no such export.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON: {shown(error)}") from error
    if not isinstance(content, list):
        raise InputError(f"{path}: expected a list of tasks, as Label Studio exports in its format JSON")
    ratings: list[Rating] = []
    problems = []
    for number, task in enumerate(content, start=1):
        where = f"{path}: task {number}"
        try:
            ratings += _ratings(where, task)
        except (KeyError, TypeError, AttributeError):
            problems.append(
                f"{where}: expected `data` and `annotations` with results of choices; "
                "export the project in Label Studio's format JSON, not JSON-MIN"
            )
    if problems:
        raise InputError(problems)
    return ratings


def _ratings(where: str, task: dict[str, Any]) -> Iterator[Rating]:
    data = task["data"]
    for annotation in task["annotations"]:
        if annotation.get("was_cancelled"):  # the rater skipped the task
            continue
        chosen = {
            str(result["from_name"]): "; ".join(result["value"]["choices"]) for result in annotation["result"]
        }
        answers: dict[str, str] = {}
        for name, label in chosen.items():
            question, _, parent = name.partition(_SEPARATOR)
            # an answer below another label was hidden when that label was given up
            if not parent or parent in chosen.values():
                answers[question] = label
        confidence = answers.pop(CONFIDENCE, "")
        phase, rater, record = (str(data[name]) for name in ("phase", "rater", "record_id"))
        yield Rating(where, phase, rater, record, answers, confidence)
