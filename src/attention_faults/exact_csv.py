"""CSV that programs read back exactly, and in which a spreadsheet finds no formula to run."""

import csv
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from attention_faults.files import replacing

EXACT = 2**53  # whole numbers up to here are exact as floats

_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def write_csv(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write a frame for programs: shortest exact numbers, quoted text, missing cells empty, no formulas.

    Raises:
        ValueError: if column names are repeated or not text.
    """
    if not frame.columns.is_unique or not all(isinstance(name, str) for name in frame.columns):
        raise ValueError(f"column names must be unique text, got {list(frame.columns)}")
    truths = frame.select_dtypes(["bool", "boolean"]).map(str, na_action="ignore")
    with replacing(path) as file:
        escape_spreadsheet(frame.assign(**truths)).to_csv(
            file, index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC, encoding="utf-8"
        )


def read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read what `write_csv` wrote: quoted cells are text, others numbers.

    Missing text comes back as "", a missing number as NaN, a truth value as the text True or False; a column
    without any value is numeric; whole numbers are integers.
    """
    with Path(path).open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, quoting=csv.QUOTE_NONNUMERIC)
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    names = [_unescape_formula(str(name)) for name in header]
    return pd.DataFrame(
        {name: _typed(pd.Series(cells, dtype=object)) for name, cells in zip(names, columns, strict=True)}
    )


def read_text(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read what `write_csv` wrote of a frame of text: every cell is text, whatever it looks like."""
    frame = pd.read_csv(path, dtype="str", keep_default_na=False)
    return frame.rename(columns=_unescape_formula).map(_unescape_formula).astype("str")


def escape_spreadsheet(frame: pd.DataFrame) -> pd.DataFrame:
    """Prefix text that a spreadsheet would run as a formula with an apostrophe (OWASP, CSV injection).

    Numbers stay numbers: only text (cells, categories, column names) is changed that begins with one of
    ``= + - @``, tab or carriage return, or with apostrophes before these, so that `read` can undo it.
    """
    columns = {
        name: cells if is_numeric(cells) else cells.astype(object).map(_escape_formula)
        for name, cells in frame.items()
    }
    return pd.DataFrame(columns, index=frame.index).rename(columns=_escape_formula)


def is_numeric(cells: pd.Series) -> bool:
    """Say whether a column holds numbers; truth values are none."""
    return pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells)


def _escape_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def _unescape_formula(value: str) -> str:
    return value[1:] if value.startswith("'") and _FORMULA.match(value) else value


def _typed(cells: pd.Series) -> pd.Series:
    """Turn text and numbers into a column of one type."""
    if any(isinstance(cell, str) and cell for cell in cells):
        return cells.astype(str).map(_unescape_formula)
    numbers = pd.to_numeric(cells.replace("", np.nan))
    whole = numbers.abs().max() <= EXACT and (numbers % 1 == 0).all()
    return numbers.astype(np.int64) if whole else numbers.astype(float)
