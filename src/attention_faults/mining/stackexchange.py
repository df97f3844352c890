"""Questions of Stack Overflow and its sister sites, with answers and comments, by API 2.3.

Documentation:
- search: https://api.stackexchange.com/docs/advanced-search
- questions by number: https://api.stackexchange.com/docs/questions-by-ids
- filters, which choose fields: https://api.stackexchange.com/docs/filters, /docs/create-filter
- paging, and errors in the wrapper: https://api.stackexchange.com/docs/paging, /docs/wrapper,
  /docs/error-handling
- limits: https://api.stackexchange.com/docs/throttle

Questions are asked for in the order of their creation, always the first page of what is left: anonymous
clients get no page beyond the 25th, and pages shift while questions come and go.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from attention_faults.mining import text
from attention_faults.mining.clock import Allowance
from attention_faults.mining.outcome import Outcome
from attention_faults.mining.pages import THREADS, Content, Pages
from attention_faults.mining.privacy import Pseudonyms
from attention_faults.mining.queries import Mining
from attention_faults.mining.thread import Thread
from attention_faults.mining.transport import Request, Service

PER_PAGE = 100
PAGES = 25  # that who has no key may ask for

# more than 30 requests a second are abuse; the day's quota is what counts
_BURST = {kind: Allowance(requests=10, seconds=1, spacing=0.1) for kind in ("search", "questions", "filters")}


def advice(content: Any, now: float) -> float | None:
    """Return the seconds that an answer asks to wait: `backoff`, a throttle, or a quota that is used up."""
    if not isinstance(content, dict):
        return None
    waits: list[float] = []
    if isinstance(content.get("backoff"), int):
        waits.append(content["backoff"])
    message = str(content.get("error_message", ""))
    if content.get("error_name") == "throttle_violation":
        named = re.search(r"available in (\d{1,9}) seconds", message)
        waits.append(float(named[1]) if named else 60.0)
    if content.get("quota_remaining") == 0:
        waits.append(86400 - now % 86400 + 1)  # quotas begin anew at midnight, UTC
    return max(waits) if waits else None


def quota(content: Any) -> int | None:
    """Return how many requests are left today."""
    left = content.get("quota_remaining") if isinstance(content, dict) else None
    return left if isinstance(left, int) else None


SERVICE = Service(
    source="stackexchange",
    base="https://api.stackexchange.com/2.3",
    variable="STACKEXCHANGE_KEY",
    key_parameter="key",
    anonymous=_BURST,
    with_token=_BURST,
    daily=(300, 10_000),
    advice=advice,
    quota=quota,
)

FIELDS = {
    "": "backoff error_id error_message error_name has_more items quota_max quota_remaining total",
    "question": "accepted_answer_id answer_count answers body closed_date comments creation_date "
    "last_activity_date owner question_id tags title",
    "answer": "answer_id body comments creation_date is_accepted owner",
    "comment": "body comment_id owner",
    "shallow_user": "display_name user_id",
}


class Filter(Content):
    """A set of fields, by its name."""

    filter: str = Field(min_length=1)


class Filters(Content):
    """The answer to a new filter."""

    items: list[Filter] = Field(min_length=1)


class Owner(Content):
    """Who wrote it."""

    display_name: str | None = None
    user_id: int | None = None


class Comment(Content):
    """A remark on a question or answer."""

    body: str = ""
    owner: Owner | None = None


class Reply(Content):
    """An answer to a question."""

    body: str = ""
    is_accepted: bool = False
    owner: Owner | None = None
    comments: list[Comment] = Field(default=[])


class Question(Content):
    """A question with all that was said to it."""

    question_id: int = Field(ge=1)
    title: str
    body: str
    tags: list[str]
    owner: Owner | None = None
    creation_date: int = Field(ge=0, lt=2**33)
    last_activity_date: int | None = Field(default=None, ge=0, lt=2**33)
    closed_date: int | None = Field(default=None, ge=0, lt=2**33)
    accepted_answer_id: int | None = None
    answer_count: int = 0
    answers: list[Reply] = Field(default=[])
    comments: list[Comment] = Field(default=[])


class Questions(Content):
    """A page of questions."""

    items: list[Question]
    has_more: bool
    number: int | None = Field(default=None, alias="total")

    @property
    def total(self) -> int | None:
        """How many questions match."""
        return self.number

    @property
    def truncated(self) -> bool:
        """Whether more match than this page holds."""
        return self.has_more


@dataclass(frozen=True, kw_only=True)
class Query:
    """Questions of one site that hold a phrase and, if there are any, one of some tags."""

    id: str
    site: str
    phrase: str
    tags: tuple[str, ...]


def queries(mining: Mining, pages: Pages) -> list[Query]:  # noqa: ARG001 (sources share a signature)
    """Return the searches that settings ask for: each site and keyword."""
    tags = [framework.tag for framework in mining.frameworks.values() if framework.tag]
    return [
        Query(
            id=f"{site}--{mining.folder(phrase)}",
            site=site,
            phrase=phrase,
            tags=tuple(dict.fromkeys(tags)) if mining.stackexchange.tagged else (),
        )
        for site in dict.fromkeys(mining.stackexchange.sites)
        for phrase in mining.phrases
    ]


def expected(mining: Mining) -> dict[str, int]:
    """Return how many requests of each kind the queries are likely to take."""
    searches = len(mining.stackexchange.sites) * len(mining.phrases)
    return {"search": searches * (1 + mining.expected // PER_PAGE)}


def threads(
    query: Query, mining: Mining, pages: Pages, pseudonyms: Pseudonyms, outcome: Outcome
) -> Iterator[Thread]:
    """Yield the questions of a search, oldest first, each once."""
    start, end, number = int(mining.first.timestamp()), int(mining.last.timestamp()), 1
    beyond = 0  # of this second and later, questions that its pages do not show
    seen: set[int] = set()
    while start <= end:
        parameters = [
            ("site", query.site),
            ("q", f'"{query.phrase}"'),
            ("fromdate", str(start)),
            ("todate", str(end)),
            ("sort", "creation"),
            ("order", "asc"),
            ("pagesize", str(PER_PAGE)),
            ("page", str(number)),
            ("filter", _filter(pages)),
        ]
        if query.tags:
            parameters.append(("tagged", ";".join(query.tags)))
        request = Request(path="/search/advanced", parameters=tuple(parameters), kind="search")
        known = frozenset(seen) if number > 1 else frozenset[int]()
        found = pages.get(query.id, request, Questions, _answers(start, end, known)).content
        if found is None:
            return
        if outcome.page(found.number or len(found.items), incomplete=False):
            pages.expect(outcome.found // PER_PAGE)
        outcome.truncated += max(0, beyond - (found.number or 0))
        beyond = 0
        for question in found.items:
            if question.question_id not in seen:
                seen.add(question.question_id)
                outcome.fetched += 1
                yield _thread(question, query.site, pseudonyms, query.id)
        if not found.has_more:
            return
        last = found.items[-1].creation_date if found.items else start
        if last > start:
            start, number = last, 1
        elif number < PAGES:
            number += 1
        else:
            beyond = max(0, (found.number or 0) - PAGES * PER_PAGE)
            start, number = start + 1, 1
    outcome.truncated += beyond


def thread_at(url: str, pages: Pages, pseudonyms: Pseudonyms) -> Thread | None:
    """Return the question at an address; None if it is gone."""
    match = _THREAD.match(url)
    if not match:
        return None
    site = match["host"].removesuffix(".com").removesuffix(".stackexchange")
    request = Request(
        path=f"/questions/{match['number']}",
        parameters=(("site", site), ("pagesize", "1"), ("filter", _filter(pages))),
        kind="questions",
    )

    def check(found: Questions) -> None:
        if any(question.question_id != int(match["number"]) for question in found.items):
            raise ValueError("another question than asked for")

    found = pages.get(THREADS, request, Questions, check).content
    return _thread(found.items[0], site, pseudonyms, "") if found and found.items else None


def _filter(pages: Pages) -> str:
    """Return the filter that asks for our fields; the service makes it once, and it never expires."""
    parameters = (("base", "none"), ("include", ";".join(_fields())), ("unsafe", "true"))
    request = Request(path="/filters/create", parameters=parameters, kind="filters")
    made = pages.get("_filter", request, Filters).content
    assert made is not None  # noqa: S101 (no status means that a filter is gone)
    return made.items[0].filter


def _fields() -> Iterator[str]:
    for kind, names in FIELDS.items():
        yield from (f"{kind}.{name}" for name in names.split())


def _answers(start: int, end: int, known: frozenset[int]) -> Callable[[Questions], None]:
    """Return a check that a page answers the question: a stale page of another window or number does not."""

    def check(found: Questions) -> None:
        if found.has_more and not found.items:
            raise ValueError("no question, though there are more")
        if known and found.items and all(question.question_id in known for question in found.items):
            raise ValueError("questions that another page holds already")
        times = [question.creation_date for question in found.items]
        if any(not start <= time <= end for time in times) or times != sorted(times):
            raise ValueError("questions that were asked at other times than asked for")

    return check


def _thread(question: Question, site: str, pseudonyms: Pseudonyms, query: str) -> Thread:
    said: list[tuple[str, Owner | None]] = [(comment.body, comment.owner) for comment in question.comments]
    for answer in question.answers:
        said += [(answer.body, answer.owner), *((c.body, c.owner) for c in answer.comments)]
    people = [question.owner, *(owner for _, owner in said)]
    # people address each other by their name without its blanks, or by its first word
    shown = [text.title(p.display_name) for p in people if p and p.display_name]
    names = [*(re.sub(r"\s", "", name) for name in shown), *(name.split()[0] for name in shown if name)]
    return Thread(
        source="stackexchange",
        url=f"https://{host(site)}/questions/{question.question_id}",
        kind="question",
        project=site,
        title=pseudonyms.hide(text.title(question.title), names),
        body=pseudonyms.hide(text.from_html(question.body), names),
        discussion=pseudonyms.hide("\n\n".join(text.from_html(body) for body, _ in said), names),
        labels=tuple(text.title(tag) for tag in question.tags),
        author=pseudonyms.of(_name(site, question.owner)),
        author_is_bot=False,
        created=_moment(question.creation_date),
        updated=_moment(question.last_activity_date) if question.last_activity_date else None,
        closed=_moment(question.closed_date) if question.closed_date else None,
        state="closed" if question.closed_date else "open",
        comments=len(said),
        has_accepted_answer=question.accepted_answer_id is not None,
        query=query,
    )


def host(site: str) -> str:
    """Return where a site lives, by its name in the API."""
    own = {"stackoverflow", "superuser", "serverfault", "askubuntu", "stackapps"}
    if site.endswith(".net"):
        return site
    return f"{site}.com" if site.rpartition(".")[2] in own else f"{site}.stackexchange.com"


def _name(site: str, owner: Owner | None) -> str:
    if owner is None:
        return ""
    return f"{site}/{owner.user_id}" if owner.user_id is not None else (owner.display_name or "")


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


_THREAD = re.compile(
    r"https?://(?:www\.)?(?P<host>[a-z0-9.-]+)/(?:questions|q)/(?P<number>[1-9][0-9]{0,11})(?:/|$)"
)
