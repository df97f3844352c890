"""The codebook: the vocabulary of every label, with its definition."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from attention_faults.errors import InputError, nearest

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
        vocabularies: dict[str, Any] = {
            "scope": self.scopes,
            "category": self.categories,
            "root_cause": self.category_of,
            **self.facets,
        }
        return list(vocabularies[column])

    def definition(self, column: str, label: str) -> str:
        """Return the definition of a label."""
        if column == "scope":
            return self.scopes[label]
        if column == "category":
            return self.categories[label].definition
        if column == "root_cause":
            return self.categories[self.category_of[label]].root_causes[label]
        return self.facets[column][label]

    def categorise(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return `records` with its label columns as categoricals in codebook order (empty cells missing)."""
        columns = {
            name: pd.Categorical(records[name], categories=self.labels(name))
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
    try:
        # BaseLoader: every scalar stays text, so that labels such as `no` or `null` survive
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)  # noqa: S506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not a readable YAML codebook: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: a codebook is a mapping with the keys {_known_keys()}")
    problems = _problems(content)
    if problems:
        raise InputError(f"{path}: {problem}" for problem in problems)
    return Codebook(
        version=content.get("version", ""),
        scopes=_defined(content["scopes"]),
        categories={
            name: Category(entry["scope"], entry.get("definition", ""), _defined(entry["root_causes"]))
            for name, entry in content["categories"].items()
        },
        facets={column: _defined(content[key]) for column, key in FACET_KEYS.items() if key in content},
        rules=list(content.get("rules", [])),
    )


def _known_keys() -> str:
    return ", ".join(["version", "scopes", "categories", *FACET_KEYS.values(), "rules"])


def _defined(labels: dict[str, str] | list[str]) -> dict[str, str]:
    """Labels may come as a list, or as a mapping to their definitions."""
    return dict(labels) if isinstance(labels, dict) else dict.fromkeys(labels, "")


def _problems(content: dict[str, Any]) -> list[str]:
    known = _known_keys().split(", ")
    problems = [f"unknown key `{key}`{nearest(key, known)}" for key in content if key not in known]
    for key in ("scopes", "categories", *FACET_KEYS.values()):
        if key not in content:
            if key in ("scopes", "categories", "symptoms"):
                problems.append(f"key `{key}` is missing")
        elif not isinstance(content[key], dict | list) or not content[key]:
            problems.append(f"key `{key}`: expected a list or mapping of labels, found `{content[key]}`")
        elif key != "categories":
            labels = list(content[key])
            problems += [
                f"key `{key}`: a label is text, found `{x}`" for x in labels if not isinstance(x, str)
            ]
    if problems:
        return problems
    if ATTENTION_SPECIFIC not in content["scopes"]:
        problems.append(
            f"key `scopes`: one scope must be `{ATTENTION_SPECIFIC}`; a column map can translate to it"
        )
    return problems + _category_problems(content["categories"], list(content["scopes"]))


def _category_problems(categories: Any, scopes: list[str]) -> list[str]:
    if not isinstance(categories, dict):
        return ["key `categories`: expected a mapping of category to its scope and root causes"]
    problems = []
    seen: dict[str, str] = {}
    for name, entry in categories.items():
        where = f"category `{name}`"
        if not isinstance(entry, dict) or not isinstance(entry.get("root_causes"), dict | list):
            problems.append(f"{where}: expected `scope` and `root_causes`")
            continue
        scope = entry.get("scope", "")
        if scope not in scopes:
            problems.append(f"{where}: scope `{scope}` is not in `scopes`{nearest(str(scope), scopes)}")
        for cause in entry["root_causes"]:
            if cause in seen:
                problems.append(f"{where}: root cause `{cause}` already belongs to `{seen[cause]}`")
            seen[cause] = name
    return problems
