"""Issues and pull requests of GitHub, with their comments and what fixed them.

Documentation of the REST interface:
- search: https://docs.github.com/en/rest/search/search#search-issues-and-pull-requests,
  https://docs.github.com/en/search-github/searching-on-github/searching-issues-and-pull-requests;
  `advanced_search` is what all searches are since September 2025, says the changelog of 2025-03-06
- repositories: https://docs.github.com/en/rest/search/search#search-repositories
- a thread: https://docs.github.com/en/rest/issues/issues#get-an-issue
- its events, comments among them: https://docs.github.com/en/rest/issues/timeline
- limits: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api

A search gives at most 1,000 results, in pages of 100, and pages shift while threads come and go. Threads are
therefore asked for in the order of their creation, and each next search begins at the second in which the
last page ended (`created:`): no window needs its 1,001st result, nothing that stays can slip between two
pages, and what two windows share is dropped by its number.
"""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, RootModel

from attention_faults.errors import InputError, shown
from attention_faults.mining import text
from attention_faults.mining.clock import Allowance
from attention_faults.mining.outcome import Outcome
from attention_faults.mining.pages import THREADS, Content, Pages
from attention_faults.mining.privacy import Pseudonyms
from attention_faults.mining.queries import REPOSITORY, Mining, RepositorySearch
from attention_faults.mining.thread import Kind, State, Thread
from attention_faults.mining.transport import Request, Service

PER_PAGE = 100
SEARCH_LIMIT = 1000
GONE = frozenset({404, 410, 451})  # 403 is about the token, most often
NO_REPOSITORY = frozenset({422})  # of a search: it does not exist, is private, or was renamed

SERVICE = Service(
    source="github",
    base="https://api.github.com",
    variable="GITHUB_TOKEN",
    headers={"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"},
    anonymous={
        "search": Allowance(requests=10, seconds=60, spacing=6),
        "core": Allowance(requests=60, seconds=3600),
    },
    with_token={
        "search": Allowance(requests=30, seconds=60, spacing=2),
        "core": Allowance(requests=5000, seconds=3600),
    },
)


class User(Content):
    """Who did it."""

    login: str
    type: str = "User"

    @property
    def is_bot(self) -> bool:
        """Whether it is a program."""
        return self.type == "Bot" or self.login.endswith("[bot]")


class Label(Content):
    """A label; in old answers only its name."""

    name: str | None = None


class PullRequest(Content):
    """What makes an issue a pull request."""

    merged_at: AwareDatetime | None = None


class Item(Content):
    """An issue or pull request."""

    number: int = Field(ge=1)
    html_url: str
    title: str
    body: str | None = None
    user: User | None = None
    labels: list[Label | str] = Field(default=[])
    state: Literal["open", "closed"]
    comments: int = Field(default=0, ge=0, le=2**31 - 1)
    created_at: AwareDatetime
    updated_at: AwareDatetime | None = None
    closed_at: AwareDatetime | None = None
    pull_request: PullRequest | None = None
    draft: bool | None = None

    @property
    def repository(self) -> str:
        """Owner and name."""
        match = _THREAD.search(self.html_url)
        return f"{match['owner']}/{match['name']}" if match else ""


class Found(Content):
    """A page of search results."""

    total_count: int
    incomplete_results: bool
    items: list[Item]

    @property
    def total(self) -> int:
        """How many threads match."""
        return self.total_count

    @property
    def truncated(self) -> bool:
        """Whether more match than this page holds."""
        return len(self.items) < self.total_count

    @property
    def incomplete(self) -> bool:
        """Whether the search ran out of time."""
        return self.incomplete_results


class FoundRepository(Content):
    """A repository, as far as its name."""

    full_name: str = Field(pattern=REPOSITORY)


class FoundRepositories(Content):
    """A page of repositories."""

    total_count: int
    incomplete_results: bool
    items: list[FoundRepository]


class CrossReference(Content):
    """Where a thread was mentioned."""

    issue: Item | None = None


class Event(Content):
    """Something that happened to a thread."""

    event: str | None = None
    id: int | None = None
    user: User | None = None
    actor: User | None = None
    body: str | None = None
    commit_id: str | None = None
    commit_url: str | None = None
    source: CrossReference | None = None


class Events(RootModel[list[Event]]):
    """A page of events."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """A search: threads of one repository and one kind that hold one of some phrases."""

    id: str
    repository: str
    kind: Literal["issue", "pull_request"]
    labels: tuple[str, ...]
    phrases: tuple[str, ...]

    def words(self, start: datetime, end: datetime) -> str:
        """Return the search for what was opened between two seconds."""
        phrases = " OR ".join(f'"{phrase}"' for phrase in self.phrases)
        labels = ",".join(f'"{label}"' for label in self.labels)
        return " ".join(
            [f"repo:{self.repository}", f"is:{self.kind.replace('_', '-')}"]
            + ([f"label:{labels}"] if labels else [])
            + [f"created:{_second(start)}..{_second(end)}", f"({phrases})"]
        )


def queries(mining: Mining, pages: Pages) -> list[Query]:
    """Return the searches that settings ask for: each repository, kind and set of keywords.

    Raises:
        InputError: if the list of repositories cannot be read.
        SourceError: if the search for repositories fails.
    """
    repositories = [framework.repository for framework in mining.frameworks.values()]
    if mining.github.repositories:
        repositories += read_repositories(mining.github.repositories)
    if mining.github.search:
        repositories += search_repositories(mining.github.search, pages)
    return [
        Query(
            id=f"{repository.replace('/', '--')}--{name}--{kind}",
            repository=repository,
            kind=kind,
            labels=tuple(mining.github.labels),
            phrases=tuple(phrases),
        )
        # names differ in their case from list to list, on GitHub they do not
        for repository in {name.casefold(): name for name in reversed(repositories)}.values()
        for name, phrases in mining.keywords.items()
        for kind in mining.github.kinds
    ]


def expected(mining: Mining) -> dict[str, int]:
    """Return how many requests of each kind the queries are likely to take."""
    repositories = len(mining.frameworks)
    repositories += len(read_repositories(mining.github.repositories)) if mining.github.repositories else 0
    repositories += mining.github.search.limit if mining.github.search else 0
    searches = repositories * len(mining.keywords) * len(mining.github.kinds)
    return {"search": searches * (1 + mining.expected // PER_PAGE), "core": searches * mining.expected}


def read_repositories(path: Path) -> list[str]:
    """Return the names of a CSV's column `name`: the form in which repository-search sites export.

    Raises:
        InputError: if the file cannot be read, lacks the column, or holds what is no name of a repository.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if "name" not in (rows.fieldnames or []):
                raise InputError(
                    f"{path}:1: expected a column `name`, found {', '.join(rows.fieldnames or [])}"
                )
            names = [(rows.line_num, (row["name"] or "").strip()) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not readable as CSV: {error}") from None
    problems = [
        f"{path}:{line}: column `name`: expected owner/name, found `{shown(name)}`"
        for line, name in names
        if not re.fullmatch(REPOSITORY, name)
    ]
    if problems:
        raise InputError(problems)
    return [name for _, name in names]


def search_repositories(search: RepositorySearch, pages: Pages) -> list[str]:
    """Return the names of repositories by stars, language and topics, most stars first."""
    words = [f"stars:>={search.min_stars}", f'language:"{search.language}"']
    words += [f"topic:{topic}" for topic in search.topics]
    names: list[str] = []
    for page in range(1, -(-search.limit // PER_PAGE) + 1):
        request = Request(
            path="/search/repositories",
            parameters=(
                ("q", " ".join(words)),
                ("sort", "stars"),
                ("order", "desc"),
                ("per_page", str(PER_PAGE)),
                ("page", str(page)),
            ),
            kind="search",
        )
        found = pages.get("_repositories", request, FoundRepositories).content
        names += [item.full_name for item in found.items] if found else []
        if found is None or page * PER_PAGE >= found.total_count:
            break
    return list(dict.fromkeys(names))[: search.limit]


def search(query: Query, mining: Mining, pages: Pages, outcome: Outcome) -> Iterator[Item]:
    """Yield what a search finds, oldest first, each once; the outcome is kept up."""
    start, end, number = mining.first, mining.last, 1
    beyond = 0  # of this second and later, threads that its pages do not show
    seen: set[int] = set()
    shown: set[int] = set()  # of what was opened from `start` on
    while start <= end:
        request = Request(
            path="/search/issues",
            parameters=(
                ("q", query.words(start, end)),
                ("sort", "created"),
                ("order", "asc"),
                ("per_page", str(PER_PAGE)),
                ("page", str(number)),
                ("advanced_search", "true"),
            ),
            kind="search",
            gone=NO_REPOSITORY,
        )
        known = frozenset(seen) if number > 1 else frozenset[int]()
        found = pages.get(query.id, request, Found, _answers(query, start, end, known)).content
        if found is None:
            outcome.gone += 1
            return
        if outcome.page(found.total_count, incomplete=found.incomplete_results):
            pages.expect(found.total_count // PER_PAGE + found.total_count)
        outcome.truncated += max(0, beyond - found.total_count)
        beyond = 0
        for item in found.items:
            shown.add(item.number)
            if item.number not in seen:
                seen.add(item.number)
                yield item
        if found.total_count <= (number - 1) * PER_PAGE + len(found.items):
            return
        last = found.items[-1].created_at if found.items else start
        if last > start:
            start, number = last, 1
            shown.clear()
        elif number * PER_PAGE < min(found.total_count, SEARCH_LIMIT):
            number += 1
        elif not found.items or found.total_count <= SEARCH_LIMIT:  # it counts threads that it does not show
            outcome.truncated += found.total_count - len(shown)
            return
        else:
            beyond = found.total_count - SEARCH_LIMIT
            start, number = start + timedelta(seconds=1), 1
            shown.clear()
    outcome.truncated += beyond


def threads(
    query: Query, mining: Mining, pages: Pages, pseudonyms: Pseudonyms, outcome: Outcome
) -> Iterator[Thread]:
    """Yield the threads of a query, with all that was said in them."""
    listed = 0
    for item in search(query, mining, pages, outcome):
        listed += 1
        thread = _thread(item, item.repository, pages, pseudonyms, query.id)
        if thread is None:
            outcome.gone += 1
            continue
        outcome.fetched += 1
        yield thread
    # a page that is short in its middle hides threads which no later count holds
    outcome.truncated = max(outcome.truncated, outcome.found - listed)


def thread_at(url: str, pages: Pages, pseudonyms: Pseudonyms) -> Thread | None:
    """Return the thread at an address; None if it is gone."""
    match = _THREAD.fullmatch(url)
    if not match:
        return None
    request = Request(
        path=f"/repos/{match['owner']}/{match['name']}/issues/{match['number']}", kind="core", gone=GONE
    )

    def same(found: Item) -> None:
        moved = found.repository.casefold() != f"{match['owner']}/{match['name']}".casefold()
        if found.number != int(match["number"]) and not moved:
            raise ValueError(f"thread {found.number}, not {match['number']}")

    item = pages.get(THREADS, request, Item, same).content
    return _thread(item, item.repository, pages, pseudonyms, "") if item else None


def _answers(query: Query, start: datetime, end: datetime, known: frozenset[int]) -> Callable[[Found], None]:
    """Return a check that a page answers the question: a stale page of another window or number does not."""

    def check(found: Found) -> None:
        if known and found.items and all(item.number in known for item in found.items):
            raise ValueError("threads that another page holds already")
        if any(_kind(item) != query.kind for item in found.items):
            raise ValueError("threads of another kind than asked for")
        times = [item.created_at for item in found.items]
        if any(not start <= time <= end for time in times) or times != sorted(times):
            raise ValueError("threads that were opened at other times than asked for")
        if len({item.repository for item in found.items}) > 1 or any(
            not item.repository for item in found.items
        ):
            raise ValueError("threads of more than one repository, or of none")

    return check


def _thread(item: Item, repository: str, pages: Pages, pseudonyms: Pseudonyms, query: str) -> Thread | None:
    events = _events(item, repository, pages) if item.comments or item.state == "closed" else []
    if events is None:
        return None
    said = [event for event in events if event.event == "commented" and event.body]
    people = [item.user, *(event.user for event in events), *(event.actor for event in events)]
    names = {user.login for user in people if user}
    discussion = "\n\n".join(text.markdown(event.body or "") for event in said)
    path = "pull" if item.pull_request else "issues"
    return Thread(
        source="github",
        url=f"https://github.com/{repository}/{path}/{item.number}",
        kind=_kind(item),
        project=repository,
        title=pseudonyms.hide(text.title(item.title), names),
        body=pseudonyms.hide(text.markdown(item.body or ""), names),
        discussion=pseudonyms.hide(discussion, names),
        labels=tuple(
            text.title(label if isinstance(label, str) else label.name or "") for label in item.labels
        ),
        author=pseudonyms.of(item.user.login) if item.user else "",
        author_is_bot=item.user is not None and item.user.is_bot,
        created=item.created_at.astimezone(UTC),
        updated=item.updated_at.astimezone(UTC) if item.updated_at else None,
        closed=item.closed_at.astimezone(UTC) if item.closed_at else None,
        state=_state(item),
        comments=item.comments,
        fix_url=_fix(item, repository, events),
        query=query,
    )


def _events(item: Item, repository: str, pages: Pages) -> list[Event] | None:
    """Return what happened to a thread; None if that cannot be read."""
    events: list[Event] = []
    seen: set[tuple[str | None, int]] = set()
    number, more = 1, True

    def is_new(found: Events) -> None:
        # the answer to another question: timelines only grow
        if number > 1 and found.root and all((e.event, e.id) in seen for e in found.root):
            raise ValueError("events that another page holds already")

    while more:
        request = Request(
            path=f"/repos/{repository}/issues/{item.number}/timeline",
            parameters=(("per_page", str(PER_PAGE)), ("page", str(number))),
            kind="core",
            gone=GONE,
        )
        page = pages.get(THREADS, request, Events, is_new)
        if page.content is None:
            return None
        for event in page.content.root:
            # events that move to the next page while we read must not count twice
            if event.id is None or (event.event, event.id) not in seen:
                seen.add((event.event, event.id or 0))
                events.append(event)
        more = page.more
        number += 1
    return events


def _kind(item: Item) -> Kind:
    return "pull_request" if item.pull_request else "issue"


def _state(item: Item) -> State:
    if item.pull_request and item.pull_request.merged_at:
        return "merged"
    return "draft" if item.draft and item.state == "open" else item.state


def _fix(item: Item, repository: str, events: list[Event]) -> str | None:
    """Return what closed a thread: the last merged pull request that says so, else the commit that did.

    The pull request comes first since it is a thread, and the issue's duplicate; its commit is none.

    GitHub's closing keywords:
    https://docs.github.com/en/issues/tracking-your-work-with-issues/using-issues/linking-a-pull-request-to-an-issue
    """
    if item.state == "open":  # opened again
        return None
    if item.pull_request:
        return f"https://github.com/{repository}/pull/{item.number}" if item.pull_request.merged_at else None
    for event in reversed(events):
        other = event.source.issue if event.event == "cross-referenced" and event.source else None
        if other and other.pull_request and other.pull_request.merged_at and other.repository:
            target = rf"(?:#|{re.escape(repository)}#|https://github\.com/{re.escape(repository)}/issues/){item.number}\b"
            if re.search(rf"\b{_CLOSING}:?\s+{target}", f"{other.title}\n{other.body or ''}", re.IGNORECASE):
                return f"https://github.com/{other.repository}/pull/{other.number}"
    for event in reversed(events):
        commit = _COMMIT.search(event.commit_url or "") if event.event == "closed" else None
        if commit:
            return f"https://github.com/{commit['repository']}/commit/{commit['sha']}"
    return None


_OWNER_NAME = r"(?P<owner>[A-Za-z0-9-]+)/(?P<name>(?!\.\.?/)[A-Za-z0-9._-]+)"
_THREAD = re.compile(
    rf"https?://[^/\s]+/{_OWNER_NAME}/(?:issues|pull)/(?P<number>[1-9][0-9]{{0,17}})(?:/\S*)?"
)
_COMMIT = re.compile(r"/repos/(?P<repository>[A-Za-z0-9-]+/[A-Za-z0-9._-]+)/commits/(?P<sha>[0-9a-f]{7,64})$")
_CLOSING = r"(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?)"


def _second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
