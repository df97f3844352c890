"""Tables of text with the line each row comes from: CSV, Parquet and XLSX through one function."""

import csv
import itertools
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import IO, Any

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from openpyxl.worksheet.formula import ArrayFormula, DataTableFormula

from attention_faults.errors import InputError, shown

SUFFIXES = (".csv", ".parquet", ".xlsx")
MAX_WORKBOOK_BYTES = 64 * 2**20  # unpacked; a larger workbook is taken for a zip bomb
MAX_CELL = 2**17  # characters of a cell of a CSV file
MAX_SHEET_ROWS = 2**20  # of the format; openpyxl would pad a row number beyond it with empty rows
CHUNK_ROWS = 1_000
LISTED_COLUMNS = 100
UNDECODED = re.compile("[\udc80-\udcff]")

Row = tuple[int, list[str]]  # with its line
Problem = tuple[int, str]  # with its line


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are all text (an empty cell is "").

    Attributes:
        frame: one row a record.
        lines: line of the file (CSV), or row of the sheet (XLSX, Parquet), of each row, counted from 1.
        path: the file.
        header: where the column names stand: `file:line`, or the file alone.
        contents: the columns that there are, for messages; in a workbook those of every sheet.
        problems: rows that could not be read, which are not in `frame`: line and message of each.
    """

    frame: pd.DataFrame
    lines: np.ndarray
    path: Path
    header: str
    contents: str
    problems: list[Problem]


def read_table(path: Path, sheet: str | None = None) -> TextTable:
    """Read a table as text; labels such as `NaN`, `None` and `null` stay what they are.

    Raises:
        InputError: if the file is missing, of another kind, damaged, or has rows that cannot be read.
    """
    table = scan_table(path, sheet)
    if table.problems:
        raise InputError(in_line_order(table.problems))
    return table


def scan_table(path: Path, sheet: str | None = None) -> TextTable:
    """Read a table like `read_table`, but go on after rows that cannot be read, and list them as problems.

    Raises:
        InputError: if the file is missing, of another kind, damaged, or has no header or no record.
    """
    by_suffix: list[Callable[[Path], TextTable]] = [
        _read_csv,
        _read_parquet,
        lambda file: _read_workbook(file, sheet),
    ]
    readers = dict(zip(SUFFIXES, by_suffix, strict=True))
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: expected a file ending in {', '.join(SUFFIXES)}")
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        return readers[path.suffix.lower()](path)
    except OSError as error:
        raise InputError(f"{path}: not readable: {error.strerror or error}") from error


def in_line_order(problems: list[Problem]) -> list[str]:
    """Return the messages of problems in the order of their lines."""
    return [message for _, message in sorted(problems, key=lambda problem: problem[0])]


def _read_csv(path: Path) -> TextTable:
    problems: list[Problem] = []
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream, _cells_limited():
        return _assemble(path, _csv_rows(path, stream, problems), problems)


@contextmanager
def _cells_limited() -> Iterator[None]:
    """Hold to `MAX_CELL`: the limit is the process's own, and frictionless raises it for everybody."""
    before = csv.field_size_limit(MAX_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _csv_rows(path: Path, stream: Iterable[str], problems: list[Problem]) -> Iterator[Row]:
    """Rows with the line they begin on (a quoted cell may span several); an unreadable row is empty."""
    rows = csv.reader(_decoded(path, stream, problems), strict=True)
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows, None)
        except csv.Error as error:
            problems.append((line, f"{path}:{line}: not readable as CSV: {error}"))
            yield line, []
            continue
        if row is None:
            return
        if row:
            yield line, row


def _decoded(path: Path, stream: Iterable[str], problems: list[Problem]) -> Iterator[str]:
    for line, text in enumerate(stream, start=1):
        wrong = None if text.isascii() else UNDECODED.search(text)
        if wrong:
            found = f"byte 0x{ord(wrong.group()) - 0xDC00:02x} at position {wrong.start() + 1}"
            problems.append(
                (line, f"{path}:{line}: expected UTF-8 text, found {found}; save the file as UTF-8")
            )
        yield UNDECODED.sub("\ufffd", text) if wrong else text


def _read_parquet(path: Path) -> TextTable:
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
        names = table.column_names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as Parquet: {shown(error)}") from error
    wrong = _header_problems(names) if len(table) else ["there is no record"]
    if wrong:
        raise InputError(f"{path}: {problem}" for problem in wrong)
    columns = [_as_text_column(path, name, table[name]) for name in names]
    frame = pa.table(columns, names=names).to_pandas()
    return TextTable(frame, np.arange(1, len(frame) + 1), path, str(path), _listing(names), [])


def _as_text_column(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cells as text; as in a workbook, whole floats become integers and midnights dates."""
    try:
        text = column.cast(pa.large_string()).fill_null("")
        text.validate(full=True)  # that it is UTF-8
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"{path}: column `{shown(name)}`: not readable as text: {shown(error)}") from error
    if pa.types.is_timestamp(column.type):
        return pc.replace_substring_regex(text, r" 00:00:00(\.0+)?Z?$", "")
    return text


def _read_workbook(path: Path, sheet: str | None) -> TextTable:
    # openpyxl warns of every style and extension that it leaves out
    with warnings.catch_warnings(action="ignore"), path.open("rb") as stream:
        _refuse_zip_bomb(path, stream)
        with _damage_reported(path):
            workbook = openpyxl.load_workbook(stream, read_only=True, keep_links=False)
        return _read_sheet(path, workbook, sheet)


@contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    """Turn into an input error whatever a damaged archive makes zipfile, defusedxml and openpyxl raise."""
    try:
        yield
    except Exception as error:
        cause = error.__cause__ or error  # openpyxl wraps it in advice
        reason = f"{type(cause).__name__} {shown(cause)}".strip()
        raise InputError(f"{path}: not a readable XLSX workbook: {reason}") from error


def _refuse_zip_bomb(path: Path, stream: IO[bytes]) -> None:
    with _damage_reported(path), zipfile.ZipFile(stream) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > MAX_WORKBOOK_BYTES:
        raise InputError(
            f"{path}: unpacks to {unpacked:,} bytes, expected at most {MAX_WORKBOOK_BYTES:,}; "
            "save the sheet as CSV if it is genuine"
        )


def _read_sheet(path: Path, workbook: openpyxl.Workbook, sheet: str | None) -> TextTable:
    sheets = {worksheet.title: worksheet for worksheet in workbook.worksheets}
    headers = {name: next(_sheet_rows(path, worksheet), (0, []))[1] for name, worksheet in sheets.items()}
    contents = "; ".join(f"sheet `{shown(name)}` has {_listing(row)}" for name, row in headers.items())
    if sheet is None and len(sheets) != 1:
        raise InputError(f"{path}: the column map must name one of its sheets as `sheet`; {contents}")
    if sheet is not None and sheet not in sheets:
        raise InputError(f"{path}: there is no sheet `{shown(sheet)}`; {contents}")
    return _assemble(path, _sheet_rows(path, sheets[sheet or next(iter(sheets))]), [], contents)


def _sheet_rows(path: Path, worksheet: Any) -> Iterator[Row]:
    """Rows that are not empty, as wide as the first: trailing empty cells are not stored."""
    width = 0
    for line, values in enumerate(_sheet_values(path, worksheet), start=1):
        if line > MAX_SHEET_ROWS:
            raise InputError(f"{path}: sheet `{shown(worksheet.title)}` has a row beyond {MAX_SHEET_ROWS:,}")
        row = [_as_text(value) for value in values]
        while row and not row[-1]:
            row.pop()
        if row:
            width = width or len(row)
            yield line, row + [""] * (width - len(row))


def _sheet_values(path: Path, worksheet: Any) -> Iterator[tuple[object, ...]]:
    worksheet.reset_dimensions()  # the file's own claim may span a million empty rows
    with _damage_reported(path):
        yield from worksheet.iter_rows(values_only=True)


def _as_text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case float() if value.is_integer():
            return str(int(value))
        case ArrayFormula() | DataTableFormula():
            return str(getattr(value, "text", "=TABLE()"))
        case _:
            return str(value)


def _assemble(
    path: Path, rows: Iterator[Row], problems: list[Problem], contents: str | None = None
) -> TextTable:
    """Collect rows in chunks of compact text columns; rows of the wrong width become problems."""
    line, header = next(rows, (1, None))
    wrong = ["the file is empty, expected a header"] if header is None else _header_problems(header)
    if wrong or not header:
        problems += [(line, f"{path}:{line}: {problem}") for problem in wrong]
        raise InputError(in_line_order(problems))
    fitting = _fitting(path, rows, len(header), problems)
    lines: list[int] = []
    tables = []
    while chunk := list(itertools.islice(fitting, CHUNK_ROWS)):
        numbers, cells = zip(*chunk, strict=True)
        lines += numbers
        columns = [pa.array(column, pa.large_string()) for column in zip(*cells, strict=True)]
        tables.append(pa.table(columns, names=header))
    if not tables:
        nothing = (line, f"{path}:{line}: there is a header but no record")
        raise InputError(in_line_order(problems or [nothing]))
    frame = pa.concat_tables(tables).to_pandas()
    return TextTable(frame, np.array(lines), path, f"{path}:{line}", contents or _listing(header), problems)


def _fitting(path: Path, rows: Iterator[Row], width: int, problems: list[Problem]) -> Iterator[Row]:
    for line, row in rows:
        if len(row) == width:
            yield line, row
        elif row:
            message = f"{path}:{line}: expected {width} cells as in the header, found {len(row)}"
            problems.append((line, message))


def _header_problems(names: list[str]) -> list[str]:
    unnamed = [position for position, name in enumerate(names, start=1) if not name.strip()]
    problems = [f"column {position} has no name" for position in unnamed]
    counts = Counter(name for name in names if name.strip())
    problems += [f"column `{shown(name)}` stands {n} times" for name, n in sorted(counts.items()) if n > 1]
    if len(names) == 1 and re.search(r"[;\t]", names[0]):
        problems.append(f"the header is one cell, `{shown(names[0])}`; expected cells separated by commas")
    return problems


def _listing(names: list[str]) -> str:
    listed = ", ".join(f"`{shown(name)}`" for name in names[:LISTED_COLUMNS])
    more = f" and {len(names) - LISTED_COLUMNS} more" if len(names) > LISTED_COLUMNS else ""
    return f"the columns {listed}{more}" if names else "no columns"
