"""Fetch threads by their addresses: a fault dataset may ship no more than those, and labels."""

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from attention_faults import files
from attention_faults.errors import InputError
from attention_faults.mining import mine, privacy, table
from attention_faults.mining.archive import Archive
from attention_faults.mining.clock import SystemClock
from attention_faults.mining.meter import Meter
from attention_faults.mining.pages import Pages
from attention_faults.mining.privacy import Pseudonyms
from attention_faults.mining.thread import Source, Thread
from attention_faults.mining.transport import Caps, RefusedError

_HOSTS: dict[str, Source] = {
    "github.com": "github",
    "huggingface.co": "huggingface",
    "discuss.huggingface.co": "huggingface_forum",
}
_STACK_EXCHANGE = re.compile(
    r"(?:[a-z0-9-]+\.)*(?:stackoverflow|superuser|serverfault|askubuntu|stackapps|stackexchange|mathoverflow)\.(?:com|net)"
)


@dataclass(frozen=True, kw_only=True)
class Address:
    """What became of an address.

    Attributes:
        url: as it was given.
        thread: address of the thread in the table; None if it could not be had.
        reason: why not.
    """

    url: str
    thread: str | None = None
    reason: str = ""


def source_of(url: str) -> Source | None:
    """Return the source whose thread an address names; None if it is no source of ours."""
    try:
        host = (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return None
    if _STACK_EXCHANGE.fullmatch(host):
        return "stackexchange"
    return _HOSTS.get(host)


def read_urls(path: Path) -> list[str]:
    """Return the addresses in the column `url` of a CSV, each once.

    Raises:
        InputError: if the file cannot be read or lacks the column.
    """
    try:
        records = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as CSV: {error}") from None
    if "url" not in records:
        raise InputError(f"{path}:1: expected a column `url`, found {', '.join(records.columns)}")
    return [url for url in dict.fromkeys(records["url"].str.strip()) if url]


def expected(urls: Iterable[str]) -> dict[Source, dict[str, int]]:
    """Return how many requests each source is likely to take: two for a thread."""
    counts = Counter(source for url in urls if (source := source_of(url)))
    return {
        source: {
            next(kind for kind in mine.ADAPTERS[source].SERVICE.anonymous if kind != "search"): 2 * count
        }
        for source, count in sorted(counts.items())
    }


def threads(
    urls: Iterable[str], pages: dict[Source, Pages], pseudonyms: Pseudonyms, addresses: list[Address]
) -> Iterator[Thread]:
    """Yield the threads at some addresses, each once, and take down what becomes of each address."""
    yielded: set[str] = set()
    for url in urls:
        source = source_of(url)
        if source is None:
            addresses.append(Address(url=url, reason="no source that is mined"))
            continue
        parts = urlsplit(url)
        plain = f"https://{parts.hostname}{parts.path}"
        try:
            thread = mine.ADAPTERS[source].thread_at(plain, pages[source], pseudonyms)
        except RefusedError as error:
            addresses.append(Address(url=url, reason=error.problems[0]))
            continue
        if thread is None:
            addresses.append(Address(url=url, reason="gone, or no address of a thread"))
            continue
        addresses.append(Address(url=url, thread=thread.url))
        if thread.url not in yielded:
            yielded.add(thread.url)
            yield thread


def hydrate(urls: list[str], archive: Path, folder: Path) -> list[Address]:
    """Fetch threads into the archive; write `threads.parquet`, and what became of each address.

    Returns:
        The addresses, as `addresses.csv` lists them too.

    Raises:
        SourceError: if a source cannot be reached or refuses; what was fetched is kept.
    """
    clock = SystemClock()
    addresses: list[Address] = []
    with ExitStack() as stack:
        pages = {}
        for source in sorted({source for url in urls if (source := source_of(url))}):
            meter = Meter(source, clock)
            stack.callback(meter.close)
            service = mine.ADAPTERS[source].SERVICE
            pages[source] = stack.enter_context(
                mine.live(
                    Archive(archive, source),
                    service,
                    token=mine.token_of(service),
                    clock=clock,
                    jitter=random.Random(),  # noqa: S311 (spreads retries)
                    progress=meter,
                    caps=Caps(),
                )
            )
        found = threads(urls, pages, privacy.of_archive(archive), addresses)
        table.write(found, folder / "threads.parquet")
    rows = [asdict(address) for address in addresses]
    with files.replacing(folder / "addresses.csv") as target:
        pd.DataFrame(rows, columns=["url", "thread", "reason"]).to_csv(target, index=False)
    return addresses
