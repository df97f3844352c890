"""Tables of text with the line each row comes from: CSV, Parquet and XLSX through one function."""

import csv
import itertools
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from attention_faults.errors import InputError

if TYPE_CHECKING:
    import _csv

MAX_WORKBOOK_BYTES = 512 * 2**20  # unpacked; a larger workbook is taken for a zip bomb
CHUNK_ROWS = 50_000


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are all text (an empty cell is "").

    Attributes:
        frame: one row a record.
        lines: line of the file (CSV), or row of the sheet (XLSX, Parquet), of each row, counted from 1.
        path: the file.
    """

    frame: pd.DataFrame
    lines: np.ndarray
    path: Path


def read_table(path: Path, sheet: str | None = None) -> TextTable:
    """Read a table as text; labels such as `NaN`, `None` and `null` stay what they are.

    Raises:
        InputError: if the file is missing, of another kind, damaged, or has rows of the wrong width.
    """
    readers: dict[str, Callable[[Path], TextTable]] = {
        ".csv": _read_csv,
        ".parquet": _read_parquet,
        ".xlsx": lambda file: _read_workbook(file, sheet),
    }
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: expected a file ending in {', '.join(readers)}")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return readers[path.suffix.lower()](path)


def _read_csv(path: Path) -> TextTable:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.reader(stream, strict=True)
            return _assemble(path, _with_lines(path, rows))
    except UnicodeDecodeError as error:
        raise InputError(_undecodable(path)) from error


def _with_lines(path: Path, rows: "_csv.Reader") -> Iterator[tuple[int, list[str]]]:
    """Rows with the line they begin on; a quoted cell may span several lines."""
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"{path}:{line}: not readable as CSV: {error}") from error
        if row:
            yield line, row


def _undecodable(path: Path) -> list[str]:
    problems = []
    with path.open("rb") as stream:
        for line, content in enumerate(stream, start=1):
            try:
                content.decode("utf-8-sig" if line == 1 else "utf-8")
            except UnicodeDecodeError as error:
                found = f"byte 0x{content[error.start]:02x} at position {error.start + 1}"
                problems.append(f"{path}:{line}: expected UTF-8 text, found {found}; save the file as UTF-8")
    return problems


def _read_parquet(path: Path) -> TextTable:
    try:
        table = pq.read_table(path)
        names = table.column_names
        columns = [column.cast(pa.large_string()).fill_null("") for column in table.columns]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as Parquet: {error}") from error
    _check_header(path, 1, names)
    frame = pa.table(columns, names=names).to_pandas()
    return TextTable(frame, np.arange(1, len(frame) + 1), path)


def _read_workbook(path: Path, sheet: str | None) -> TextTable:
    try:
        _refuse_zip_bomb(path)
        workbook = openpyxl.load_workbook(path, read_only=True)
        try:
            return _read_sheet(path, workbook, sheet)
        finally:
            workbook.close()
    except InputError:
        raise
    # what a damaged archive or damaged XML makes zipfile, defusedxml and openpyxl raise
    except (
        zipfile.BadZipFile, zlib.error, OSError, EOFError, SyntaxError, NotImplementedError,
        ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, OverflowError,
    ) as error:  # fmt: skip
        raise InputError(f"{path}: not a readable XLSX workbook: {error or type(error).__name__}") from error


def _refuse_zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > MAX_WORKBOOK_BYTES:
        raise InputError(
            f"{path}: unpacks to {unpacked:,} bytes, expected at most {MAX_WORKBOOK_BYTES:,}; "
            "export the sheet as CSV if it is genuine"
        )


def _read_sheet(path: Path, workbook: openpyxl.Workbook, sheet: str | None) -> TextTable:
    names = workbook.sheetnames
    if (sheet is None and len(names) != 1) or (sheet is not None and sheet not in names):
        wanted = (
            "the column map must name one as `sheet`" if sheet is None else f"there is no sheet `{sheet}`"
        )
        raise InputError(f"{path}: {wanted}; {_describe(workbook)}")
    worksheet = workbook[sheet or names[0]]
    worksheet.reset_dimensions()  # the file's own claim may span a million empty rows
    rows = (
        (line, [_as_text(value) for value in row])
        for line, row in enumerate(worksheet.iter_rows(values_only=True), start=1)
    )
    return _assemble(path, _padded((line, row) for line, row in rows if any(row)))


def _describe(workbook: openpyxl.Workbook) -> str:
    """Sheets of a workbook, each with the columns its first row names."""
    seen = []
    for worksheet in workbook.worksheets:
        worksheet.reset_dimensions()
        header = next(worksheet.iter_rows(max_row=1, values_only=True), ())
        columns = ", ".join(f"`{_as_text(value)}`" for value in header if value is not None)
        seen.append(f"sheet `{worksheet.title}` has the columns {columns or '(none)'}")
    return "; ".join(seen)


def _padded(rows: Iterable[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    """Rows of a sheet as wide as its header: trailing empty cells are not stored."""
    width = None
    for line, row in rows:
        while row and not row[-1] and (width is None or len(row) > width):
            row.pop()
        width = len(row) if width is None else width
        yield line, row + [""] * (width - len(row))


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _assemble(path: Path, rows: Iterator[tuple[int, list[str]]]) -> TextTable:
    """Collect rows in chunks of compact text columns, reporting every row of the wrong width."""
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path}:1: the file is empty, expected a header")
    line, header = first
    _check_header(path, line, header)
    problems: list[str] = []
    lines: list[int] = []
    tables = []
    while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
        for number, row in chunk:
            if len(row) != len(header):
                problems.append(
                    f"{path}:{number}: expected {len(header)} cells as in the header, found {len(row)}"
                )
        if not problems:
            lines += [number for number, _ in chunk]
            columns = zip(*(row for _, row in chunk), strict=True)
            tables.append(pa.table([pa.array(column, pa.large_string()) for column in columns], names=header))
    if problems:
        raise InputError(problems)
    if not tables:
        raise InputError(f"{path}:{line}: there is a header but no record")
    return TextTable(pa.concat_tables(tables).to_pandas(), np.array(lines), path)


def _check_header(path: Path, line: int, header: list[str]) -> None:
    problems = [
        f"{path}:{line}: column {position} has no name" for position, name in enumerate(header, 1) if not name
    ]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    problems += [f"{path}:{line}: column `{name}` appears {header.count(name)} times" for name in twice]
    if problems:
        raise InputError(problems)
