"""How far mining has come, for whoever watches it."""

import logging
from datetime import UTC, datetime

from tqdm import tqdm

from attention_faults.mining.clock import Clock
from attention_faults.mining.thread import Source

LONG = 60.0  # seconds of waiting that are worth a line in a log


class Meter:
    """A progress bar of one source: requests done and planned, what is left of the quota, when it ends.

    The number of requests is an estimate until every query was asked for the first time. Where there is no
    terminal, only long waits are logged.
    """

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._quota: int | None = None
        self._bar = tqdm(
            desc=source,
            total=0,
            disable=None,
            bar_format="{desc}: {n_fmt} of about {total_fmt} requests [ends {eta:%d %b %H:%M}{postfix}]",
        )

    def plan(self, requests: int) -> None:
        """Add to the requests that are to come."""
        self._bar.total = (self._bar.total or 0) + requests

    def answered(self, quota: int | None) -> None:
        """Count a request."""
        self._quota = self._quota if quota is None else quota
        self._bar.total = max(self._bar.total or 0, self._bar.n + 1)
        self._bar.set_postfix_str(
            "" if self._quota is None else f"{self._quota:,} left of quota", refresh=False
        )
        self._bar.update()

    def waiting(self, until: float, why: str) -> None:
        """Say why nothing happens."""
        moment = f"{datetime.fromtimestamp(until, UTC):%d %b %H:%M:%S} UTC"
        self._bar.set_postfix_str(f"waits until {moment}: {why}")
        if self._bar.disable and until - self._clock.now() > LONG:
            logging.getLogger(__name__).info("%s: waits until %s: %s", self._source, moment, why)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()
