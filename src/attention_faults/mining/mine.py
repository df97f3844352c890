"""Mine the sources of a study: fetch what is missing, replay what is there."""

import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from attention_faults.errors import InputError
from attention_faults.mining import (
    discourse,
    github,
    huggingface,
    outcome,
    privacy,
    stackexchange,
    table,
)
from attention_faults.mining.archive import Archive
from attention_faults.mining.clock import Clock, SystemClock
from attention_faults.mining.meter import Meter
from attention_faults.mining.outcome import Outcome
from attention_faults.mining.pages import Pages
from attention_faults.mining.privacy import Pseudonyms
from attention_faults.mining.queries import Mining
from attention_faults.mining.thread import Source, Thread
from attention_faults.mining.transport import Caps, Progress, Service, Silent, SourceError, Transport


class Adapter(Protocol):
    """What a source's module offers."""

    SERVICE: Service

    @property
    def queries(self) -> Callable[[Mining, Pages], list[Any]]:
        """Return its queries."""

    @property
    def threads(self) -> Callable[[Any, Mining, Pages, Pseudonyms, Outcome], Iterator[Thread]]:
        """Yield the threads of a query."""

    @property
    def thread_at(self) -> Callable[[str, Pages, Pseudonyms], Thread | None]:
        """Return the thread at an address."""

    @property
    def expected(self) -> Callable[[Mining], Mapping[str, int]]:
        """Return how many requests of each kind the configured queries are likely to take."""


ADAPTERS: dict[Source, Adapter] = {
    "github": github,
    "huggingface": huggingface,
    "huggingface_forum": discourse,
    "stackexchange": stackexchange,
}


def token_of(service: Service) -> str | None:
    """Return the token of a service, from the environment."""
    return (os.environ.get(service.variable, "").strip() or None) if service.variable else None


@contextmanager
def live(
    archive: Archive,
    service: Service,
    *,
    token: str | None,
    clock: Clock,
    jitter: random.Random,
    progress: Progress,
    caps: Caps,
    refresh_before: datetime | None = None,
) -> Iterator[Pages]:
    """Open a source's pages so that missing ones are fetched; no other process can meanwhile.

    Raises:
        InputError: if another process does so already.
    """
    with archive.locked():
        transport = Transport(service, token=token, clock=clock, jitter=jitter, progress=progress, caps=caps)
        try:
            yield Pages(archive, service.base, transport, clock, progress, refresh_before)
        finally:
            transport.close()


def replayed(archive: Archive, service: Service) -> Pages:
    """Open a source's pages as they are: no request is sent."""
    return Pages(archive, service.base, None, SystemClock(), Silent())


def threads(
    mining: Mining, adapter: Adapter, pages: Pages, pseudonyms: Pseudonyms, outcomes: list[Outcome]
) -> Iterator[Thread]:
    """Yield the threads of all queries of a source in their order, and take down what becomes of each query.

    A thread that several queries find comes once for each.
    """
    queries = adapter.queries(mining, pages)
    pages.expect(len(queries))
    for query in queries:
        outcomes.append(Outcome(source=adapter.SERVICE.source, query=query.id))
        yield from adapter.threads(query, mining, pages, pseudonyms, outcomes[-1])


@contextmanager
def _opened(mining: Mining, source: Source, refresh_before: datetime | None) -> Iterator[Pages]:
    """Open a source's pages so that missing ones are fetched, with its token if the environment has one."""
    service, clock = ADAPTERS[source].SERVICE, SystemClock()
    check_time(mining, clock)
    meter = Meter(source, clock)
    try:
        with live(
            Archive(mining.archive, source),
            service,
            token=token_of(service),
            clock=clock,
            jitter=random.Random(),  # noqa: S311 (spreads retries)
            progress=meter,
            caps=Caps(),
            refresh_before=refresh_before,
        ) as pages:
            yield pages
    finally:
        meter.close()


def fetch(mining: Mining, source: Source, refresh_before: datetime | None) -> list[Outcome]:
    """Fetch all that is missing of a source into the archive.

    Raises:
        SourceError: if the source cannot be mined to its end; what was fetched stays.
    """
    outcomes: list[Outcome] = []
    with _opened(mining, source, refresh_before) as pages:
        pseudonyms = privacy.of_archive(mining.archive)
        for _ in threads(mining, ADAPTERS[source], pages, pseudonyms, outcomes):
            pass
    return outcomes


def write_source(mining: Mining, source: Source, *, threads_to: Path, queries_to: Path) -> None:
    """Write the threads of a source, and how complete each query is.

    What is missing in the archive is fetched, unless a token could be had and is not there: without one it
    takes days, and is for a person to decide.

    Raises:
        SourceError: if a page is missing and cannot be fetched.
    """
    adapter = ADAPTERS[source]
    outcomes: list[Outcome] = []
    pseudonyms = privacy.of_archive(mining.archive)
    if adapter.SERVICE.variable and not token_of(adapter.SERVICE):
        pages = replayed(Archive(mining.archive, source), adapter.SERVICE)
        try:
            table.write(threads(mining, adapter, pages, pseudonyms, outcomes), threads_to)
        except SourceError as error:
            advice = f"set {adapter.SERVICE.variable}, or run `attention-faults mine --anonymous` first"
            raise SourceError(f"{error.problems[0]}; {advice}") from None
    else:
        with _opened(mining, source, None) as pages:
            table.write(threads(mining, adapter, pages, pseudonyms, outcomes), threads_to)
    outcome.write(outcomes, queries_to)


def summary(outcomes: list[Outcome]) -> str:
    """Return a line on how complete queries are."""
    names = ("found", "fetched", "truncated", "incomplete", "gone")
    counts = {name: sum(getattr(outcome, name) for outcome in outcomes) for name in names}
    return f"{len(outcomes)} queries, " + ", ".join(f"{count:,} {name}" for name, count in counts.items())


def check_time(mining: Mining, clock: Clock) -> None:
    """Refuse a time under study that is not over: its last pages would be kept unfinished.

    Raises:
        InputError: if it is not.
    """
    if mining.last.timestamp() >= clock.now():
        raise InputError(f"key `mining.until`: expected a day that has begun, UTC, found `{mining.until}`")


def allowance(source: Source, asked: Mapping[str, int], what: str) -> str | None:
    """Return a line on what a source allows who has no token, and how long that takes; None with a token.

    Args:
        source: to be asked.
        asked: requests of each kind.
        what: they are for.
    """
    service = ADAPTERS[source].SERVICE
    if token_of(service):
        return None
    limits = " and ".join(
        f"{limit.requests:,} {kind} requests in {limit.seconds:,.0f} s"
        for kind, limit in service.anonymous.items()
        if kind in asked
    )
    if service.daily:
        limits = f"{service.daily[0]:,} requests a day"
    missing = (
        f"no token in {service.variable}; anonymous" if service.variable else "needs no token; anonymous"
    )
    line = (
        f"{source}: {missing} clients get {limits}; {what} take about "
        f"{sum(asked.values()):,} requests, {_days(service, asked, with_token=False):,.2f} days"
    )
    if service.variable:
        line += f" (with a token {_days(service, asked, with_token=True):,.2f})"
    return line


def _days(service: Service, asked: Mapping[str, int], *, with_token: bool) -> float:
    if service.daily:
        return sum(asked.values()) / service.daily[with_token]
    limits = service.with_token if with_token else service.anonymous
    return max(number / limits[kind].daily for kind, number in asked.items())
