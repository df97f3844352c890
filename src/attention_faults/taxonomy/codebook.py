"""The codebook: the vocabulary of every label, with its definition."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import AfterValidator, BeforeValidator, Field

from attention_faults import settings
from attention_faults.errors import InputError, nearest, shown
from attention_faults.settings import Settings

ATTENTION_SPECIFIC = "attention_specific"

# label column of a record -> key of codebook.yaml that lists its labels
FACET_KEYS = {"symptom": "symptoms", "trigger": "triggers", "visibility": "visibility", "stage": "stages"}
TAXONOMY_COLUMNS = ("scope", "category", "root_cause")


@dataclass(frozen=True)
class Category:
    """A fault category: its scope, definition and root causes (label -> definition)."""

    scope: str
    definition: str
    root_causes: dict[str, str]


@dataclass(frozen=True)
class Codebook:
    """Labels with their definitions, in the order in which tables and figures show them."""

    version: str
    scopes: dict[str, str]
    categories: dict[str, Category]
    facets: dict[str, dict[str, str]]  # symptom, trigger, visibility, stage; those that the codebook defines
    rules: list[str]

    @cached_property
    def category_of(self) -> dict[str, str]:
        """Category of each root cause."""
        return {cause: name for name, category in self.categories.items() for cause in category.root_causes}

    @cached_property
    def scope_of(self) -> dict[str, str]:
        """Scope of each category."""
        return {name: category.scope for name, category in self.categories.items()}

    @property
    def columns(self) -> list[str]:
        """The label columns that the codebook defines, taxonomy first."""
        return [*TAXONOMY_COLUMNS, *self.facets]

    def labels(self, column: str) -> list[str]:
        """Return the vocabulary of a label column.

        Raises:
            KeyError: if the codebook does not define the column.
        """
        return list(self.definitions(column))

    def definitions(self, column: str) -> dict[str, str]:
        """Return what each label of a column means ("" where the codebook does not say).

        Raises:
            KeyError: if the codebook does not define the column.
        """
        vocabularies = {
            "scope": self.scopes,
            "category": {name: category.definition for name, category in self.categories.items()},
            "root_cause": {
                cause: definition
                for category in self.categories.values()
                for cause, definition in category.root_causes.items()
            },
            **self.facets,
        }
        return vocabularies[column]

    def categorise(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return `records` with its label columns as categoricals in codebook order (empty cells missing)."""
        columns = {
            name: pd.Categorical(records[name].mask(records[name] == ""), categories=self.labels(name))
            for name in self.columns
            if name in records
        }
        return records.assign(**columns)


def load(path: str | Path) -> Codebook:
    """Read a codebook.

    Raises:
        InputError: with every problem, if the file is not a codebook.
    """
    path = Path(path)
    file = settings.read(_File, path)
    problems = _problems(file)
    if problems:
        raise InputError(f"{path}: {problem}" for problem in problems)
    return Codebook(
        version=file.version,
        scopes=file.scopes,
        categories={name: Category(**dict(entry)) for name, entry in file.categories.items()},
        facets={column: getattr(file, key) for column, key in FACET_KEYS.items() if getattr(file, key)},
        rules=file.rules,
    )


def _label(label: str) -> str:
    if not label.strip() or label != label.strip():
        raise ValueError("a label is text without blanks around it")
    return label


def _with_definitions(labels: object) -> object:
    """Labels may come as a list, or as a mapping to their definitions."""
    if not isinstance(labels, dict | list) or not labels:
        raise ValueError("expected a list or mapping of labels")
    if isinstance(labels, dict):
        return labels
    if not all(isinstance(label, str) for label in labels):
        raise ValueError("expected labels without definitions in this list; a mapping holds definitions")
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ValueError(f"expected each label once, `{'`, `'.join(twice)}` stands twice")
    return dict.fromkeys(labels, "")


_Label = Annotated[str, AfterValidator(_label)]
_Labels = Annotated[dict[_Label, str], BeforeValidator(_with_definitions)]


class _CategoryEntry(Settings):
    scope: str
    definition: str = ""
    root_causes: _Labels


class _File(Settings):
    """The keys of codebook.yaml."""

    version: str = ""
    scopes: _Labels
    categories: dict[_Label, _CategoryEntry] = Field(min_length=1)
    symptoms: _Labels
    triggers: _Labels = Field({})
    visibility: _Labels = Field({})
    stages: _Labels = Field({})
    rules: list[str] = Field([])


def _problems(file: _File) -> list[str]:
    """Contradictions between the parts of a codebook."""
    problems = []
    if ATTENTION_SPECIFIC not in file.scopes:
        problems.append(
            f"key `scopes`: one scope must be `{ATTENTION_SPECIFIC}`; a column map can translate to it"
        )
    owner: dict[str, str] = {}
    for name, entry in file.categories.items():
        where = f"category `{name}`"
        if entry.scope not in file.scopes:
            problems.append(
                f"{where}: scope `{shown(entry.scope)}` is not in `scopes`{nearest(entry.scope, file.scopes)}"
            )
        for cause in entry.root_causes:
            if cause in owner:
                problems.append(f"{where}: root cause `{cause}` already belongs to `{owner[cause]}`")
            owner.setdefault(cause, name)
    return problems
