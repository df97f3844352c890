"""What a rater is asked in a phase, and of which threads: the same for every tool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from attention_faults.taxonomy.codebook import Codebook

SHOWN = ["record_id", "url", "project", "source", "created", "title", "body"]
GIVEN = "given"  # to an adjudicator: the labels between which to decide, without who gave them
CONFIDENCE = "confidence"
CONFIDENCES = {"high": "Sure.", "medium": "Likely.", "low": "A guess."}


@dataclass(frozen=True)
class Question:
    """One question of a phase: the labels to choose from, with definitions, and the label above each."""

    name: str
    labels: dict[str, str]
    parent: str  # column of the labels above, "" where there is none
    parent_of: Mapping[str, str]


@dataclass(frozen=True)
class Tasks:
    """The tasks of one rater in one phase.

    Attributes:
        threads: one row a task, in the order to show them: the columns of SHOWN, and for an adjudicator
            `given`.
    """

    phase: str
    rater: str
    questions: list[Question]
    threads: pd.DataFrame

    @property
    def adjudicates(self) -> bool:
        """Whether labels given by others are shown."""
        return GIVEN in self.threads


def questions(asks: Sequence[str], book: Codebook) -> list[Question]:
    """Return the questions of a phase that asks for these columns of the codebook."""
    above = {"root_cause": ("category", book.category_of), "category": ("scope", book.scope_of)}
    found = []
    for name in asks:
        parent, parent_of = above.get(name, ("", {}))
        found.append(Question(name, book.definitions(name), parent, parent_of))
    return found


def with_parents(answers: Mapping[str, str], book: Codebook) -> dict[str, str]:
    """Return answers with the category that follows from a root cause, and the scope from a category."""
    full = dict(answers)
    for child, parent, parent_of in (
        ("root_cause", "category", book.category_of),
        ("category", "scope", book.scope_of),
    ):
        if full.get(child):
            full[parent] = full.get(parent) or parent_of[full[child]]
    return full


def guide(asked: Sequence[Question], book: Codebook) -> str:
    """Return the codebook of a phase for people, as Markdown."""
    lines = [f"# Codebook, version {book.version}", ""]
    for question in asked:
        lines += [f"## {question.name}", "", "| label | definition |", "|---|---|"]
        for label, definition in question.labels.items():
            below = f" (of `{question.parent_of[label]}`)" if question.parent else ""
            lines.append(f"| `{label}`{below} | {definition} |")
        lines.append("")
    if book.rules:
        lines += ["## Rules", "", *(f"- {rule}" for rule in book.rules), ""]
    return "\n".join(lines)
