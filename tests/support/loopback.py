"""A server on a real socket that answers as a fake service does, or commits a fault in its place."""

import gzip
import json
import os
import random
import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

FAULTS = (
    "429",
    "403",
    "500",
    "502",
    "reset",
    "cut_gzip",
    "wrong_json",
    "other_json",
    "html",
    "drip",
    "duplicate",
    "redirect",
    "endless",
    "bomb",
    "nested",
    "two_gzips",
    "unasked_304",
    "no_address",
)
BOMB = gzip.compress(b" " * 2**24, mtime=0)


class SteppedClock:
    """Time that only passes when somebody waits, or a server says so."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = now.timestamp()
        self._lock = threading.Lock()

    def now(self) -> float:
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self._now += max(0.0, seconds)


@dataclass
class Reply:
    status: int
    content: Any
    headers: dict[str, str] = field(default_factory=dict)


class Faults:
    """Which request goes wrong, and how."""

    def __init__(self, seed: int, share: float, kinds: tuple[str, ...] = FAULTS) -> None:
        self.random, self.share, self.kinds = random.Random(f"faults {seed}"), share, kinds
        self.committed: list[str] = []
        # one fault is sure to come, of another kind with each seed
        self.sure = {seed % 4: kinds[seed % len(kinds)]} if share else {}
        self.asked = -1

    def next(self) -> str | None:
        self.asked += 1
        if self.asked not in self.sure and self.random.random() >= self.share:
            return None
        self.committed.append(self.sure.get(self.asked) or self.random.choice(self.kinds))
        return self.committed[-1]


class Loopback:
    """A server on a real socket that answers as a fake does, or commits a fault in its place."""

    def __init__(self, fake: Any, clock: SteppedClock, faults: "Faults", host: str = "127.0.0.1") -> None:
        self.fake, self.clock, self.faults = fake, clock, faults
        self.elsewhere = ""
        self.log: list[tuple[str, dict[str, str]]] = []
        self.replies: list[tuple[tuple[str, ...], Reply]] = []
        self.lock = threading.Lock()
        self.goal, self.goal_reached = 0, threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                outer.serve(self)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: Any) -> None:
                """Broken connections are what this server is for."""

        self.server = Server((host, 0), Handler)
        self.url = f"http://{host}:{self.server.server_address[1]}"

    @property
    def requests(self) -> int:
        return len(self.log)

    def expect(self, requests: int) -> None:
        """Say when so many requests more have come, by `goal_reached`."""
        with self.lock:
            self.goal_reached.clear()
            self.goal = self.requests + requests

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        with self.lock:
            parts = urlsplit(handler.path)
            self.log.append((handler.path, {key.lower(): value for key, value in handler.headers.items()}))
            if self.requests == self.goal:
                self.goal_reached.set()
            if self.fake is None:
                self.send(handler, Reply(200, {}))
                return
            fault = self.faults.next()
            if fault == "429":
                self.send(handler, Reply(429, {"message": "slow down"}, {"retry-after": "7"}))
            elif fault == "403":
                self.send(handler, self.fake.limited())
            elif fault in ("500", "502", "unasked_304"):
                body = b"" if fault == "unasked_304" else b"<html>upstream</html>"
                self.send_bytes(handler, int(fault[-3:]), body, {"content-type": "text/html"})
            elif fault in ("redirect", "no_address"):
                location = f"{self.elsewhere}{handler.path}" if fault == "redirect" else "http://[no"
                self.send(handler, Reply(302, {}, {"location": location}))
            else:
                self.fake.evolve()
                query: dict[str, str] = {}
                for name, value in parse_qsl(parts.query):
                    query[name] = f"{query[name]},{value}" if name in query else value
                reply = self.fake.answer(parts.path, query, handler.headers)
                if fault == "duplicate":
                    same = [
                        old for question, old in self.replies if question == self.question(parts.path, query)
                    ]
                    reply = self.faults.random.choice(same) if same else reply
                self.replies.append((self.question(parts.path, query), reply))
                self.corrupt(handler, fault, reply)

    def question(self, path: str, query: dict[str, str]) -> tuple[str, ...]:
        """What a page is one of: the same search or listing, whatever the dates and numbers in it."""
        words = query.get("q", "")
        return (re.sub(r"/\d+", "/n", path), *re.findall(r'is:\S+|"[^"]+"', words))

    def corrupt(self, handler: BaseHTTPRequestHandler, fault: str | None, reply: Reply) -> None:
        body = json.dumps(reply.content).encode()
        if fault in (None, "duplicate"):
            self.send(handler, reply)
        elif fault in ("reset", "drip", "endless"):
            getattr(self, fault)(handler, body)
        else:
            packed = gzip.compress(body, mtime=0)
            others = [None, 7, [], {}, {"items": 3}, [[1]], "text"]
            data, headers = {
                "cut_gzip": (packed[: len(packed) - 9], {"content-encoding": "gzip"}),
                "two_gzips": (packed + packed, {"content-encoding": "gzip"}),
                "wrong_json": (body[: len(body) // 2 + 1], {}),
                "other_json": (json.dumps(self.faults.random.choice(others)).encode(), {}),
                "html": (b"<!doctype html><title>Sign in</title>", {"content-type": "text/html"}),
                "bomb": (BOMB, {"content-encoding": "gzip"}),
                "nested": (b"[" * 100_000 + b"]" * 100_000, {}),
            }[str(fault)]
            self.send_bytes(handler, 200, data, headers)

    def reset(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.head(handler, 200, {"content-length": str(len(body) + 10)})
        handler.wfile.write(body[: len(body) // 2])
        handler.wfile.flush()
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(handler.connection.detach())  # at once, and without a farewell

    def drip(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        self.head(handler, 200, {"content-length": str(len(body))})
        for byte in body[:40]:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            self.clock.sleep(5)
        handler.close_connection = True

    def endless(self, handler: BaseHTTPRequestHandler, _: bytes) -> None:
        self.head(handler, 200, {"transfer-encoding": "chunked"})
        with suppress(OSError):
            for _ in range(100_000):
                handler.wfile.write(b"10000\r\n" + b"[" * 0x10000 + b"\r\n")
        handler.close_connection = True

    def send(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        body = json.dumps(reply.content).encode()
        headers = {
            "content-type": "application/json; charset=utf-8",
            "etag": f'"{hash(body)}"',
            **reply.headers,
        }
        if handler.headers.get("if-none-match") == headers["etag"]:
            self.send_bytes(handler, 304, b"", headers)
        elif "gzip" in handler.headers.get("accept-encoding", ""):
            self.send_bytes(
                handler, reply.status, gzip.compress(body, 1, mtime=0), headers | {"content-encoding": "gzip"}
            )
        else:
            self.send_bytes(handler, reply.status, body, headers)

    def send_bytes(
        self, handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]
    ) -> None:
        self.head(handler, status, headers | {"content-length": str(len(body))})
        handler.wfile.write(body)
        handler.wfile.flush()

    def head(self, handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
        handler.send_response_only(status)
        handler.send_header(
            "date", format_datetime(datetime.fromtimestamp(int(self.clock.now()), UTC), usegmt=True)
        )
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.flush()

    @contextmanager
    def running(self) -> Iterator["Loopback"]:
        thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True
        )
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            thread.join()
            self.server.server_close()
