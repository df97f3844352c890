"""Pages of a source: out of its archive, else fetched into it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from attention_faults.mining.archive import Archive, Entry, Shelf
from attention_faults.mining.clock import Clock
from attention_faults.mining.transport import Progress, Request, SourceError, Transport

INCOMPLETE_ATTEMPTS = 3  # of a search that ran out of time at the service
INCOMPLETE_WAIT = 5.0  # seconds

THREADS = "_threads"  # shelf of single threads, whichever query found them


class Content(BaseModel):
    """What a page holds, as far as we read it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @property
    def total(self) -> int | None:
        """How many things the service says match."""
        return None

    @property
    def truncated(self) -> bool:
        """Whether more matches than this page holds."""
        return False

    @property
    def incomplete(self) -> bool:
        """Whether the service says that it left things out."""
        return False


Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Page(Generic[Model]):
    """A page.

    Attributes:
        content: None if what was asked for is gone.
        more: the service names a next page.
    """

    content: Model | None
    status: int
    more: bool


def parse(body: bytes, model: type[Model]) -> Model:
    """Return a JSON body as a model.

    Raises:
        ValueError: if it is no JSON, or does not fit.
        RecursionError: if it is nested too deep.
    """
    try:
        # not by pydantic: its parser refuses the lone surrogates that people paste
        return model.model_validate(json.loads(body))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the page"
        raise ValueError(f"`{where}`: {first['msg']}") from None


class Pages:
    """Pages of one source; without a transport only those that were fetched before."""

    def __init__(
        self,
        archive: Archive,
        base: str,
        transport: Transport | None,
        clock: Clock,
        progress: Progress,
        refresh_before: datetime | None = None,
    ) -> None:
        """Prepare.

        Args:
            archive: where pages are.
            base: beginning of the service's URLs.
            transport: how they get there.
            clock: to wait by.
            progress: who is told.
            refresh_before: pages that were fetched before this time are asked for again.
        """
        self._archive = archive
        self._base = base
        self._transport = transport
        self._clock = clock
        self._refresh_before = refresh_before
        self._progress = progress

    def expect(self, requests: int) -> None:
        """Say that so many pages more are likely to be asked for."""
        self._progress.plan(requests)

    def get(
        self,
        shelf: str,
        request: Request,
        model: type[Model],
        check: Callable[[Model], None] = lambda _content: None,
    ) -> Page[Model]:
        """Return a page.

        Args:
            shelf: query that it belongs to.
            request: what is asked for.
            model: of its content.
            check: raises a ValueError if the content is not what was asked for.

        Raises:
            SourceError: if it cannot be fetched, or was not and there is no transport.
        """
        pages = self._archive.shelf(shelf)
        url = request.url(self._base)
        entry = pages.find(url)
        fresh = entry and (self._refresh_before is None or entry.fetched >= self._refresh_before)
        if self._transport is None:
            if entry is None:
                raise SourceError(f"{self._archive.folder}: {url} was not fetched yet")
        elif fresh:
            self._progress.answered(None)
        else:
            entry = self._fetch(self._transport, pages, url, request, entry, model, check)
        assert entry is not None  # noqa: S101
        content = parse(pages.read(entry), model) if entry.status == 200 else None
        return Page(content=content, status=entry.status, more=entry.more)

    def _fetch(
        self,
        transport: Transport,
        pages: Shelf,
        url: str,
        request: Request,
        known: Entry | None,
        model: type[Model],
        check: Callable[[Model], None],
    ) -> Entry:
        def accept(body: bytes) -> Model:
            content = parse(body, model)
            check(content)
            return content

        facts: dict[str, Any] = {}
        for attempt in range(INCOMPLETE_ATTEMPTS):
            answer, content = transport.get(request, accept, known.etag if known else None)
            if isinstance(content, Content):
                facts = {
                    "total": content.total,
                    "truncated": content.truncated,
                    "incomplete": content.incomplete,
                }
                if content.incomplete and attempt < INCOMPLETE_ATTEMPTS - 1:
                    self._clock.sleep(INCOMPLETE_WAIT * 2**attempt)
                    continue
            break
        return pages.add(url, answer, **facts)
