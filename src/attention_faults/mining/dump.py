"""Questions of the Stack Exchange data dump with their answers, in memory that does not grow with the dump.

`Posts.xml` holds one element `row` a post, with its fields as attributes; questions and answers stand in one
list, and an answer names its question in `ParentId`
(https://meta.stackexchange.com/questions/2677/database-schema-documentation-for-the-public-data-dump-and-sede).
The dump is published as `.7z`, a file a site, or for Stack Overflow a file a table; both are read without
unpacking.

What is held in memory is two bits for each number up to the highest `Id` (20 MB for Stack Overflow): posts
that are wanted go to disk, and are joined there.
"""

import json
import re
import sqlite3
import threading
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue
from typing import Any
from xml.parsers import expat

import py7zr

from attention_faults.errors import InputError, shown
from attention_faults.mining import outcome, privacy, stackexchange, table, text
from attention_faults.mining.outcome import Outcome
from attention_faults.mining.privacy import Pseudonyms
from attention_faults.mining.queries import Mining
from attention_faults.mining.thread import Thread

CHUNK = 2**18  # bytes read at once
LONGEST_ROW = 2**22  # bytes; a post has at most 30,000 characters
HIGHEST_ID = 2**30  # 128 MiB of bits
METHODS = {"LZMA", "LZMA2", "BZip2", "COPY", "BCJ"}  # py7zr unpacks others in memory without bounds
TAGS = r"(?:\s|&nbsp;|<[^<>]{1,200}>)+"  # what may part the words of a keyword in HTML
MEMBER = "Posts.xml"
QUESTION, ANSWER = "1", "2"

# what XML 1.0 forbids and dumps hold all the same: https://www.w3.org/TR/xml/#charsets
_RAW_CONTROL = bytes(code if code >= 32 or code in b"\t\n\r" else ord("?") for code in range(256))
_CONTROL_REFERENCE = re.compile(
    rb"&#(?:x0*(?:[0-8bcef]|1[0-9a-f]|d[89a-f][0-9a-f]{2}|fff[ef])"
    rb"|0*(?:[0-8]|1[124-9]|2[0-9]|3[01]));",
    re.IGNORECASE,
)
_LONGEST_REFERENCE = 16  # bytes

Row = dict[str, str]


def write_site(mining: Mining, site: str, *, threads_to: Path, queries_to: Path) -> None:
    """Write the questions of a dump that the settings ask for, and how many they are.

    Raises:
        InputError: as `threads`, and if the settings name no dump of this site.
    """
    if site not in mining.stackexchange.dumps:
        raise InputError(f"key `mining.stackexchange.dumps`: there is no dump of `{shown(site)}`")
    found = Outcome(source="stackexchange", query=f"dump--{site}")
    tags = [framework.tag for framework in mining.frameworks.values() if framework.tag]

    def of_the_time() -> Iterator[Thread]:
        for thread in threads(
            mining.stackexchange.dumps[site],
            site,
            tags=tags if mining.stackexchange.tagged else [],
            words=mining.phrases,
            pseudonyms=privacy.of_archive(mining.archive),
            query=found.query,
        ):
            found.found += 1
            found.fetched += 1
            if mining.holds(thread.created):
                yield thread
            else:
                found.unmatched += 1

    table.write(of_the_time(), threads_to)
    outcome.write([found], queries_to)


def threads(
    path: Path,
    site: str,
    *,
    tags: Collection[str],
    words: Collection[str],
    pseudonyms: Pseudonyms,
    query: str = "",
) -> Iterator[Thread]:
    """Yield the questions of a dump that carry a tag and hold a word, with their answers, by number.

    Args:
        path: `Posts.xml`, or a `.7z` that holds it.
        site: name in the API, such as `stackoverflow`; the dump does not say it.
        tags: a question needs one of them; if there are none, any will do.
        words: a question needs one of them in its title or text, as a whole word, whatever its case; if there
            are none, any will do.
        pseudonyms: of the study.
        query: name that the threads carry.

    Raises:
        InputError: as `rows`, and for a post without a usable number or date.
    """
    with closing(sqlite3.connect("", isolation_level=None)) as spilled:  # no name: a file that nobody sees
        _spill(path, _Wanted(tags, words), spilled)
        for question, answers in _joined(spilled):
            yield _thread(path, site, question, answers, pseudonyms, query)


class _Wanted:
    """Which questions are."""

    def __init__(self, tags: Collection[str], words: Collection[str]) -> None:
        self.tags = {tag.casefold() for tag in tags}
        pattern = rf"(?<!\w)(?:{text.any_of(words, TAGS)})(?!\w)" if words else ""
        self.word = re.compile(pattern, re.IGNORECASE)

    def __call__(self, row: Row) -> bool:
        if self.tags and self.tags.isdisjoint(tag.casefold() for tag in _tags(row)):
            return False
        return any(self.word.search(row.get(name, "")) for name in ("Title", "Body"))


class _Bits:
    """A set of small whole numbers, a bit each."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int) -> None:
        if number >> 3 >= len(self._bits):
            self._bits.extend(bytes((number >> 3) - len(self._bits) + 2**16))
        self._bits[number >> 3] |= 1 << (number & 7)

    def __contains__(self, number: int) -> bool:
        return number >> 3 < len(self._bits) and bool(self._bits[number >> 3] & 1 << (number & 7))


def _spill(path: Path, wanted: _Wanted, spilled: sqlite3.Connection) -> None:
    """Keep the wanted questions and their answers.

    An answer may precede its question, as in merged ones: it is kept until the join sees what it answers.
    """
    spilled.execute("CREATE TABLE question (id INTEGER PRIMARY KEY, post TEXT)")
    spilled.execute("CREATE TABLE answer (parent INTEGER, id INTEGER, post TEXT, PRIMARY KEY (parent, id))")
    spilled.execute("BEGIN")
    known, unwanted = _Bits(), _Bits()
    for row in rows(path):
        if row.get("PostTypeId") == QUESTION:
            number = _number(path, row, "Id")
            if number in known:
                raise InputError(f"{path}: question {number} stands twice")
            known.add(number)
            if wanted(row):
                spilled.execute("INSERT INTO question VALUES (?, ?)", (number, json.dumps(row)))
            else:
                unwanted.add(number)
        elif row.get("PostTypeId") == ANSWER:
            parent = _number(path, row, "ParentId")
            if parent not in unwanted:
                answer = (parent, _number(path, row, "Id"), json.dumps(row))
                spilled.execute("INSERT OR IGNORE INTO answer VALUES (?, ?, ?)", answer)
    spilled.execute("COMMIT")


def _joined(spilled: sqlite3.Connection) -> Iterator[tuple[Row, list[Row]]]:
    for number, post in spilled.execute("SELECT id, post FROM question ORDER BY id"):
        answers = spilled.execute("SELECT post FROM answer WHERE parent = ? ORDER BY id", (number,))
        yield json.loads(post), [json.loads(answer) for (answer,) in answers]


def _thread(
    path: Path, site: str, question: Row, answers: list[Row], pseudonyms: Pseudonyms, query: str
) -> Thread:
    names = {post["OwnerDisplayName"] for post in [question, *answers] if post.get("OwnerDisplayName")}
    closed = _date(path, question, "ClosedDate") if "ClosedDate" in question else None
    return Thread(
        source="stackexchange",
        url=f"https://{stackexchange.host(site)}/questions/{int(question['Id'])}",
        kind="question",
        project=site,
        title=pseudonyms.hide(text.title(question.get("Title", "")), names),
        body=pseudonyms.hide(text.from_html(question.get("Body", "")), names),
        discussion=pseudonyms.hide(
            "\n\n".join(text.from_html(answer.get("Body", "")) for answer in answers), names
        ),
        labels=tuple(_tags(question)),
        author=pseudonyms.of(_name(site, question)),
        created=_date(path, question, "CreationDate"),
        updated=_date(path, question, "LastActivityDate") if "LastActivityDate" in question else None,
        closed=closed,
        state="closed" if closed else "open",
        comments=len(answers),
        has_accepted_answer="AcceptedAnswerId" in question,
        query=query,
    )


def _name(site: str, row: Row) -> str:
    """Return the name that the API's adapter hashes too."""
    return f"{site}/{row['OwnerUserId']}" if "OwnerUserId" in row else row.get("OwnerDisplayName", "")


def _tags(row: Row) -> list[str]:
    """Return the tags of a question: `|a|b|`, or `<a><b>` in older dumps."""
    return re.findall(r"[^<>|]+", row.get("Tags", ""))


def _number(path: Path, row: Row, name: str) -> int:
    found = row.get(name, "")
    if not (found.isascii() and found.isdigit() and len(found) <= 10 and int(found) < HIGHEST_ID):
        raise _error(path, row, name, f"a number below {HIGHEST_ID:,}")
    return int(found)


def _date(path: Path, row: Row, name: str) -> datetime:
    found = row.get(name, "")
    try:
        return datetime.fromisoformat(found).replace(tzinfo=UTC)
    except ValueError:
        raise _error(path, row, name, "a date") from None


def _error(path: Path, row: Row, name: str, expected: str) -> InputError:
    found = f"found `{shown(row[name])}`" if name in row else "it is missing"
    return InputError(
        f"{path}: row with Id `{shown(row.get('Id', ''))}`: `{name}`: expected {expected}, {found}"
    )


def rows(path: Path) -> Iterator[Row]:
    """Yield the attributes of every row of `Posts.xml`, or of that file inside a `.7z`, in its order.

    Characters that XML does not allow come as `?`.

    Raises:
        InputError: if the file cannot be read, is no list of rows, declares a document type (and so could
            define entities), or holds a row of more than LONGEST_ROW bytes.
    """
    parser = _Parser(path)
    with _chunks(path) as chunks:
        for chunk in chunks:
            yield from parser.feed(chunk)
    yield from parser.close()


class _Parser:
    """Rows of a file that is fed in pieces."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.depth = 0
        self.fed = self.last_row = 0  # bytes
        self.rest = b""
        self.found: list[Row] = []
        self.expat = expat.ParserCreate()
        self.expat.StartElementHandler = self._start
        self.expat.EndElementHandler = self._end
        self.expat.StartDoctypeDeclHandler = self._refuse_doctype

    def feed(self, chunk: bytes) -> list[Row]:
        """Return the rows that `chunk` completes."""
        chunk = self.rest + chunk
        open_reference = chunk.rfind(b"&", -_LONGEST_REFERENCE)  # it may go on in the next chunk
        end = len(chunk) if open_reference < 0 else open_reference
        self.rest = chunk[end:]
        return self._parse(chunk[:end], last=False)

    def close(self) -> list[Row]:
        """Return the remaining rows; the document must be at its end."""
        return self._parse(self.rest, last=True)

    def _parse(self, data: bytes, *, last: bool) -> list[Row]:
        self.fed += len(data)
        try:
            self.expat.Parse(_CONTROL_REFERENCE.sub(b"?", data).translate(_RAW_CONTROL), last)
        except expat.ExpatError as error:
            raise InputError(
                f"{self.path}:{error.lineno}: not readable as XML: {expat.ErrorString(error.code)}"
            ) from None
        if self.fed - self.last_row > LONGEST_ROW:
            raise self._error(f"expected a row in {LONGEST_ROW:,} bytes, found none")
        found, self.found = self.found, []
        return found

    def _start(self, name: str, attributes: Row) -> None:
        self.depth += 1
        if (self.depth, name) == (2, "row"):
            self.last_row = self.fed
            self.found.append(attributes)
        elif (self.depth, name) != (1, "posts"):
            raise self._error(f"expected `row` elements in a `posts` element, found `{shown(name)}`")

    def _end(self, _: str) -> None:
        self.depth -= 1

    def _refuse_doctype(self, name: str, *_: Any) -> None:
        raise self._error(f"declares a document type `{shown(name)}`, which dumps do not")

    def _error(self, problem: str) -> InputError:
        return InputError(f"{self.path}:{self.expat.CurrentLineNumber}: {problem}")


@contextmanager
def _chunks(path: Path) -> Iterator[Iterator[bytes]]:
    try:
        if path.suffix == ".7z":
            with _unpacked(path) as chunks:
                yield chunks
        else:
            with path.open("rb") as file:
                yield iter(lambda: file.read(CHUNK), b"")
    except OSError as error:
        raise InputError(f"{path}: not readable: {error.strerror or error}") from None


@contextmanager
def _unpacked(path: Path) -> Iterator[Iterator[bytes]]:
    """Yield the chunks of `Posts.xml` in an archive, which a thread of its own unpacks a few ahead."""
    pipe = _Pipe()
    thread = threading.Thread(target=_unpack, args=(path, pipe), daemon=True)
    thread.start()
    try:
        yield iter(pipe.get, b"")
    finally:
        pipe.leave()
        thread.join()


def _unpack(path: Path, pipe: "_Pipe") -> None:
    """Push the member into the pipe; nothing is written to disk, whatever names the archive holds."""
    try:
        with py7zr.SevenZipFile(path) as archive:
            methods = archive.archiveinfo().method_names or ["an unknown method"]
            if unbounded := ", ".join(sorted(set(methods) - METHODS)):
                raise ValueError(f"packed by {unbounded}, which unpacks without bounds")  # noqa: TRY301
            names = [name for name in archive.namelist() if name.rpartition("/")[2] == MEMBER]
            if len(names) == 1:
                archive.extract(targets=names, factory=pipe)
        wrong = InputError(f"{path}: expected one `{MEMBER}` in the archive, found {len(names)}")
        pipe.put(b"" if len(names) == 1 else wrong)
    except Exception as error:  # noqa: BLE001 (each codec has errors of its own)
        pipe.put(InputError(f"{path}: not readable as 7z: {error or type(error).__name__}"))


class _Pipe(py7zr.WriterFactory):
    """A short way from py7zr, which pushes, to the parser, which pulls."""

    def __init__(self) -> None:
        self._chunks: Queue[bytes | InputError] = Queue(maxsize=2)
        self.left = False

    def create(self, filename: str) -> "_Member":  # noqa: ARG002 (py7zr calls it so)
        return _Member(self)

    def put(self, chunk: bytes | InputError) -> None:
        """Wait for room, then add a chunk; nothing at all marks the end."""
        if not self.left:
            self._chunks.put(chunk)

    def get(self) -> bytes:
        """Wait for the next chunk.

        Raises:
            InputError: that came in its place.
        """
        chunk = self._chunks.get()
        if isinstance(chunk, InputError):
            raise chunk
        return chunk

    def leave(self) -> None:
        """Stop the other side."""
        self.left = True
        while not self._chunks.empty():
            self._chunks.get()


class _Member(py7zr.Py7zIO):
    """Where py7zr writes a member to."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe
        self._size = 0

    def write(self, s: bytes | bytearray) -> int:
        if self._pipe.left:
            raise BrokenPipeError
        self._size += len(s)
        for start in range(0, len(s), CHUNK):
            self._pipe.put(bytes(s[start : start + CHUNK]))
        return len(s)

    def size(self) -> int:
        return self._size

    def read(self, size: int | None = None) -> bytes:  # noqa: ARG002
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:  # noqa: ARG002
        return 0

    def flush(self) -> None:
        """Nothing is held back."""
