"""How the columns of somebody's dataset become the columns of a fault record."""

import re
from typing import Literal

from pydantic import Field, field_validator

from attention_faults.settings import Settings

# What every analysis needs; scope may be left out, since the category implies it.
NEEDED = ("record_id", "url", "project", "category", "root_cause", "symptom")


class Column(Settings):
    """One column of a fault record."""

    source: str | None = Field(
        None, alias="from", description="name in the file; default: the record's own name"
    )
    pattern: str | None = Field(None, description="regular expression whose first group is the value")
    required: bool = False
    unique: bool = False
    kind: Literal["text", "url", "date", "integer"] = "text"
    values: list[str] | None = Field(None, description="the valid values")
    vocabulary: str | None = Field(
        None, description="codebook column whose labels are valid; default: its own"
    )
    labels: dict[str, str] = Field({}, description="value in the file -> label of the codebook")

    @field_validator("pattern")
    @classmethod
    def _has_a_group(cls, pattern: str | None) -> str | None:
        try:
            groups = re.compile(pattern or "()").groups
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a regular expression: {error}") from error
        if not groups:
            raise ValueError("expected a group in parentheses, which becomes the value")
        return pattern


class Schema(Settings):
    """Column map of a dataset, with what a reader of its numbers must know."""

    title: str
    note: str = Field(description="one line, shown under every table and figure")
    limits: tuple[str, ...] = ()
    sheet: str | None = Field(None, description="sheet of a workbook; needed when it has several")
    columns: dict[str, Column]

    def source_of(self, name: str) -> str:
        """Return the name that column `name` has in the file."""
        return self.columns[name].source or name
