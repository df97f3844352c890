"""What services answered, kept for good: pages that are only ever added, and a line about each.

`<root>/<source>/<shelf>/page-NNNN.json.gz` holds a body as it came, `manifest.jsonl` beside it what was asked
for and how it was answered. A page is there once its line is: it is written under another name, renamed, and
only then gets its line, so that a run that is killed leaves at most a page without a line, which the next run
writes again.
"""

import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from attention_faults import files
from attention_faults.errors import InputError, shown
from attention_faults.mining.thread import Source
from attention_faults.mining.transport import Answer

MANIFEST = "manifest.jsonl"
SHELF = re.compile(r"_?[A-Za-z0-9][A-Za-z0-9_.-]{0,239}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """The latest that is known of one request.

    Attributes:
        page: number of the page with its body; None if the body was not kept.
        status: of the answer with that body.
        fetched: when the service last said so.
    """

    page: int
    status: int
    etag: str | None
    sha256: str
    more: bool
    fetched: datetime


class Archive:
    """All pages of one source."""

    def __init__(self, root: Path, source: Source) -> None:
        self.root = root
        self.folder = root / source
        self._shelves: dict[str, Shelf] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep all other processes from adding pages.

        Raises:
            InputError: if another process does so just now.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"{self.folder}: another run adds to this archive; wait for its end") from None
        try:
            yield
        finally:
            for shelf in self._shelves.values():
                shelf.close()
            lock.release()

    def shelf(self, name: str) -> "Shelf":
        """Return the pages of one query.

        Raises:
            InputError: if the name could lead out of the archive, or the manifest cannot be read.
        """
        if not SHELF.fullmatch(name):
            raise InputError(f"{self.folder}: `{shown(name)}` is no name for a folder of the archive")
        if name not in self._shelves:
            self._shelves[name] = Shelf(self.folder / name)
        return self._shelves[name]


class Shelf:
    """The pages of one query, in the order in which they came."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries: dict[bytes, Entry] = {}
        self._pages = 0
        self._whole = 0  # bytes of the manifest that are whole lines
        self._manifest: BinaryIO | None = None
        self._load()

    def find(self, url: str) -> Entry | None:
        """Return what is known of a request."""
        return self._entries.get(_key(url))

    def read(self, entry: Entry) -> bytes:
        """Return the body of a page.

        Raises:
            InputError: if it is not there, or not the one that was written.
        """
        path = self._path(entry.page)
        try:
            body = gzip.decompress(path.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path}: not readable: {error}") from None
        if hashlib.sha256(body).hexdigest() != entry.sha256:
            raise InputError(f"{path}: not the bytes that were fetched: their checksum is another one")
        return body

    def add(self, url: str, answer: Answer, **facts: Any) -> Entry:
        """Keep an answer; earlier ones to the same request stay.

        Args:
            url: what was asked for, without secrets.
            answer: to keep; with status 304 only that the page is as it was.
            facts: what else the manifest says of the page.
        """
        self._open()
        known = self.find(url)
        if answer.status == 304 and known:
            line = {"page": self._path(known.page).name, "url": url, "status": 304}
        else:
            number = self._pages + 1
            with files.replacing(self._path(number)) as temporary, temporary.open("wb") as file:
                file.write(gzip.compress(answer.body, mtime=0))
                file.flush()
                os.fsync(file.fileno())
            line = {
                "page": self._path(number).name,
                "url": url,
                "status": answer.status,
                "etag": answer.etag,
                "sha256": hashlib.sha256(answer.body).hexdigest(),
                "bytes": len(answer.body),
                "more": answer.more,
                **facts,
            }
        line["fetched"] = answer.fetched.isoformat()
        text = f"{json.dumps(line, ensure_ascii=True)}\n".encode()
        assert self._manifest is not None  # noqa: S101
        self._manifest.write(text)
        self._manifest.flush()
        os.fsync(self._manifest.fileno())
        self._whole += len(text)
        return self._note(line)

    def close(self) -> None:
        """Close the manifest."""
        if self._manifest is not None:
            self._manifest.close()
            self._manifest = None

    def _open(self) -> None:
        """Open the manifest for adding; what a killed run left half-done goes first."""
        if self._manifest is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(".*.gz"):
                leftover.unlink()
            self._manifest = (self.folder / MANIFEST).open("ab")
            self._manifest.truncate(self._whole)

    def _load(self) -> None:
        path = self.folder / MANIFEST
        if not path.exists():
            return
        with path.open("rb") as lines:
            for number, text in enumerate(lines, start=1):
                if not text.endswith(b"\n"):
                    break  # a run was killed while it wrote this line
                try:
                    self._note(json.loads(text))
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(f"{path}:{number}: not a line of a manifest: {error}") from None
                self._whole += len(text)

    def _note(self, line: dict[str, Any]) -> Entry:
        fetched = datetime.fromisoformat(line["fetched"])
        key = _key(line["url"])
        if line["status"] == 304:
            old = self._entries[key]
            entry = Entry(
                page=old.page,
                status=old.status,
                etag=old.etag,
                sha256=old.sha256,
                more=old.more,
                fetched=fetched,
            )
        else:
            page = int(line["page"].removeprefix("page-").removesuffix(".json.gz"))
            self._pages = max(self._pages, page)
            entry = Entry(
                page=page,
                status=int(line["status"]),
                etag=line["etag"],
                sha256=line["sha256"],
                more=line["more"],
                fetched=fetched,
            )
        self._entries[key] = entry
        return entry

    def _path(self, page: int) -> Path:
        return self.folder / f"page-{page:04d}.json.gz"


def _key(url: str) -> bytes:
    # a digest in place of the address: millions of them are held in memory
    return hashlib.blake2b(url.encode(), digest_size=16).digest()
