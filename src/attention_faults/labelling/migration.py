"""Changes of the codebook as versioned data: what becomes of labels that were given before."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path

import pandas as pd
from pydantic import Field

from attention_faults import settings
from attention_faults.errors import nearest
from attention_faults.settings import Settings
from attention_faults.taxonomy.codebook import Codebook

# before a label that was split: which of its parts holds must be rated again
SPLIT = "?"

_PARENTS = {"root_cause": "category", "category": "scope"}


class Migration(Settings):
    """What changes from one version of a codebook to the next, by label column.

    Labels that both versions have stay; a root cause that moved takes its records along to its new category.
    """

    before: str = Field(alias="from", description="version before")
    after: str = Field(alias="to", description="version after")
    why: str
    rename: dict[str, dict[str, str]] = Field({}, description="old label -> new label")
    merge: dict[str, dict[str, list[str]]] = Field({}, description="new label -> old labels")
    split: dict[str, dict[str, list[str]]] = Field({}, description="old label -> new labels")

    def new_labels(self, column: str) -> dict[str, str]:
        """Return the new label of every changed one; that of a split one is `?` and the old label."""
        merged = {old: new for new, olds in self.merge.get(column, {}).items() for old in olds}
        split = {old: f"{SPLIT}{old}" for old in self.split.get(column, {})}
        return {**self.rename.get(column, {}), **merged, **split}


class _File(Settings):
    migrations: list[Migration]


def load(path: Path) -> list[Migration]:
    """Read migrations, oldest first.

    Raises:
        InputError: with every value that does not fit.
    """
    return settings.read(_File, path).migrations


def problems(migrations: Sequence[Migration], books: Sequence[Codebook]) -> Iterator[str]:
    """Yield what is wrong with the migrations between codebooks, oldest first, one between each two."""
    expected = [(old.version, new.version) for old, new in pairwise(books)]
    found = [(step.before, step.after) for step in migrations]
    if found != expected:
        wanted, stated = (
            ", ".join(f"{old} to {new}" for old, new in steps) or "none" for steps in (expected, found)
        )
        yield f"key `migrations`: expected those of the codebooks, {wanted}; found {stated}"
        return
    for step, (old, new) in zip(migrations, pairwise(books), strict=True):
        for problem in _step_problems(step, old, new):
            yield f"migration {step.before} to {step.after}: {problem}"


def _step_problems(step: Migration, old: Codebook, new: Codebook) -> Iterator[str]:
    for column in {**step.rename, **step.merge, **step.split}:
        if column not in old.columns:
            yield f"`{column}` is no column of the codebook{nearest(column, old.columns)}"
    for column in old.columns:
        after = new.labels(column) if column in new.columns else []
        for problem in _column_problems(step, column, old.labels(column), after):
            yield f"{column}: {problem}"


def _column_problems(step: Migration, column: str, before: list[str], after: list[str]) -> Iterator[str]:
    rename, merge, split = (part.get(column, {}) for part in (step.rename, step.merge, step.split))
    sources = Counter([*rename, *split, *chain.from_iterable(merge.values())])
    for label, count in sources.items():
        if label not in before:
            yield f"`{label}` is no label before{nearest(label, before)}"
        if count > 1:
            yield f"`{label}` is changed {count} times, expected once"
    for label in [*rename.values(), *merge, *chain.from_iterable(split.values())]:
        if label not in after:
            yield f"`{label}` is no label after{nearest(label, after)}"
    for label in before:
        if label not in after and label not in sources:
            yield f"`{label}` is gone after; expected a rename, merge or split of it"


def migrate(ratings: pd.DataFrame, step: Migration, book: Codebook) -> pd.DataFrame:
    """Return ratings in the labels of the codebook after a migration.

    A category follows from its root cause, a scope from its category, where these are given. A label that was
    split becomes `?` and the old label; its parent stays when all its parts lie below one.

    Args:
        ratings: long form, labels of the codebook before.
        step: the migration.
        book: the codebook after it.
    """
    labels = {name: ratings[name].replace(step.new_labels(name)) for name in book.columns if name in ratings}
    parents_of = {"root_cause": book.category_of, "category": book.scope_of}
    for child, parent in _PARENTS.items():
        if child in labels and parent in labels:
            known = {**parents_of[child], **_parents_of_split(step, child, parents_of[child])}
            labels[parent] = labels[child].map(known).fillna(labels[parent])
    return ratings.assign(**labels)


def _parents_of_split(step: Migration, child: str, parent_of: dict[str, str]) -> dict[str, str]:
    """Parent of each label that was split: that of all its parts, or unknown in its turn."""
    found = {}
    for old, parts in step.split.get(child, {}).items():
        parents = {parent_of[part] for part in parts}
        found[f"{SPLIT}{old}"] = parents.pop() if len(parents) == 1 else f"{SPLIT}{old}"
    return found


def to_rate_again(labels: pd.Series) -> pd.Series:
    """Say of each label whether a migration split it."""
    return labels.str.startswith(SPLIT)
