"""How much of GitHub's 30 searches a minute the adapter uses, in real time, and whether it ever exceeds them.

A loopback server counts searches in every window of 60 seconds and refuses the 31st, and takes its time to
answer, as the real one does.

Usage: python benchmarks/mining_rate.py [MINUTES]               (default: 5)
"""

import json
import random
import sys
import tempfile
import threading
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from attention_faults.mining import github, mine, queries
from attention_faults.mining.archive import Archive
from attention_faults.mining.clock import SystemClock
from attention_faults.mining.outcome import Outcome
from attention_faults.mining.transport import Caps, Silent

LIMIT, WINDOW = 30, 60.0  # searches in seconds
LATENCY = (0.1, 0.9)  # seconds: a search of the real service takes about half a second
PAGE = 100


class GitHub(BaseHTTPRequestHandler):
    """Answers each search with 100 made-up issues, one a minute from the second that was asked for."""

    protocol_version = "HTTP/1.1"
    admitted: list[float] = []  # noqa: RUF012 (of all connections)
    refused = 0
    draw = random.Random(1)

    def do_GET(self) -> None:
        """Admit or refuse a search."""
        time.sleep(self.draw.uniform(*LATENCY) / 2)
        now = time.monotonic()
        recent = [moment for moment in self.admitted if moment > now - WINDOW]
        if len(recent) >= LIMIT:
            type(self).refused += 1
            self.reply(403, {"message": "API rate limit exceeded"})
            return
        self.admitted.append(now)
        words = parse_qs(urlsplit(self.path).query)["q"][0]
        start, end = (
            datetime.fromisoformat(text) for text in words.split("created:")[1].split(" ")[0].split("..")
        )
        time.sleep(self.draw.uniform(*LATENCY) / 2)
        self.reply(200, self.results(start, end))

    def results(self, start: datetime, end: datetime) -> dict[str, Any]:
        """Return the first page of all issues between two seconds."""
        total = int((end - start).total_seconds()) // 60 + 1
        items = [self.issue(start + timedelta(minutes=index)) for index in range(min(PAGE, total))]
        return {"total_count": total, "incomplete_results": False, "items": items}

    @staticmethod
    def issue(created: datetime) -> dict[str, Any]:
        """Return the issue of a minute."""
        number = int(created.timestamp()) // 60
        return {
            "number": number,
            "html_url": f"https://github.com/owner/name/issues/{number}",
            "title": "Synthetic",
            "state": "open",
            "created_at": created.astimezone(UTC).isoformat(),
        }

    def reply(self, status: int, content: object) -> None:
        """Send JSON."""
        body = json.dumps(content).encode()
        self.send_response_only(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main(minutes: float) -> None:
    """Search for so many minutes, then print the rate."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), GitHub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    searches = int(LIMIT * minutes)
    since = date(2000, 1, 1)
    mining = queries.read(Path(__file__).parents[1] / "config.yaml", None).model_copy(update={"since": since})
    query = github.Query(id="rate", repository="owner/name", kind="issue", labels=(), phrases=("attention",))
    outcome = Outcome(source="github", query="rate")
    with (
        tempfile.TemporaryDirectory() as folder,
        mine.live(
            Archive(Path(folder), "github"),
            replace(github.SERVICE, base=f"http://127.0.0.1:{server.server_address[1]}"),
            token="synthetic",
            clock=SystemClock(),
            jitter=random.Random(1),
            progress=Silent(),
            caps=Caps(),
        ) as pages,
    ):
        for _ in github.search(query, mining, pages, outcome):
            if len(GitHub.admitted) >= searches:
                break
    server.shutdown()
    times = GitHub.admitted
    most = max(sum(start <= moment < start + WINDOW for moment in times) for start in times)
    rate = (len(times) - 1) / (times[-1] - times[0]) * 60
    print(
        f"{len(times)} searches in {times[-1] - times[0]:.0f} s of real time: {rate:.2f} a minute, "
        f"{rate / LIMIT:.1%} of {LIMIT}; at most {most} in any {WINDOW:.0f} s; {GitHub.refused} refused"
    )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5)
