"""The client keeps to limits, outlasts faults, gives up clearly, and lets no token out of its hands."""

import random
import socketserver
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from support.fakes import Window
from support.loopback import FAULTS, Faults, Loopback, Reply, SteppedClock
from support.mining import TOKEN

from attention_faults.errors import InputError
from attention_faults.mining import discourse, github, huggingface, stackexchange
from attention_faults.mining.clock import Allowance
from attention_faults.mining.transport import (
    ATTEMPTS,
    LONGEST_WAIT,
    Answer,
    Caps,
    Request,
    Service,
    Silent,
    SourceError,
    Transport,
)

CAPS = Caps(size=2**16, seconds=60, read=5, connect=5)
KINDS = {
    github: "core",
    huggingface: "api",
    discourse: "topics",
    stackexchange: "questions",
}


class Script:
    """A service that answers what it is told to, one reply after the other; the last one for ever."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.times: list[float] = []
        self.clock = SteppedClock()

    def evolve(self) -> None:
        """Stay as it is."""

    def limited(self) -> Reply:
        return Reply(429, {})

    def answer(self, path: str, query: dict[str, str], headers: Any) -> Reply:
        self.times.append(self.clock.now())
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class Line:
    """A transport and the server at its other end."""

    def __init__(
        self, adapter: Any, script: Script, token: str | None, caps: Caps, fault: str | None
    ) -> None:
        self.script = script
        self.kind = KINDS[adapter]
        faults = Faults(0, 1.0 if fault else 0.0, (fault,) if fault else FAULTS)
        self.server = Loopback(script, script.clock, faults)
        self.service: Service = replace(adapter.SERVICE, base=self.server.url)
        self.transport = Transport(
            self.service,
            token=token,
            clock=script.clock,
            jitter=random.Random(0),
            progress=Silent(),
            caps=caps,
        )

    def get(
        self, path: str = "/thing", etag: str | None = None, **changes: Any
    ) -> tuple[Answer, bytes | None]:
        request = Request(path=path, kind=self.kind, **changes)
        return self.transport.get(request, lambda body: body, etag)

    def waited(self) -> float:
        return self.script.times[-1] - self.script.times[0]


@contextmanager
def line(
    *replies: Reply,
    adapter: Any = github,
    token: str | None = TOKEN,
    caps: Caps = CAPS,
    fault: str | None = None,
) -> Iterator[Line]:
    made = Line(adapter, Script(*(replies or [Reply(200, {})])), token, caps, fault)
    with made.server.running():
        try:
            yield made
        finally:
            made.transport.close()


OK = Reply(200, {"fine": True})


@pytest.mark.parametrize(
    ("adapter", "limit", "least"),
    [
        (github, Reply(403, {"message": "x"}, {"retry-after": "17"}), 17),
        (github, Reply(429, {"message": "x"}, {"retry-after": "17"}), 17),
        (github, Reply(503, {"message": "x"}, {"retry-after": "17"}), 17),
        (github, Reply(429, {"message": "x"}, {"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}), 30),
        (
            github,
            Reply(403, {"message": "x"}, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767225645"}),
            45,
        ),
        (github, Reply(403, {"message": "You have exceeded a secondary rate limit"}), 60),
        (github, Reply(429, {}, {"retry-after": "soon"}), 60),
        (github, Reply(429, {}, {"retry-after": "Thu Jan  1 00:00:30 2026"}), 30),  # asctime, of RFC 9110
        (github, Reply(403, {"message": "You have triggered an abuse detection mechanism"}), 60),
        (huggingface, Reply(429, {}, {"ratelimit": '"api";r=0;t=55'}), 55),
        (huggingface, Reply(429, {}, {"ratelimit": '"api"; t=55; r=0'}), 55),
        (
            stackexchange,
            Reply(502, {"error_name": "throttle_violation", "error_message": "more in 80 seconds"}),
            60,
        ),
        (discourse, Reply(429, {"errors": ["slow down"]}, {"retry-after": "9"}), 9),
        (
            stackexchange,
            Reply(
                400,
                {
                    "error_id": 502,
                    "error_name": "throttle_violation",
                    "error_message": "too many requests from this IP, more requests available in 83 seconds",
                },
            ),
            83,
        ),
    ],
)
def test_limits_are_waited_for_as_long_as_they_say(adapter: Any, limit: Reply, least: float) -> None:
    with line(limit, OK, adapter=adapter) as made:
        answer, _ = made.get()
        assert answer.status == 200
        assert least <= made.waited() <= least + 2


@pytest.mark.parametrize(
    ("adapter", "last", "least"),
    [
        (github, Reply(200, {}, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1767225645"}), 45),
        (huggingface, Reply(200, {}, {"ratelimit": '"api";r=0;t=55'}), 55),
        (stackexchange, Reply(200, {"backoff": 21}), 21),
        (stackexchange, Reply(200, {"quota_remaining": 0}), 86400),
    ],
)
def test_what_an_answer_says_of_the_next_request_is_kept_to(adapter: Any, last: Reply, least: float) -> None:
    with line(last, OK, adapter=adapter) as made:
        made.get()
        made.get("/other")
        assert least <= made.waited() <= least + 2


def test_secondary_limits_without_a_time_are_waited_for_twice_as_long_each_time() -> None:
    limit = Reply(403, {"message": "You have exceeded a secondary rate limit"})
    with line(limit, limit, limit, OK) as made:
        made.get()
        gaps = [
            later - earlier for earlier, later in zip(made.script.times, made.script.times[1:], strict=False)
        ]
    assert gaps == pytest.approx([60, 120, 240], abs=1)


def test_wait_of_days_is_an_error_not_a_wait() -> None:
    with line(Reply(429, {}, {"retry-after": "999999"})) as made:
        start = made.script.clock.now()
        with pytest.raises(SourceError, match="asks to wait 999,999 seconds"):
            made.get()
        assert made.script.clock.now() - start < LONGEST_WAIT


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault not in ("429", "403", "duplicate", "other_json")]
)
def test_faults_without_end_are_one_clear_error(fault: str) -> None:
    with line(OK, fault=fault) as made:
        made.transport._reached = True
        with line() as other:
            made.server.elsewhere = other.server.url.replace("127.0.0.1", "127.0.0.2")
            with pytest.raises(SourceError) as caught:
                made.get()
            assert other.server.requests == 0
        assert made.server.requests == ATTEMPTS
    assert str(caught.value).startswith(f"github: {made.server.url}/thing: ")
    assert "(8 attempts)" in str(caught.value)
    assert str(caught.value).endswith("What was fetched is kept; the same command goes on from there.")
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("endless", "more than 65,536 bytes"),
        ("bomb", "more than 65,536 bytes"),
        ("drip", "longer than 60 seconds"),
        ("nested", "more than 65,536 bytes"),
        ("html", "no JSON: `<!doctype html>"),
        ("cut_gzip", "cut off"),
        ("two_gzips", "goes on behind its end"),
        ("unasked_304", "status 304, though nothing is known"),
        ("no_address", "redirects to `http://[no`, no address"),
        ("redirect", "redirects to another host"),
        ("502", "status 502"),
        ("reset", "the connection broke"),
    ],
)
def test_errors_name_the_fault(fault: str, reason: str) -> None:
    with line(Reply(200, {"long": "x" * 200}), fault=fault) as made:
        made.server.elsewhere = "http://127.0.0.2:9"
        with pytest.raises(SourceError) as caught:
            made.get()
    assert reason in str(caught.value)


class Dripping(socketserver.BaseRequestHandler):
    """Headers of ten seconds, a byte at a time."""

    def handle(self) -> None:
        self.request.recv(2**16)
        self.request.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx: ")
        with suppress(OSError):
            for _ in range(500):
                self.request.sendall(b"x")
                time.sleep(0.02)
            self.request.sendall(b"\r\n\r\n{}")


def test_headers_that_drip_are_cut_off() -> None:
    """In real time, as no other test: a client that waits for headers has no turn to look at its clock."""
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping)
    server.daemon_threads = True
    with server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        transport = Transport(
            replace(github.SERVICE, base=f"http://127.0.0.1:{server.server_address[1]}"),
            token=None,
            clock=SteppedClock(),
            jitter=random.Random(0),
            progress=Silent(),
            caps=replace(CAPS, seconds=0.3),
        )
        with pytest.raises(SourceError, match="takes longer than 0 seconds to answer"):
            transport.get(Request(path="/thing", kind="core"), lambda body: body, None)
        transport.close()
        server.shutdown()


def test_deep_nesting_is_an_error() -> None:
    with line(fault="nested", caps=replace(CAPS, size=2**20)) as made, pytest.raises(SourceError) as caught:
        made.get()
    assert "nested too deep" in str(caught.value)


def test_redirects_within_the_host_are_followed_with_the_token() -> None:
    with line(Reply(301, {}, {"location": "/moved?x=1"}), OK) as made:
        answer, _ = made.get()
        assert answer.status == 200
        assert [path for path, _ in made.server.log] == ["/thing", "/moved?x=1"]
        assert all(headers["authorization"] == f"Bearer {TOKEN}" for _, headers in made.server.log)


@pytest.mark.parametrize("location", [f"https://{TOKEN}@elsewhere.org/", f"https://[{TOKEN}/"])
def test_token_in_a_redirect_is_hidden(location: str) -> None:
    with line(Reply(302, {}, {"location": location})) as made, pytest.raises(SourceError) as caught:
        made.get()
    assert "t0p" not in str(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize("etag", ['"\u00e9"', '"two words"', f'"{"e" * 200}"'])
def test_tag_that_cannot_be_sent_back_is_not_kept(etag: str) -> None:
    with line(Reply(200, {}, {"etag": etag})) as made:
        answer, _ = made.get()
    assert answer.etag is None


def test_redirects_in_a_circle_are_an_error() -> None:
    with line(Reply(301, {}, {"location": "/thing"})) as made, pytest.raises(SourceError) as caught:
        made.get()
    assert "redirects more than 3 times" in str(caught.value)


@pytest.mark.parametrize("adapter", KINDS, ids=lambda adapter: adapter.__name__.rpartition(".")[2])
@pytest.mark.parametrize("status", [400, 401, 418, 422])
def test_no_error_and_no_address_holds_the_token(adapter: Any, status: int) -> None:
    echo = Reply(status, {"message": f"what is {TOKEN}", "location": TOKEN})
    with line(echo, adapter=adapter) as made, pytest.raises(SourceError) as caught:
        made.get(parameters=(("q", "words"),))
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert TOKEN not in text
    assert "t0p" not in text
    assert caught.value.__context__ is None


def test_token_that_a_service_echoes_gets_into_no_body() -> None:
    with line(Reply(200, {"you": TOKEN}, {"etag": f'"{TOKEN}"'})) as made:
        answer, body = made.get()
    assert b"t0p" not in answer.body
    assert b"t0p" not in (body or b"")
    assert "t0p" not in str(answer.etag)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "h\u00e9", "\x00"])
def test_token_that_cannot_be_sent_is_named_not_shown(token: str) -> None:
    script = Script(OK)
    with pytest.raises(InputError) as caught:
        Transport(
            github.SERVICE,
            token=token,
            clock=script.clock,
            jitter=random.Random(0),
            progress=Silent(),
            caps=CAPS,
        )
    assert "GITHUB_TOKEN: expected a token without blanks" in str(caught.value)
    assert token not in str(caught.value)


@pytest.mark.parametrize("written", [quote_plus(TOKEN), quote(TOKEN, safe=""), TOKEN.replace("/", "\\/")])
def test_echoes_in_other_spelling_are_hidden_too(written: str) -> None:
    with line(OK) as made:
        assert "t0p" not in made.transport._hidden(f"see {written}")


def test_refused_token_is_named_by_its_variable() -> None:
    with line(Reply(401, {"message": "Bad credentials"})) as made:
        with pytest.raises(SourceError, match="refuses the token in GITHUB_TOKEN"):
            made.get(gone=github.GONE | {401})
        assert made.server.requests == 1


@pytest.mark.parametrize("status", [404, 410, 451])
def test_what_is_gone_is_an_answer_where_that_can_be(status: int) -> None:
    with line(Reply(status, {"message": "gone"})) as made:
        answer, content = made.get(gone=github.GONE)
        assert (answer.status, content) == (status, None)
        with pytest.raises(SourceError, match=f"status {status}: .*gone"):
            made.get()


def test_forbidden_is_not_taken_for_a_limit() -> None:
    with line(Reply(403, {"message": "Resource not accessible"}, {"x-ratelimit-remaining": "55"})) as made:
        with pytest.raises(SourceError, match=r"status 403: .*not accessible"):
            made.get()
        assert made.server.requests == 1


def test_unchanged_pages_are_answered_without_a_body() -> None:
    with line(OK) as made:
        first, _ = made.get()
        second, content = made.get(etag=first.etag)
    assert (second.status, second.body, content) == (304, b"", None)


def test_connections_are_used_again() -> None:
    with line(OK) as made:
        peers = set()
        original = made.server.serve

        def serve(handler: Any) -> None:
            peers.add(handler.client_address)
            original(handler)

        made.server.serve = serve  # type: ignore[method-assign]
        for _ in range(20):
            made.get()
    assert len(peers) == 1


def test_closed_port_is_said_to_need_a_network() -> None:
    closed = Line(github, Script(OK), None, CAPS, None)
    closed.server.server.server_close()
    with pytest.raises(SourceError) as caught:
        closed.get()
    closed.transport.close()
    assert "github: cannot reach 127.0.0.1: no connection" in str(caught.value)
    assert "HTTPS_PROXY" in str(caught.value)


def test_wrong_content_is_asked_for_again() -> None:
    def accept(body: bytes) -> bytes:
        if b"fine" not in body:
            raise ValueError("not fine")
        return body

    with line(Reply(200, {"other": 1}), Reply(200, []), OK) as made:
        made.transport.get(Request(path="/thing", kind="core"), accept, None)
        assert made.server.requests == 3


def test_searches_use_their_allowance_and_never_more() -> None:
    """Answers take their time, and not all the same: at the service no minute holds more than 30 searches."""
    draw = random.Random(4)
    with line(OK) as made:
        clock, window = made.script.clock, Window(30, 60)
        original = made.script.answer

        def slow(path: str, query: dict[str, str], headers: Any) -> Reply:
            clock.sleep(draw.uniform(0, 1.5))  # on its way
            assert window.admit(clock.now())
            clock.sleep(draw.uniform(0, 0.5))  # and back
            return original(path, query, headers)

        made.script.answer = slow  # type: ignore[method-assign]
        made.kind = "search"
        start = clock.now()
        for _ in range(300):
            made.get()
        rate = 300 / (clock.now() - start) * 60
    assert 0.95 * 30 <= rate <= 30.2


def test_allowances_of_the_services_are_the_documented_ones() -> None:
    assert github.SERVICE.with_token["search"] == Allowance(requests=30, seconds=60, spacing=2)
    assert github.SERVICE.anonymous["search"] == Allowance(requests=10, seconds=60, spacing=6)
    assert github.SERVICE.with_token["core"].daily == 120_000
    assert huggingface.SERVICE.anonymous["api"] == Allowance(requests=500, seconds=300)
    assert stackexchange.SERVICE.daily == (300, 10_000)
