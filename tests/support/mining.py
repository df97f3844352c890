"""Mining of a loopback server, as the command line does it of the real ones."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Self

from attention_faults.mining import mine
from attention_faults.mining.archive import Archive
from attention_faults.mining.outcome import Outcome
from attention_faults.mining.pages import Pages
from attention_faults.mining.privacy import Pseudonyms
from attention_faults.mining.queries import (
    Framework,
    GitHub,
    HubRepository,
    HuggingFace,
    Mining,
    StackExchange,
)
from attention_faults.mining.thread import Source, Thread
from attention_faults.mining.transport import Caps, Service, Silent
from support.fakes import FAKES, PHRASES, Fake
from support.loopback import Faults, Loopback, SteppedClock

TOKEN = "t0p-s3cret/+=&value"
CAPS = Caps(size=2**20, seconds=60, read=5, connect=5)
PSEUDONYMS = Pseudonyms(b"salt of a test")


def settings(archive: Path, **changes: Any) -> Mining:
    values: dict[str, Any] = {
        "archive": archive,
        "sources": list(FAKES),
        "since": date(2020, 1, 1),
        "until": date(2020, 12, 1),
        "expected": 10,
        "frameworks": {"name": Framework(repository="owner/name", tag="pytorch")},
        "keywords": {"all": PHRASES},
        "github": GitHub(labels=["bug"], kinds=["issue", "pull_request"]),
        "huggingface": HuggingFace(repositories=[HubRepository(kind="model", id="owner/name")], search=[]),
        "stackexchange": StackExchange(sites=["stackoverflow"], tagged=False),
    }
    return Mining(**values | changes)


class Bench:
    """A source, its server, and another host that nobody should talk to."""

    def __init__(
        self,
        source: Source,
        seed: int = 0,
        size: int = 60,
        share: float = 0.0,
        change: float = 0.0,
        **options: Any,
    ) -> None:
        self.source = source
        self.clock = SteppedClock()
        self.fake: Fake = FAKES[source](self.clock, seed, size, change)
        self.server = Loopback(self.fake, self.clock, Faults(seed, share, **options))
        self.other = Loopback(None, self.clock, Faults(0, 0), host="127.0.0.2")
        self.server.elsewhere = self.other.url
        self.seed = seed

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._stack.enter_context(self.server.running())
        self._stack.enter_context(self.other.running())
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def adapter(self) -> mine.Adapter:
        return mine.ADAPTERS[self.source]

    @property
    def service(self) -> Service:
        path = "/2.3" if self.source == "stackexchange" else ""
        return replace(self.adapter.SERVICE, base=f"{self.server.url}{path}")

    @contextmanager
    def pages(self, archive: Path, *, token: str | None = TOKEN, **changes: Any) -> Iterator[Pages]:
        """Open the pages of the source for mining."""
        with mine.live(
            Archive(archive, self.source),
            self.service,
            token=token,
            clock=self.clock,
            jitter=random.Random(self.seed),
            progress=Silent(),
            caps=CAPS,
            **changes,
        ) as pages:
            yield pages

    def run(self, archive: Path, outcomes: list[Outcome] | None = None, **changes: Any) -> list[Thread]:
        """Mine all queries."""
        mining = settings(archive, **changes.pop("settings", {}))
        with self.pages(archive, **changes) as pages:
            found = [] if outcomes is None else outcomes
            return list(mine.threads(mining, self.adapter, pages, PSEUDONYMS, found))

    def thread_at(self, archive: Path, url: str) -> Thread | None:
        """Fetch one thread by its address."""
        with self.pages(archive) as pages:
            return self.adapter.thread_at(url, pages, PSEUDONYMS)

    def replay(self, archive: Path) -> list[Thread]:
        """Read what is archived."""
        pages = mine.replayed(Archive(archive, self.source), self.service)
        return list(mine.threads(settings(archive), self.adapter, pages, PSEUDONYMS, []))
