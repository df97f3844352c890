"""Tasks as CSV and XLSX, and the ratings that come back in them."""

from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pandas as pd
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE, Cell, MergedCell
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.worksheet import Worksheet

from attention_faults.errors import InputError, nearest
from attention_faults.files import replacing
from attention_faults.labelling.form import CONFIDENCE, CONFIDENCES, GIVEN, SHOWN, Question, Tasks
from attention_faults.labelling.returned import Rating
from attention_faults.reporting import tables
from attention_faults.taxonomy.reading import read_table

RATINGS, CODEBOOK, LISTS = "Ratings", "Codebook", "Lists"
CELL = 32_000  # characters; a cell of a workbook holds 32,767
WIDTHS = {"url": 40, "title": 40, "body": 80, GIVEN: 40}


def write_csv(tasks: Tasks, path: Path) -> None:
    """Write tasks as CSV, one empty column a question; text that a spreadsheet would run is escaped."""
    tables.write_csv(_table(tasks), path)


def write_xlsx(tasks: Tasks, path: Path) -> None:
    """Write tasks as a workbook: a drop-down list in each cell to fill in, the codebook on a second sheet."""
    book = openpyxl.Workbook()
    sheet: Worksheet = book.active  # type: ignore[assignment]
    sheet.title = RATINGS
    table = _table(tasks)
    for number, row in enumerate([list(table.columns), *table.to_numpy().tolist()], start=1):
        for column, value in enumerate(row, start=1):
            _write_text(sheet.cell(number, column), value)
    lists: Worksheet = book.create_sheet(LISTS)
    for number, (name, labels) in enumerate(_lists(tasks.questions).items(), start=1):
        letter = get_column_letter(number)
        for row_number, label in enumerate([name, *labels], start=1):
            _write_text(lists.cell(row_number, number), label)
        choices = DataValidation("list", formula1=f"{LISTS}!${letter}$2:${letter}${len(labels) + 1}")
        choices.error, choices.errorTitle = f"Choose one of the labels of {name}.", "Not in the codebook"
        choices.prompt, choices.promptTitle = "Definitions are on the sheet Codebook.", name
        choices.showErrorMessage = choices.showInputMessage = True
        place = get_column_letter(list(table.columns).index(name) + 1)
        choices.add(f"{place}2:{place}{len(table) + 1}")
        sheet.add_data_validation(choices)
    lists.sheet_state = "hidden"
    _write_codebook(book.create_sheet(CODEBOOK, 1), tasks.questions)
    _lay_out(sheet, list(table.columns))
    with replacing(path) as temporary:
        book.save(temporary)


def read(path: Path) -> list[Rating]:
    """Read ratings of a CSV file or workbook; a row without any answer is not rated yet.

    Raises:
        InputError: if the file cannot be read or lacks a column.
    """
    table = read_table(path, RATINGS if path.suffix.lower() == ".xlsx" else None)
    names = list(table.frame.columns)
    missing = [name for name in ("phase", "rater", "record_id") if name not in names]
    if missing:
        raise InputError(
            f"{table.header}: there is no column `{name}`{nearest(name, names)}" for name in missing
        )
    apart = {"phase", "rater", CONFIDENCE, GIVEN, *SHOWN}
    asked = [name for name in names if name not in apart]
    rows = table.frame.apply(lambda cells: cells.str.strip()).to_dict("records")
    ratings = [
        Rating(
            where=f"{path}:{line}",
            phase=row["phase"],
            rater=row["rater"],
            record_id=row["record_id"],
            answers={name: row[name] for name in asked},
            confidence=row.get(CONFIDENCE, ""),
        )
        for line, row in zip(table.lines.tolist(), rows, strict=True)
    ]
    return [rating for rating in ratings if any(rating.answers.values())]


def _table(tasks: Tasks) -> pd.DataFrame:
    empty = dict.fromkeys([*(question.name for question in tasks.questions), CONFIDENCE], "")
    identity = {"phase": tasks.phase, "rater": tasks.rater}
    given = [GIVEN] if tasks.adjudicates else []
    order = [*identity, *SHOWN, *given, *empty]
    return tasks.threads.assign(**identity, **empty)[order]


def _lists(questions: Sequence[Question]) -> dict[str, list[str]]:
    return {**{question.name: list(question.labels) for question in questions}, CONFIDENCE: list(CONFIDENCES)}


def _write_text(cell: Cell | MergedCell, value: str) -> None:
    """Write a cell that is text whatever it begins with: a formula of a stranger must not run."""
    text = ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", value)
    cell.value = text if len(text) <= CELL else f"{text[:CELL]} [...]"
    cell.data_type = "s"
    cell.alignment = Alignment(wrap_text=True, vertical="top")


def _write_codebook(sheet: Worksheet, questions: Sequence[Question]) -> None:
    sheet.append(["question", "label", "of", "definition"])
    for question in questions:
        for label, definition in question.labels.items():
            sheet.append([question.name, label, question.parent_of.get(label, ""), definition])
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    for letter, width in zip("ABCD", (16, 32, 24, 100), strict=True):
        sheet.column_dimensions[letter].width = width
    sheet.freeze_panes = "A2"


def _lay_out(sheet: Worksheet, names: Sequence[str]) -> None:
    for number, name in enumerate(names, start=1):
        sheet.column_dimensions[get_column_letter(number)].width = WIDTHS.get(name, 18)
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    sheet.freeze_panes = "D2"
