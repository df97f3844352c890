"""Candidate threads: what a rater is shown of them."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from attention_faults.errors import InputError, nearest, shown
from attention_faults.taxonomy.dataset import CONTROL_CHARACTER, URL
from attention_faults.taxonomy.reading import in_line_order, read_table

NEEDED = ("url", "project", "title")
OPTIONAL = ("source", "created", "body")
KEPT = "kept"  # of mined candidates: whether screening kept the thread


def read(paths: Sequence[Path], columns: Mapping[str, str]) -> pd.DataFrame:
    """Read files of candidates.

    Of each file the columns url, project, title, and source, created, body where it has them, are read; where
    it has a column `kept`, only rows in which that is true. A thread of an earlier file is not added again.

    Args:
        paths: CSV, Parquet or XLSX files.
        columns: our name of a column -> its name in the files, where they differ.

    Returns:
        One row a thread, all text: record_id (the first 10 hexadecimal digits of the SHA-256 of its URL),
        url, project, source, created, title, body; and file, the position of its file in `paths`.

    Raises:
        InputError: with every missing column, cell that is empty, not a URL or repeated within its file.
    """
    unknown = [name for name in columns if name not in (*NEEDED, *OPTIONAL)]
    if unknown:
        raise InputError(
            f"key `columns`: `{name}` is no column of a candidate{nearest(name, (*NEEDED, *OPTIONAL))}"
            for name in unknown
        )
    problems: list[str] = []
    frames = []
    for number, path in enumerate(paths):
        try:
            frames.append(_read(path, columns).assign(file=number))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    threads = pd.concat(frames, ignore_index=True)
    return threads.drop_duplicates("record_id").reset_index(drop=True)


def record_id(url: str) -> str:
    """Return the name of a thread's record."""
    return hashlib.sha256(url.encode()).hexdigest()[:10]


def _read(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    sources = {name: columns.get(name, name) for name in (*NEEDED, *OPTIONAL)}
    frame, lines = (
        _read_parquet(path, [*sources.values(), KEPT]) if path.suffix == ".parquet" else _read_text(path)
    )
    missing = [name for name in NEEDED if sources[name] not in frame]
    if missing:
        raise InputError(
            f"{path}: there is no column `{sources[name]}`{nearest(sources[name], frame.columns)}"
            for name in missing
        )
    if KEPT in frame:
        kept = frame[KEPT].str.lower().isin(["true", "1", "yes"])
        frame, lines = frame[kept].reset_index(drop=True), lines[kept.to_numpy()]
    if frame.empty:
        raise InputError(f"{path}: there is no candidate")
    threads = pd.DataFrame({name: frame.get(at, "") for name, at in sources.items()})
    _check(path, threads, lines, sources)
    ids = threads["url"].map(record_id)
    order = ["record_id", "url", "project", "source", "created", "title", "body"]
    return threads.assign(record_id=ids)[order]


def _read_text(path: Path) -> tuple[pd.DataFrame, pd.Series]:
    table = read_table(path)
    return table.frame, pd.Series(table.lines)


def _read_parquet(path: Path, wanted: Sequence[str]) -> tuple[pd.DataFrame, pd.Series]:
    """Read the wanted columns as text; others of a mined file hold lists and are not read."""
    try:
        there = pq.read_schema(path).names
        table = pq.read_table(path, columns=[name for name in dict.fromkeys(wanted) if name in there])
        texts = [column.cast(pa.large_string()).fill_null("") for column in table.columns]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as Parquet: {shown(error)}") from error
    frame = pa.table(texts, names=table.column_names).to_pandas()
    return frame, pd.Series(range(1, len(frame) + 1))


def _check(path: Path, threads: pd.DataFrame, lines: pd.Series, sources: Mapping[str, str]) -> None:
    found: list[tuple[int, str]] = []

    def add(name: str, wrong: pd.Series, reason: str) -> None:
        rows = wrong.to_numpy(bool)
        for line, value in zip(lines.to_numpy()[rows].tolist(), threads.loc[rows, name], strict=True):
            found.append((line, f"{path}:{line}: column `{sources[name]}`: `{shown(value)}` {reason}"))

    for name in NEEDED:
        add(name, threads[name].str.strip() == "", "is empty, expected a value")
    filled = threads["url"].str.strip() != ""
    is_url = threads["url"].str.fullmatch(URL) & ~threads["url"].str.contains(CONTROL_CHARACTER, regex=True)
    add("url", filled & ~is_url, "is not a URL; expected http:// or https:// and a host")
    add("url", filled & threads["url"].duplicated(), "stands in an earlier row already, expected once")
    if found:
        raise InputError(in_line_order(found))
