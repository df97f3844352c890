"""The register of fault datasets: where each lies, under which licence, and how it is read."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import pooch

from attention_faults.errors import InputError, nearest
from attention_faults.taxonomy.reading import read_table

COLUMNS = ["name", "version", "path", "sha256", "licence", "population", "synthetic"]
COLUMNS += ["schema", "codebook", "ratings"]
OPTIONAL = ("sha256", "ratings")
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
        return bool(re.match(r"https?://", self.path))


def load(paths: Iterable[Path]) -> dict[str, Entry]:
    """Read registers; paths in them are relative to the register's own folder.

    Raises:
        InputError: with every bad row of every register.
    """
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    for path in paths:
        table = read_table(path)
        missing = [name for name in COLUMNS if name not in table.frame]
        if missing:
            raise InputError(f"{path}:1: there is no column `{name}`" for name in missing)
        rows = cast("list[dict[str, str]]", table.frame.to_dict("records"))
        for line, row in zip(table.lines.tolist(), rows, strict=True):
            found = [f"{path}:{line}: {problem}" for problem in _problems(row, path.parent, entries)]
            problems += found
            if not found:
                entries[row["name"]] = _entry(row, path.parent)
    if problems:
        raise InputError(problems)
    return entries


def select(entries: dict[str, Entry], names: Iterable[str]) -> list[Entry]:
    """Return the named entries.

    Raises:
        InputError: with every name that is not registered.
    """
    problems = [
        f"configuration: key `datasets`: `{name}` is not in the register{nearest(name, entries)}"
        for name in names
        if name not in entries
    ]
    if problems:
        raise InputError(problems)
    return [entries[name] for name in names]


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
        f"column `{name}`: `` is empty, expected a value"
        for name in COLUMNS
        if not row[name] and name not in OPTIONAL
    ]
    if row["name"] in entries:
        problems.append(f"column `name`: `{row['name']}` is registered already")
    if row["name"] == "compare" or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", row["name"]):
        problems.append(
            f"column `name`: `{row['name']}` cannot name a folder of results; expected letters, digits, `_.-`"
        )
    for name, valid in (("population", ["authors", "independent"]), ("synthetic", ["yes", "no"])):
        if row[name] and row[name] not in valid:
            problems.append(
                f"column `{name}`: `{row[name]}` is not one of {', '.join(valid)}{nearest(row[name], valid)}"
            )
    if row["sha256"] and not re.fullmatch(r"[0-9a-fA-F]{64}", row["sha256"]):
        problems.append(
            f"column `sha256`: `{row['sha256']}` is not a checksum; expected 64 hexadecimal digits"
        )
    if "://" in row["path"] and not re.match(r"https?://", row["path"]):
        problems.append(f"column `path`: `{row['path']}` is not a file or an http(s) address")
    elif re.match(r"https?://", row["path"]) and not row["sha256"]:
        problems.append("column `sha256`: `` is empty, expected the checksum of a dataset that is downloaded")
    files = [
        name for name in ("path", "schema", "codebook", "ratings") if row[name] and "://" not in row[name]
    ]
    problems += [
        f"column `{name}`: `{row[name]}`: there is no file {folder / row[name]}"
        for name in files
        if not (folder / row[name]).is_file()
    ]
    return problems


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
    except (OSError, ValueError) as error:  # requests' errors are OSErrors; pooch raises ValueError for a checksum
        raise InputError(f"{url}: {error}") from error
