"""The one clock that all of mining waits by, and how fast a service may be asked."""

import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Time, and waiting; a test has one that does not wait."""

    def now(self) -> float:
        """Return the seconds since 1970-01-01 UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The time of this machine, which never runs backwards even where its owner sets it."""

    def __init__(self) -> None:
        self._start = time.time() - time.monotonic()

    def now(self) -> float:
        """Return the seconds since 1970-01-01 UTC."""
        return self._start + time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(max(0.0, seconds))


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What a service lets a client ask of it: so many requests in any so many seconds.

    Attributes:
        spacing: seconds between two requests; with `seconds / requests` they are spread evenly.
    """

    requests: int
    seconds: float
    spacing: float = 0.0

    @property
    def daily(self) -> float:
        """Requests a day."""
        return self.requests * 86400 / self.seconds


class Pace:
    """Keeps one kind of request within its allowance, wherever the service begins to count."""

    def __init__(self, allowance: Allowance, clock: Clock) -> None:
        self.allowance = allowance
        self._clock = clock
        self._answered: deque[float] = deque(maxlen=allowance.requests)
        self._next = 0.0

    def due(self) -> float:
        """Return when the next request may be sent."""
        full = len(self._answered) == self.allowance.requests
        # a request arrives before its answer does: counted from the answer, no window of the service's own
        # clock ever holds more than its requests, however long each was on its way
        return max(self._next, self._answered[0] + self.allowance.seconds if full else 0.0)

    def start(self) -> None:
        """Say that a request is being sent."""
        self._next = max(self._next, self._clock.now() + self.allowance.spacing)

    def finish(self) -> None:
        """Say that its answer has come, or will not come."""
        self._answered.append(self._clock.now())

    def hold(self, until: float) -> None:
        """Send nothing before a moment that the service named."""
        self._next = max(self._next, until)
