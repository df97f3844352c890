"""The register of fault datasets: where each lies, under which licence, and how it is read."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args
from urllib.parse import urlsplit

import pooch

from attention_faults.errors import InputError, nearest, shown
from attention_faults.taxonomy.dataset import URL
from attention_faults.taxonomy.reading import SUFFIXES, in_line_order, scan_table

COLUMNS = ["name", "version", "path", "sha256", "licence", "population", "synthetic"]
COLUMNS += ["schema", "codebook", "ratings"]
OPTIONAL = ("sha256", "ratings")
FILES = ("path", "schema", "codebook", "ratings")
# results/compare/ holds all datasets side by side, results/curvature/ and results/labelling/ other studies
FOLDER_NAME = r"(?!compare$|curvature$|labelling$)[A-Za-z0-9][A-Za-z0-9_.-]*"
Population = Literal["authors", "independent"]


@dataclass(frozen=True)
class Entry:
    """One registered dataset.

    Attributes:
        path: the file, or its http(s) address.
        population: `authors`: the 555 faults of Jahan et al.; `independent`: any other sample.
        synthetic: whether the records are made up; every table and figure says so.
        ratings: the ratings behind the labels, where there are any.
    """

    name: str
    version: str
    path: str
    sha256: str
    licence: str
    population: Population
    synthetic: bool
    schema: Path
    codebook: Path
    ratings: Path | None

    @property
    def is_remote(self) -> bool:
        """Whether the records lie on a server."""
        return "://" in self.path


def load(paths: Iterable[Path]) -> dict[str, Entry]:
    """Read registers; paths in them are relative to the register's own folder.

    Raises:
        InputError: with every bad row of every register.
    """
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    for path in paths:
        try:
            _add(path, entries)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return entries


def _add(path: Path, entries: dict[str, Entry]) -> None:
    """Add the rows of one register to `entries`."""
    table = scan_table(path)
    seen = list(table.frame.columns)
    missing = [name for name in COLUMNS if name not in seen]
    if missing:
        hints = [f"there is no column `{name}`{nearest(name, seen)}" for name in missing]
        hints.append(f"found: {table.contents}")
        raise InputError(f"{table.header}: {hint}" for hint in hints)
    problems = list(table.problems)
    rows = cast("list[dict[str, str]]", table.frame.to_dict("records"))
    for line, row in zip(table.lines.tolist(), rows, strict=True):
        found = [(line, f"{path}:{line}: {problem}") for problem in _problems(row, path.parent, entries)]
        problems += found
        if not found:
            entries[row["name"]] = _entry(row, path.parent)
    if problems:
        raise InputError(in_line_order(problems))


def select(entries: dict[str, Entry], names: Iterable[str]) -> list[Entry]:
    """Return the named entries.

    Raises:
        InputError: with every name that is not registered.
    """
    problems = [
        f"configuration: key `datasets`: `{name}` is not in the register{nearest(name, entries)}"
        for name in dict.fromkeys(names)
        if name not in entries
    ]
    if problems:
        raise InputError(problems)
    return [entries[name] for name in dict.fromkeys(names)]


def check_sha256(path: Path, expected: str) -> None:
    """Compare a file with its registered checksum; an empty checksum promises nothing.

    Raises:
        InputError: if they differ.
    """
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if expected and found != expected.lower():
        raise InputError(
            f"{path}: the file's sha256 is {found}, the register expects {expected}; "
            "if the change is meant, write the new checksum and version into the register"
        )


def _problems(row: dict[str, str], folder: Path, entries: dict[str, Entry]) -> list[str]:
    problems = [
        _wrong(row, name, "is empty, expected a value")
        for name in COLUMNS
        if not row[name].strip() and name not in OPTIONAL
    ]
    if row["name"] in entries:
        problems.append(_wrong(row, "name", "is registered already"))
    if row["name"].strip() and not re.fullmatch(FOLDER_NAME, row["name"]):
        problems.append(_wrong(row, "name", "cannot name a folder; expected letters, digits, `_.-`"))
    for name, valid in (("population", get_args(Population)), ("synthetic", ("yes", "no"))):
        if row[name].strip() and row[name] not in valid:
            expected = f"is not one of {', '.join(valid)}{nearest(row[name], valid)}"
            problems.append(_wrong(row, name, expected))
    if row["sha256"] and not re.fullmatch(r"[0-9a-fA-F]{64}", row["sha256"]):
        problems.append(_wrong(row, "sha256", "is not a checksum; expected 64 hexadecimal digits"))
    if "://" in row["path"] and not re.fullmatch(URL, row["path"]):
        problems.append(_wrong(row, "path", "is not a file or an http(s) address"))
    elif "://" in row["path"]:
        if not row["sha256"]:
            problems.append(_wrong(row, "sha256", "is empty, expected the checksum of what is downloaded"))
        if not urlsplit(row["path"]).path.lower().endswith(SUFFIXES):
            problems.append(_wrong(row, "path", f"names no file ending in {', '.join(SUFFIXES)}"))
    files = [name for name in FILES if row[name].strip() and not (name == "path" and "://" in row["path"])]
    problems += [
        _wrong(row, name, f"is not a file, seen from {folder}")
        for name in files
        if not _is_file(folder / row[name])
    ]
    return problems


def _wrong(row: dict[str, str], name: str, problem: str) -> str:
    return f"column `{name}`: `{shown(row[name])}` {problem}"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system allows
        return False


def _entry(row: dict[str, str], folder: Path) -> Entry:
    remote = "://" in row["path"]
    return Entry(
        name=row["name"],
        version=row["version"],
        path=row["path"] if remote else str(folder / row["path"]),
        sha256=row["sha256"],
        licence=row["licence"],
        population=cast("Population", row["population"]),
        synthetic=row["synthetic"] == "yes",
        schema=folder / row["schema"],
        codebook=folder / row["codebook"],
        ratings=folder / row["ratings"] if row["ratings"] else None,
    )


def fetch(url: str, sha256: str, path: Path) -> None:
    """Download a dataset; a file with another checksum is not kept.

    Raises:
        InputError: if the server does not answer, or the checksum differs.
    """
    try:
        pooch.retrieve(url, f"sha256:{sha256}", fname=path.name, path=path.parent, progressbar=False)
    except (
        OSError,
        ValueError,
    ) as error:  # an error of requests is an OSError, a wrong checksum a ValueError
        raise InputError(f"{url}: {error}") from error
