"""Fault records: read through a column map, checked against the codebook, every bad cell reported."""

from collections.abc import Callable, Iterable
from itertools import repeat
from pathlib import Path

import pandas as pd

from attention_faults.errors import InputError, nearest, shown
from attention_faults.files import replacing
from attention_faults.taxonomy.codebook import Codebook
from attention_faults.taxonomy.reading import TextTable, in_line_order, scan_table
from attention_faults.taxonomy.schema import NEEDED, Column, Schema

CONTROL_CHARACTER = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
# no user and no backslash in the authority: programs disagree on which host such an address names
URL = r"https?://[^\W_][^\s/?#@:\\]*(:[0-9]{1,5})?([/?#][^\s\\]*)?"
HINTED_VALUES = 1_000  # of a column; one with more different wrong values is another column
UNIQUE = ("record_id", "url")
FIXED_KINDS = {"url": "url", "created": "date"}


def load(path: Path, schema: Schema, book: Codebook) -> pd.DataFrame:
    """Read the fault records of a file.

    Returns:
        One row a record: the columns of the schema, labels as categoricals in codebook order, the rest as
        text. Columns of the file that the schema does not map are left out.

    Raises:
        InputError: with every bad row and cell: file, line, column, value, what was expected, nearest label.
    """
    table = scan_table(path, schema.sheet)
    _check_fit(table, schema, book)
    problems = _Problems(table, schema)
    records = pd.DataFrame(
        {
            name: _values(table.frame[schema.source_of(name)], column)
            for name, column in schema.columns.items()
        }
    )
    for name in schema.columns:
        _check_column(records[name], name, schema.columns[name], book, problems)
    _check_hierarchy(records, book, problems)
    problems.raise_if_any()
    return book.categorise(records.assign(scope=records["category"].map(book.scope_of)))


def write(records: pd.DataFrame, path: Path) -> None:
    """Write validated records as Parquet."""
    labels = {str(name): records[name].astype("str") for name in records.select_dtypes("category")}
    with replacing(path) as temporary:
        records.assign(**labels).to_parquet(temporary, index=False)


def read(path: Path, book: Codebook) -> pd.DataFrame:
    """Read records that `write` wrote, labels as categoricals in codebook order."""
    return book.categorise(pd.read_parquet(path))


class _Problems:
    """Bad rows and cells of one table."""

    def __init__(self, table: TextTable, schema: Schema) -> None:
        self._table, self._schema = table, schema
        self._found = list(table.problems)

    def lines(self, rows: pd.Series) -> list[int]:
        """Return the line of each of the chosen rows."""
        return list(self._table.lines[rows.to_numpy(bool)].tolist())

    def add(self, name: str, wrong: pd.Series, messages: Iterable[str]) -> None:
        """Report the cells of column `name` in the `wrong` rows, as they stand in the file."""
        source = self._schema.source_of(name)
        cells = self._table.frame[source][wrong.to_numpy(bool)].tolist()
        for line, cell, message in zip(self.lines(wrong), cells, messages, strict=False):
            where = f"{self._table.path}:{line}: column `{shown(source)}`"
            self._found.append((line, f"{where}: `{shown(cell)}` {message}"))

    def raise_if_any(self) -> None:
        if self._found:
            raise InputError(in_line_order(self._found))


def _check_fit(table: TextTable, schema: Schema, book: Codebook) -> None:
    """Check that map, codebook and file fit; a mapped column that the file lacks is a misspelt one."""
    seen = list(table.frame.columns)
    problems = [
        f"the column map does not map `{name}`, which every analysis needs{nearest(name, schema.columns)}"
        for name in NEEDED
        if name not in schema.columns
    ]
    for name, column in schema.columns.items():
        source = schema.source_of(name)
        if source not in seen:
            problems.append(f"there is no column `{shown(source)}`{nearest(source, seen)}")
        problems += [f"the column map of `{name}`: {problem}" for problem in _misfits(name, column, book)]
    if problems:
        problems.append(f"found: {table.contents}")
        raise InputError(
            [*in_line_order(table.problems), *(f"{table.header}: {problem}" for problem in problems)]
        )


def _misfits(name: str, column: Column, book: Codebook) -> list[str]:
    """Return what in a column's map contradicts the codebook."""
    vocabulary = column.vocabulary or name
    if column.vocabulary and vocabulary not in book.columns:
        return [f"vocabulary `{vocabulary}` is not in the codebook{nearest(vocabulary, book.columns)}"]
    if name in book.columns and vocabulary != name:
        return [f"its labels are those of `{name}`, not of `{vocabulary}`"]
    valid = _valid_labels(name, column, book)
    targets = {label for label in column.labels.values() if label and valid and label not in valid}
    return [f"label `{shown(x)}` is {_unknown(column, valid)}{nearest(x, valid)}" for x in sorted(targets)]


def _values(cells: pd.Series, column: Column) -> pd.Series:
    """Cells of the file as values of the record: part taken out by the pattern, labels translated."""
    if column.pattern:
        cells = cells.str.extract(column.pattern, expand=True).iloc[:, 0].fillna("")
    if column.labels:
        cells = cells.map(column.labels).fillna(cells)
    return cells.mask(cells.str.strip() == "", "")


def _check_column(cells: pd.Series, name: str, column: Column, book: Codebook, problems: _Problems) -> None:
    filled = cells != ""
    if column.required or name in NEEDED:
        reason = f"holds no `{column.pattern}`" if column.pattern else "is empty"
        problems.add(name, ~filled, repeat(f"{reason}, expected a value"))
    if column.unique or name in UNIQUE:
        comparable = filled & _is_url(cells) if name == "url" else filled
        _check_unique(cells, comparable, name, problems)
    control = cells.str.contains(CONTROL_CHARACTER, regex=True)
    problems.add(name, control, repeat("holds a control character"))
    readable = filled & ~control
    kind = FIXED_KINDS.get(name, column.kind)
    if kind in KINDS:
        is_valid, expected = KINDS[kind]
        problems.add(name, readable & ~is_valid(cells), repeat(expected))
    valid = _valid_labels(name, column, book)
    if valid:
        wrong = readable & ~cells.isin(valid)
        known = [*valid, *column.labels]
        hints = {value: nearest(value, known) for value in cells[wrong].unique()[:HINTED_VALUES]}
        unknown = _unknown(column, valid)
        problems.add(name, wrong, (f"is {unknown}{hints.get(value, '')}" for value in cells[wrong]))


def _is_url(cells: pd.Series) -> pd.Series:
    return cells.str.fullmatch(URL)


def _is_date(cells: pd.Series) -> pd.Series:
    dates = pd.to_datetime(cells, format="%Y-%m-%d", errors="coerce")
    return dates.notna() & cells.str.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def _is_integer(cells: pd.Series) -> pd.Series:
    return cells.str.fullmatch(r"-?[0-9]+")


KINDS: dict[str, tuple[Callable[[pd.Series], pd.Series], str]] = {
    "url": (_is_url, "is not a URL; expected http:// or https:// and a host"),
    "date": (_is_date, "is not a date; expected YYYY-MM-DD"),
    "integer": (_is_integer, "is not a whole number"),
}


def _check_unique(cells: pd.Series, filled: pd.Series, name: str, problems: _Problems) -> None:
    keys = _thread(cells) if name == "url" else cells.str.strip()
    keys = keys.where(filled)
    repeated = keys.duplicated()
    again = filled & repeated
    first = filled & ~repeated & keys.isin(keys[again])
    line_of = dict(zip(keys[first], problems.lines(first), strict=True))
    problems.add(
        name, again, (f"stands in line {line_of[key]} already, expected once" for key in keys[again])
    )


def _thread(urls: pd.Series) -> pd.Series:
    """Return what all addresses of one thread share: no scheme, no fragment, the host in small letters."""
    places = urls.str.strip().str.replace(r"^https?://(?=.)|#.*$", "", regex=True).str.rstrip("/")
    return places.str.replace(r"^[^/?]*", lambda host: host[0].lower(), regex=True)


def _valid_labels(name: str, column: Column, book: Codebook) -> list[str]:
    if column.vocabulary or name in book.columns:
        return book.labels(column.vocabulary or name)
    return column.values or []


def _unknown(column: Column, valid: list[str]) -> str:
    return f"not one of {', '.join(valid)}" if column.values else "not in the codebook"


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
        problems.add(child, wrong, messages)
