"""Fault records: read through a column map, checked against the codebook, every bad cell reported."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import pandas as pd

from attention_faults.errors import InputError, nearest
from attention_faults.taxonomy.codebook import Codebook
from attention_faults.taxonomy.reading import TextTable, read_table
from attention_faults.taxonomy.schema import NEEDED, Column, Schema

CONTROL_CHARACTER = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
SHOWN_CHARACTERS = 80
UNIQUE = ("record_id", "url")


def load(path: Path, schema: Schema, book: Codebook) -> pd.DataFrame:
    """Read the fault records of a file.

    Returns:
        One row a record: the columns of the schema, labels as categoricals in codebook order, the rest as
        text. Columns of the file that the schema does not map are left out.

    Raises:
        InputError: with every bad cell: file, line, column, value, what was expected, nearest valid label.
    """
    table = read_table(path, schema.sheet)
    present = _present_columns(table, schema, book)
    problems = _Problems(table, schema)
    records = pd.DataFrame(
        {name: _values(table.frame[schema.source_of(name)], schema.columns[name]) for name in present}
    )
    for name in present:
        _check_column(records[name], name, schema.columns[name], book, problems)
    _check_hierarchy(records, book, problems)
    problems.raise_if_any()
    if "scope" not in records:
        records["scope"] = records["category"].map(book.scope_of)
    return book.categorise(records)


@dataclass
class _Problems:
    """Bad cells of one table."""

    table: TextTable
    schema: Schema
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, name: str, cells: pd.Series, wrong: pd.Series, messages: Iterable[str]) -> None:
        """Report the `wrong` ones of `cells`, with a message each."""
        lines = self.table.lines[wrong.to_numpy(bool)].tolist()
        for line, value, message in zip(lines, cells[wrong].tolist(), messages, strict=False):
            where = f"{self.table.path}:{line}: column `{self.schema.source_of(name)}`"
            self.found.append((line, f"{where}: `{_shown(value)}` {message}"))

    def raise_if_any(self) -> None:
        if self.found:
            raise InputError(message for _, message in sorted(self.found, key=lambda item: item[0]))


def _shown(value: str) -> str:
    shown = value if len(value) <= SHOWN_CHARACTERS else f"{value[:SHOWN_CHARACTERS]}..."
    return re.sub(r"[\x00-\x1f\x7f]", lambda match: repr(match.group())[1:-1], shown)


def _present_columns(table: TextTable, schema: Schema, book: Codebook) -> list[str]:
    """Return the mapped columns that the file has, after checking for those it must have."""
    where = f"the column map of {table.path}"
    seen = list(table.frame.columns)
    problems = [
        f"{where} does not map `{name}`, which every analysis needs"
        for name in NEEDED
        if name not in schema.columns
    ]
    for name, column in schema.columns.items():
        vocabulary, source = column.vocabulary, schema.source_of(name)
        if vocabulary and vocabulary not in book.columns:
            hint = nearest(vocabulary, book.columns)
            problems.append(
                f"{where}: column `{name}`: vocabulary `{vocabulary}` is not in the codebook{hint}"
            )
        if source not in seen and (column.required or name in NEEDED):
            columns = ", ".join(f"`{label}`" for label in seen)
            problems.append(
                f"{where}: there is no column `{source}`{nearest(source, seen)}; the file has {columns}"
            )
    if problems:
        raise InputError(problems)
    return [name for name in schema.columns if schema.source_of(name) in seen]


def _values(cells: pd.Series, column: Column) -> pd.Series:
    """Cells of the file as values of the record: part taken out by the pattern, labels translated."""
    if column.pattern:
        cells = cells.str.extract(column.pattern, expand=True)[0].fillna("")
    return cells.replace(column.labels) if column.labels else cells


def _check_column(cells: pd.Series, name: str, column: Column, book: Codebook, problems: _Problems) -> None:
    empty = cells.str.strip() == ""
    if column.required or name in NEEDED:
        problems.add(name, cells, empty, repeat("is empty, expected a value"))
    if column.unique or name in UNIQUE:
        _check_unique(cells, ~empty, name, problems)
    control = cells.str.contains(CONTROL_CHARACTER, regex=True)
    problems.add(name, cells, control, repeat("holds a control character"))
    rest = ~empty & ~control
    kind = "url" if name == "url" else column.kind
    if kind in KINDS:
        is_valid, expected = KINDS[kind]
        problems.add(name, cells, rest & ~is_valid(cells), repeat(expected))
    valid = _valid_labels(name, column, book)
    if valid:
        wrong = rest & ~cells.isin(valid)
        where = "is not in the codebook" if name in book.columns else f"is not one of {', '.join(valid)}"
        hints = {value: nearest(value, valid) for value in cells[wrong].unique()}
        problems.add(name, cells, wrong, (where + hints[value] for value in cells[wrong]))


def _is_url(cells: pd.Series) -> pd.Series:
    return cells.str.fullmatch(r"https?://[^\s/?#@\\]+([/?#][^\s\\]*)?")


def _is_date(cells: pd.Series) -> pd.Series:
    dates = pd.to_datetime(cells, format="%Y-%m-%d", errors="coerce")
    return dates.notna() & cells.str.fullmatch(r"\d{4}-\d{2}-\d{2}")


def _is_integer(cells: pd.Series) -> pd.Series:
    return cells.str.fullmatch(r"-?[0-9]+")


KINDS: dict[str, tuple[Callable[[pd.Series], pd.Series], str]] = {
    "url": (_is_url, "is not a URL; expected http:// or https:// and a host"),
    "date": (_is_date, "is not a date; expected YYYY-MM-DD"),
    "integer": (_is_integer, "is not a whole number"),
}


def _check_unique(cells: pd.Series, filled: pd.Series, name: str, problems: _Problems) -> None:
    keys = cells.str.strip().str.rstrip("/")
    again = filled & keys.duplicated()
    first = keys.isin(keys[again]) & ~keys.duplicated()
    line_of = dict(zip(keys[first], problems.table.lines[first.to_numpy(bool)].tolist(), strict=True))
    problems.add(
        name, cells, again, (f"stands in line {line_of[key]} already, expected once" for key in keys[again])
    )


def _valid_labels(name: str, column: Column, book: Codebook) -> list[str]:
    if column.vocabulary or name in book.columns:
        return book.labels(column.vocabulary or name)
    return column.values or []


def _check_hierarchy(records: pd.DataFrame, book: Codebook, problems: _Problems) -> None:
    """Check that each root cause stands with its category, and each category with its scope."""
    for child, parent, parent_of in (
        ("root_cause", "category", book.category_of),
        ("category", "scope", book.scope_of),
    ):
        if parent not in records:
            continue
        expected, found = records[child].map(parent_of), records[parent]
        wrong = expected.notna() & found.isin(book.labels(parent)) & (expected != found)
        messages = (
            f"belongs to {parent} `{wanted}`, but the row says `{said}`"
            for wanted, said in zip(expected[wrong], found[wrong], strict=True)
        )
        problems.add(child, records[child], wrong, messages)
