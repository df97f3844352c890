"""Mine a loopback server from a process of its own, so that a test can kill it at any moment."""

import random
import sys
from dataclasses import replace
from pathlib import Path

from attention_faults.mining import mine, outcome, table
from attention_faults.mining.archive import Archive
from attention_faults.mining.transport import Silent
from support.loopback import SteppedClock
from support.mining import CAPS, PSEUDONYMS, TOKEN, settings


def main(source: str, base: str, archive: Path, target: Path) -> None:
    adapter = mine.ADAPTERS[source]
    outcomes: list[outcome.Outcome] = []
    with mine.live(
        Archive(archive, source),
        replace(adapter.SERVICE, base=base),
        token=TOKEN,
        clock=SteppedClock(),
        jitter=random.Random(1),
        progress=Silent(),
        caps=CAPS,
    ) as pages:
        found = mine.threads(settings(archive), adapter, pages, PSEUDONYMS, outcomes)
        table.write(found, target / "threads.parquet")
    outcome.write(outcomes, target / "queries.csv")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
