"""Tables as CSV (for programs), HTML (for the report) and LaTeX (for a paper)."""

import csv
import html
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from great_tables import GT

from attention_faults.files import replacing

EXACT = 2**53  # whole numbers up to here are exact as floats
PAGE_ROWS = 500  # for people; a report holds each page as an address, and browsers stop at 2 MB
LONG_TABLE = 40  # rows; a longer table is broken over the pages of a LaTeX document
LONG_TEXT = 40  # characters; a column with longer cells is set as paragraphs in LaTeX
MINUS = "\N{MINUS SIGN}"

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
# the page scrolls, with the column names in sight, and a note is as wide as the window, not as the table
_CSS = """
#table .gt_col_heading { position: sticky; top: 0; }
#table .gt_from_md { display: inline-block; position: sticky; left: 5px; max-width: 95vw; }
"""
_LINK = re.compile(r"https?://\S+", re.IGNORECASE)
_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "`": r"\textasciigrave{}",
        "[": "{[}",  # `\\` would read `[` and `*` as its arguments
        "]": "{]}",
        "*": "{*}",
        MINUS: "$-$",
        "∞": r"$\infty$",
    }
)


def write(frame: pd.DataFrame, path: str | os.PathLike[str], *, title: str, note: str) -> None:
    """Write a table as CSV, HTML and LaTeX, each file whole or not at all.

    Equal frames give equal bytes. The index is not written. HTML and LaTeX hold the first PAGE_ROWS rows of a
    longer table, and say so.

    Args:
        frame: tidy table with unique text column names.
        path: of the CSV file; the suffix may be left out. The other two lie beside it.
        title: heading of the HTML table and caption of the LaTeX table.
        note: limits of the data and reading help, shown below the table; may be empty.

    Raises:
        ValueError: if column names are repeated or not text.
    """
    write_csv(frame, Path(path).with_suffix(".csv"))
    if len(frame) > PAGE_ROWS:
        note = f"The first {PAGE_ROWS} of {len(frame)} rows; the CSV beside this page has them all. {note}"
    shown = _readable(frame.head(PAGE_ROWS))
    numeric = [str(name) for name in frame if _is_numeric(frame[name])]
    with replacing(Path(path).with_suffix(".html")) as file:
        file.write_text(_as_html(shown, numeric, title, note), encoding="utf-8", newline="\n")
    with replacing(Path(path).with_suffix(".tex")) as file:
        file.write_text(_as_latex(shown, numeric, title, note), encoding="utf-8", newline="\n")


def write_page(sections: Sequence[tuple[str, pd.DataFrame, str]], path: Path, *, title: str) -> None:
    """Write several tables as one HTML page: heading, table and note of each; the first PAGE_ROWS rows."""
    parts = []
    for number, (heading, frame, note) in enumerate(sections):
        numeric = [str(name) for name in frame if _is_numeric(frame[name])]
        shown = _readable(frame.head(PAGE_ROWS))
        table = _great_table(shown, numeric, heading, note, f"table{number}")
        parts.append(str(table.as_raw_html()))
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title>'
    body = f"<h1>{html.escape(title)}</h1>\n" + "\n<hr>\n".join(parts)
    with replacing(path) as file:
        page = f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'
        file.write_text(page, encoding="utf-8", newline="\n")


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


def escape_spreadsheet(frame: pd.DataFrame) -> pd.DataFrame:
    """Prefix text that a spreadsheet would run as a formula with an apostrophe (OWASP, CSV injection).

    Numbers stay numbers: only text (cells, categories, column names) is changed that begins with one of
    ``= + - @``, tab or carriage return, or with apostrophes before these, so that `read` can undo it.
    """
    columns = {
        name: cells if _is_numeric(cells) else cells.astype(object).map(_escape_formula)
        for name, cells in frame.items()
    }
    return pd.DataFrame(columns, index=frame.index).rename(columns=_escape_formula)


def _readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Every cell as text for people: rounded numbers, yes/no, nothing for a missing cell."""
    return pd.DataFrame(
        {name: cells.astype(object).map(_readable_cell) for name, cells in frame.items()},
        columns=frame.columns,
        dtype=object,
    ).reset_index(drop=True)


def _is_numeric(cells: pd.Series) -> bool:
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


def _readable_cell(value: Any) -> str:
    match value:
        case str():
            return value
        case bool() | np.bool_():
            return "yes" if value else "no"
        case int() | np.integer():
            return _readable_integer(int(value))
        case float() | np.floating() if not np.isnan(value):
            return _readable_float(float(value))
    return "" if pd.isna(value) else str(value)


def _readable_integer(value: int) -> str:
    # four digits stay together: they may be a year
    text = f"{abs(value):,}" if abs(value) >= 10_000 else str(abs(value))
    return f"{MINUS}{text}" if value < 0 else text


def _readable_float(value: float) -> str:
    size = abs(value)
    if np.isinf(size):
        text = "∞"
    elif size >= 1000:
        text = f"{size:,.1f}" if size < 1e9 else f"{size:.2e}"
    elif size == 0 or size >= 0.0005:
        text = f"{size:.3f}"
    else:
        text = f"{size:.1e}".replace("-", MINUS)
    return f"{MINUS}{text}" if value < 0 else text


def _as_html(shown: pd.DataFrame, numeric: list[str], title: str, note: str) -> str:
    page = _great_table(shown, numeric, title, note, "table").as_raw_html(make_page=True)
    return str(page).replace("</head>", f"<title>{html.escape(title)}</title>\n</head>", 1)


def _great_table(shown: pd.DataFrame, numeric: list[str], title: str, note: str, place: str) -> GT:
    table = GT(shown, id=place).tab_header(title=title)
    if note:
        table = table.tab_source_note(note)
    text = [name for name in shown if name not in numeric]
    if numeric:
        table = table.cols_align("right", columns=numeric)
    if text:
        table = table.cols_align("left", columns=text)
    for name in text:
        links = np.flatnonzero(shown[name].str.fullmatch(_LINK))
        if links.size:
            table = table.fmt(_link, columns=name, rows=links.tolist())
    return table.tab_options(
        table_font_size="13px",
        data_row_padding="4px",
        heading_align="left",
        column_labels_font_weight="bold",
        container_overflow_x="visible",
        container_overflow_y="visible",
    ).opt_css(_CSS.replace("#table", f"#{place}"))


def _link(url: str) -> str:
    escaped = html.escape(url)
    # a new window: the report shows tables in frames, where other sites refuse to open
    return f'<a href="{escaped}" target="_blank" rel="noopener noreferrer">{escaped}</a>'


def _as_latex(shown: pd.DataFrame, numeric: list[str], title: str, note: str) -> str:
    """LaTeX for the packages booktabs and, from LONG_TABLE rows on, longtable."""
    wide = [name for name in shown if name not in numeric and shown[name].str.len().max() > LONG_TEXT]
    paragraph = f"p{{{0.5 / max(len(wide), 1):.2f}\\linewidth}}"
    columns = "".join("r" if name in numeric else paragraph if name in wide else "l" for name in shown)
    style = shown.map(_escape_latex).rename(columns=_escape_latex).style.hide(axis="index")
    caption = _escape_latex(title)
    below = f"{{\\footnotesize {_escape_latex(note)}\\par}}\n" if note else ""
    if len(shown) > LONG_TABLE:
        long = style.to_latex(hrules=True, column_format=columns, caption=caption, environment="longtable")
        return f"{long}{below}"
    end = "\\end{table}\n"
    table = style.to_latex(hrules=True, column_format=columns, caption=caption, position="htbp")
    return f"{table.removesuffix(end)}{below}{end}"


def _escape_latex(text: str) -> str:
    # repeated hyphens would be set as a dash
    return re.sub("-(?=-)", "-{}", " ".join(text.split()).translate(_LATEX))
