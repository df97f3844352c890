"""One HTTP client for all sources: it keeps to their limits, outlasts their faults, and keeps their tokens.

Rules that it follows:
GitHub https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api,
Stack Exchange https://api.stackexchange.com/docs/throttle,
Hugging Face https://huggingface.co/docs/hub/rate-limits,
Discourse https://meta.discourse.org/t/global-rate-limits-in-discourse/78612,
HTTP https://www.rfc-editor.org/rfc/rfc9110#name-retry-after.
"""

import json
import logging
import random
import re
import socket
import ssl
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from threading import Timer
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, quote_plus, urlencode, urljoin, urlsplit

import httpx2

from attention_faults.errors import InputError, shown
from attention_faults.mining.clock import Allowance, Clock, Pace
from attention_faults.mining.thread import Source

ATTEMPTS = 8  # of a request that fails
FIRST_ATTEMPTS = 2  # while no request has been answered yet: there may be no network at all
THROTTLED = 50  # times that a service may ask for patience with one request
LONGEST_WAIT = 25 * 3600.0  # seconds; quotas are given by the day
SECONDARY_WAIT = 60.0  # seconds, doubled each time, where a limit comes without a time
BACKOFF = 60.0  # seconds at most between two attempts
REDIRECTS = 3

Content = TypeVar("Content")

# they print URLs and headers, and Stack Exchange's key is part of the URL
for _chatty in ("httpx2", "httpcore2"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)


class SourceError(InputError):
    """A source that cannot be mined to its end now; what was fetched is kept."""

    def __str__(self) -> str:
        return "\n".join([*self.problems, "What was fetched is kept; the same command goes on from there."])


class RefusedError(SourceError):
    """A request that the service refuses; others may go through."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A host, the token that belongs to it and to no other, and what it allows.

    Attributes:
        source: whose host it is.
        base: beginning of all its URLs.
        variable: environment variable with the token; None where there is none to have.
        key_parameter: query parameter of the token; without one it travels as a bearer token.
        headers: sent with each request.
        anonymous: allowance by kind of request.
        with_token: the same, for who has a token.
        daily: requests a day, anonymous and with a token, where the day is what counts.
        advice: seconds that an answer's content asks to wait, given the time now; None if it does not.
        quota: requests left, by an answer's content.
    """

    source: Source
    base: str
    variable: str | None
    key_parameter: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    anonymous: Mapping[str, Allowance]
    with_token: Mapping[str, Allowance]
    daily: tuple[int, int] | None = None
    advice: Callable[[Any, float], float | None] = lambda _content, _now: None
    quota: Callable[[Any], int | None] = lambda _content: None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A GET request.

    Attributes:
        path: below the service's base, quoted.
        parameters: of the query string.
        kind: which allowance it counts against.
        gone: status codes by which the service says that the thing asked for is not there (any more).
    """

    path: str
    parameters: tuple[tuple[str, str], ...] = ()
    kind: str
    gone: frozenset[int] = frozenset()

    def url(self, base: str) -> str:
        """Return the address, without secrets: the identity of what is asked for."""
        query = f"?{urlencode(self.parameters)}" if self.parameters else ""
        return f"{base}{self.path}{query}"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back.

    Attributes:
        body: decoded bytes; none with status 304.
        more: the `Link` header names a next page.
        fetched: UTC.
    """

    status: int
    body: bytes
    etag: str | None
    more: bool
    fetched: datetime


@dataclass(frozen=True, kw_only=True)
class Caps:
    """What one answer may take."""

    size: int = 2**25  # bytes, decoded
    seconds: float = 120.0
    read: float = 30.0  # seconds without a byte
    connect: float = 15.0  # seconds


class Progress(Protocol):
    """Who is told how it goes."""

    def plan(self, requests: int) -> None:
        """Hear that so many requests more are to come."""

    def answered(self, quota: int | None) -> None:
        """Hear that a request was answered, and how many are left of the quota."""

    def waiting(self, until: float, why: str) -> None:
        """Hear that nothing happens before this time."""


class Silent:
    """Tells nobody."""

    def plan(self, requests: int) -> None:
        """Ignore it."""

    def answered(self, quota: int | None) -> None:
        """Ignore it."""

    def waiting(self, until: float, why: str) -> None:
        """Ignore it."""


class _Failure(Exception):  # noqa: N818 (never leaves this module)
    """An attempt that failed; another one may succeed."""


class _Throttle(_Failure):
    """The service asks to come back later."""

    def __init__(self, problem: str, seconds: float | None) -> None:
        super().__init__(problem)
        self.seconds = seconds


class _Refusal(Exception):  # noqa: N818 (never leaves this module)
    """No attempt will succeed."""


class _BadToken(_Refusal):
    """Nor will any with another request."""


class Transport:
    """Asks one service, one request at a time over connections that stay open."""

    def __init__(
        self,
        service: Service,
        *,
        token: str | None,
        clock: Clock,
        jitter: random.Random,
        progress: Progress,
        caps: Caps,
    ) -> None:
        self.service = service
        if token and not re.fullmatch("[!-~]+", token):  # libraries print what they cannot send
            raise InputError(f"{service.variable}: expected a token without blanks and special characters")
        self._token = token
        # as it is, as part of an address, and as JSON may write it
        self._secrets = (
            {token, quote(token, safe=""), quote_plus(token), token.replace("/", r"\/")} if token else set()
        )
        self._clock = clock
        self._jitter = jitter
        self._progress = progress
        self._caps = caps
        allowances = service.with_token if token else service.anonymous
        self._paces = {kind: Pace(allowance, clock) for kind, allowance in allowances.items()}
        self._reached = False
        self._connection: Any = None  # that the last request went over
        # no redirects: a token must not travel with one; no gzip by the client: it takes a cut one for whole
        self._client = httpx2.Client(
            follow_redirects=False,
            headers={"user-agent": "attention-faults", "accept-encoding": "gzip", **service.headers},
            timeout=httpx2.Timeout(caps.read, connect=caps.connect),
            verify=_tls(),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(
        self, request: Request, accept: Callable[[bytes], Content], etag: str | None
    ) -> tuple[Answer, Content | None]:
        """Ask until there is an answer, and return it with its content.

        Args:
            request: what to ask for.
            accept: turns a body into content, or says by a ValueError that it is not what was asked for.
            etag: of a body that is known; the answer then may be 304 without content.

        Raises:
            SourceError: if the service refuses, or does not answer properly however often it is asked.
        """
        failures = throttled = 0
        while True:
            problem = ""
            refused: type[SourceError] | None = None
            try:
                return self._follow(request, accept, etag)
            except _Throttle as throttle:
                throttled += 1
                seconds = throttle.seconds or min(SECONDARY_WAIT * 2 ** (throttled - 1), 3600.0)
                problem = str(throttle)
            except _Failure as failure:
                failures += 1
                # full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
                seconds = self._jitter.uniform(0.5, 1) * min(BACKOFF, 2.0 ** (failures - 1))
                problem = str(failure)
            except _Refusal as refusal:
                problem = str(refusal)
                refused = SourceError if isinstance(refusal, _BadToken) else RefusedError
            # raised down here, errors drag no request along that still holds the token
            attempts = ATTEMPTS if self._reached else FIRST_ATTEMPTS
            if refused:
                raise refused(self._error(request, problem).problems)
            if failures >= attempts or throttled >= THROTTLED:
                raise self._error(request, f"{problem} ({failures + throttled} attempts)")
            if seconds > LONGEST_WAIT:
                raise self._error(request, f"{problem}; it asks to wait {seconds:,.0f} seconds")
            self._wait(seconds, problem)

    def _follow(
        self, request: Request, accept: Callable[[bytes], Content], etag: str | None
    ) -> tuple[Answer, Content | None]:
        url = self._address(request.url(self.service.base))
        for _ in range(REDIRECTS + 1):
            response, body = self._exchange(request.kind, url, etag)
            if response.status_code not in (301, 302, 303, 307, 308):
                return self._judge(request, response, body, accept)
            location = response.headers.get("location", "")
            try:
                url = urljoin(url, location)
                elsewhere = urlsplit(url)[:2] != urlsplit(self.service.base)[:2]
            except ValueError:
                raise _Failure(f"redirects to `{shown(self._hidden(location))}`, no address") from None
            if elsewhere:
                raise _Failure(f"redirects to another host, `{shown(self._hidden(location))}`")
            url = self._address(url)
        raise _Failure(f"redirects more than {REDIRECTS} times")

    def _address(self, url: str) -> str:
        if self._token and self.service.key_parameter:
            return f"{url}{'&' if '?' in url else '?'}{urlencode({self.service.key_parameter: self._token})}"
        return url

    def _exchange(self, kind: str, url: str, etag: str | None) -> tuple[httpx2.Response, bytes]:
        """Send one request when it is due, and read the answer to its end."""
        pace = self._paces[kind]
        while (due := pace.due()) > self._clock.now():
            self._progress.waiting(due, f"{kind} limit")
            self._clock.sleep(due - self._clock.now())
        headers = {"if-none-match": etag} if etag else {}
        if self._token and not self.service.key_parameter:
            headers["authorization"] = f"Bearer {self._token}"
        problem = None
        deadline = self._clock.now() + self._caps.seconds
        # of real time, since what drips before the body gives us no turn to look at a clock
        watchdog = Timer(self._caps.seconds, self._hang_up)
        watchdog.daemon = True
        watchdog.start()
        pace.start()
        try:
            asked = self._client.stream("GET", url, headers=headers, extensions={"trace": self._hear})
            with asked as response:
                return response, self._read(response, deadline)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, zlib.error) as error:
            cause = _CAUSES.get(type(error).__name__, type(error).__name__)
            problem = f"{cause}: {self._hidden(str(error))}"
            if watchdog.finished.is_set():
                problem = self._too_long()
        finally:
            watchdog.cancel()
            pace.finish()
        raise _Failure(problem)

    def _too_long(self) -> str:
        return f"takes longer than {self._caps.seconds:,.0f} seconds to answer"

    def _hear(self, event: str, about: Mapping[str, Any]) -> None:
        """Remember the connection: https://www.encode.io/httpcore/extensions/#trace."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._connection = about["return_value"]

    def _hang_up(self) -> None:
        """End an answer that takes too long, whoever waits for it."""
        with suppress(OSError, AttributeError):  # there may be no connection yet
            self._connection.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def _read(self, response: httpx2.Response, deadline: float) -> bytes:
        """Return the decoded body, never more than the caps allow."""
        self._reached = True
        if response.status_code == 304:
            if "if-none-match" not in response.request.headers:
                raise _Failure("status 304, though nothing is known that could be unchanged")
            return b""
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise _Failure(f"encodes its answer as `{shown(self._hidden(encoding))}`")
        inflate = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
        body = bytearray()
        for chunk in response.iter_raw():
            body += inflate.decompress(chunk, self._caps.size + 1 - len(body)) if inflate else chunk
            if len(body) > self._caps.size:
                raise _Failure(f"answers with more than {self._caps.size:,} bytes")
            if inflate and inflate.unused_data:
                raise _Failure("the compressed answer goes on behind its end")
            if self._clock.now() > deadline:
                raise _Failure(self._too_long())
        if inflate and not inflate.eof:
            raise _Failure("the compressed answer is cut off")
        for secret in self._secrets:  # an echo of it must not get into the archive
            body = body.replace(secret.encode(), b"***")
        return bytes(body)

    def _judge(
        self,
        request: Request,
        response: httpx2.Response,
        body: bytes,
        accept: Callable[[bytes], Content],
    ) -> tuple[Answer, Content | None]:
        """Tell an answer from a limit, a failure and a refusal."""
        status, headers = response.status_code, response.headers
        now = self._clock.now()
        answer = Answer(
            status=status,
            body=body,
            etag=etag if _ETAG.fullmatch(etag := self._hidden(headers.get("etag", ""))) else None,
            more='rel="next"' in headers.get("link", ""),
            fetched=datetime.fromtimestamp(now, UTC),
        )
        if status == 304:
            self._note(request.kind, headers, None, now)
            return answer, None
        message = body[:2000].decode(errors="replace")
        if status == 429 or (status in (403, 503) and _is_limit(headers, message)):
            raise _Throttle(f"status {status}, a rate limit", _pause(headers, now))
        content, problem = _json(body)
        advice = self.service.advice(content, now)
        if status >= 500 and advice is not None:
            raise _Throttle(f"status {status}, a rate limit", advice)
        if status >= 500 or status == 408:
            raise _Failure(f"status {status}")
        if problem:
            raise _Failure(f"status {status} with {problem}: `{shown(self._hidden(message[:60]))}`")
        if status == 200:
            accepted = self._accepted(body, accept)
            self._note(request.kind, headers, content, now)
            return answer, accepted
        if advice is not None:
            raise _Throttle(f"status {status}, a rate limit", advice)
        if status == 401 and self._token:
            raise _BadToken(f"refuses the token in {self.service.variable}")
        if status in request.gone:
            self._note(request.kind, headers, content, now)
            return answer, None
        raise _Refusal(f"status {status}: {shown(self._hidden(' '.join(message.split())))}")

    def _accepted(self, body: bytes, accept: Callable[[bytes], Content]) -> Content:
        try:
            return accept(body)
        except (ValueError, RecursionError) as error:
            raise _Failure(f"unexpected content: {shown(self._hidden(_first_line(error)))}") from None

    def _note(self, kind: str, headers: httpx2.Headers, content: Any, now: float) -> None:
        """Hold the next requests where this answer says that no more are welcome."""
        pace = self._paces[kind]
        left = _number(headers.get("x-ratelimit-remaining"))
        left = left if left is not None else _hub_limit(headers, "r")
        if left == 0 and (seconds := _pause(headers, now)) is not None and seconds <= LONGEST_WAIT:
            pace.hold(now + seconds)
        advice = self.service.advice(content, now)
        if advice is not None:
            pace.hold(now + min(advice, LONGEST_WAIT))
        quota = self.service.quota(content)
        self._progress.answered(quota if quota is not None else None if left is None else int(left))

    def _wait(self, seconds: float, why: str) -> None:
        self._progress.waiting(self._clock.now() + seconds, why)
        self._clock.sleep(seconds)

    def _hidden(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def _error(self, request: Request, problem: str) -> SourceError:
        where = self._hidden(request.url(self.service.base))
        if not self._reached:
            host = urlsplit(self.service.base).hostname
            return SourceError(
                f"{self.service.source}: cannot reach {host}: {problem}; it needs a network connection, "
                "or a proxy in HTTPS_PROXY"
            )
        return SourceError(f"{self.service.source}: {where}: {problem}")


_CAUSES = {
    "ConnectError": "no connection",
    "ConnectTimeout": "no connection in time",
    "ReadTimeout": "no answer in time",
    "ReadError": "the connection broke",
    "RemoteProtocolError": "the answer broke off",
}
_ETAG = re.compile("[!-~]{1,200}")  # others could not be sent back


@cache
def _tls() -> ssl.SSLContext:
    """Return the settings of encrypted connections, with the certificates that are trusted: read once."""
    return httpx2.create_ssl_context()


def _json(body: bytes) -> tuple[Any, str]:
    """Return what a body holds, and what is wrong with it."""
    try:
        return json.loads(body), ""
    except ValueError:
        return None, "no JSON"
    except RecursionError:
        return None, "JSON that is nested too deep"


def _is_limit(headers: httpx2.Headers, message: str) -> bool:
    """Whether a 403 or 503 asks for patience, rather than forbids or fails."""
    return (
        "retry-after" in headers
        or headers.get("x-ratelimit-remaining") == "0"
        or re.search("rate limit|abuse detection", message, re.IGNORECASE) is not None
    )


def _pause(headers: httpx2.Headers, now: float) -> float | None:
    """Return for how many seconds headers ask to wait; None if they do not say."""
    after = headers.get("retry-after", "")
    seconds = _number(after)
    if seconds is not None:
        return seconds
    # the service's own time where it tells it: reset times are in it
    there = _date(headers.get("date", ""))
    there = now if there is None else there
    if (moment := _date(after)) is not None:
        return max(0.0, moment - there)
    if (seconds := _hub_limit(headers, "t")) is not None:
        return seconds + 1
    reset = _number(headers.get("x-ratelimit-reset"))
    if headers.get("x-ratelimit-remaining") == "0" and reset is not None:
        return max(0.0, reset - there) + 1
    return None


def _hub_limit(headers: httpx2.Headers, name: str) -> float | None:
    """Return a number of the `RateLimit` header: `r` is how many requests are left, `t` for how long."""
    match = re.search(rf"\b{name}\s*=\s*(\d{{1,12}})\b", headers.get("ratelimit", ""))
    return float(match[1]) if match else None


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"[0-9]{1,12}", text) else None


def _date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        # HTTP knows no other zone: https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _first_line(error: Exception) -> str:
    return str(error).strip().replace("\n", "; ") or type(error).__name__
