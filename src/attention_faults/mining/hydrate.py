"""Fetch threads by their addresses: a fault dataset may ship no more than those, and labels."""

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
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
from attention_faults.mining.transport import Caps

_HOSTS: dict[str, Source] = {
    "github.com": "github",
    "huggingface.co": "huggingface",
    "discuss.huggingface.co": "huggingface_forum",
}
_STACK_EXCHANGE = re.compile(
    r"(?:[a-z0-9-]+\.)*(?:stackoverflow|superuser|serverfault|askubuntu|stackapps|stackexchange|mathoverflow)\.(?:com|net)"
)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A thread that could not be had, and why."""

    url: str
    reason: str


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
    urls: Iterable[str], pages: dict[Source, Pages], pseudonyms: Pseudonyms, missing: list[Missing]
) -> Iterator[Thread]:
    """Yield the threads at some addresses, in their order; what cannot be had is added to `missing`."""
    for url in urls:
        source = source_of(url)
        if source is None:
            missing.append(Missing(url=url, reason="no source that is mined"))
            continue
        thread = mine.ADAPTERS[source].thread_at(
            url.partition("#")[0].partition("?")[0], pages[source], pseudonyms
        )
        if thread is None:
            missing.append(Missing(url=url, reason="gone, or no address of a thread"))
        else:
            yield thread


def hydrate(urls: list[str], archive: Path, folder: Path) -> list[Missing]:
    """Fetch threads into the archive; write them to `threads.parquet`, and what is gone to `missing.csv`.

    Raises:
        SourceError: if a source cannot be reached or refuses; what was fetched is kept.
    """
    clock = SystemClock()
    missing: list[Missing] = []
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
        found = threads(urls, pages, privacy.of_archive(archive), missing)
        table.write(found, folder / "threads.parquet")
    write_missing(missing, folder / "missing.csv")
    return missing


def write_missing(missing: list[Missing], path: Path) -> None:
    """Write a row for each thread that could not be had."""
    rows = [(item.url, item.reason) for item in missing]
    with files.replacing(path) as target:
        pd.DataFrame(rows, columns=["url", "reason"]).to_csv(target, index=False)
