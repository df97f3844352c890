"""Discussions and pull requests of models, datasets and spaces on the Hugging Face Hub.

Documentation:
- discussions: https://huggingface.co/docs/hub/repositories-pull-requests-discussions, and field by field
  https://huggingface.co/docs/huggingface_hub/package_reference/community
- repositories: https://huggingface.co/docs/hub/api#repo-listing-api
- limits: https://huggingface.co/docs/hub/rate-limits

The listing of a repository holds titles only, and nothing searches in them: every thread is read, and the
keywords choose among them afterwards. Threads are numbered from 1 upwards; a number that no page of the
listing shows is asked for by itself, so that a listing which shifts between two pages loses nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Literal
from urllib.parse import quote

from pydantic import AwareDatetime, Field, RootModel

from attention_faults.mining import text
from attention_faults.mining.clock import Allowance
from attention_faults.mining.outcome import Outcome
from attention_faults.mining.pages import THREADS, Content, Pages
from attention_faults.mining.privacy import Pseudonyms
from attention_faults.mining.queries import HUB_ID, HubKind, HubRepository, HubSearch, Mining
from attention_faults.mining.thread import State, Thread
from attention_faults.mining.transport import Request, Service

# a repository that is private or gone answers 401 to who has no token
GONE = frozenset({401, 403, 404, 410, 451})

SERVICE = Service(
    source="huggingface",
    base="https://huggingface.co",
    variable="HF_TOKEN",
    anonymous={"api": Allowance(requests=500, seconds=300)},
    with_token={"api": Allowance(requests=1000, seconds=300)},
)


class Repository(Content):
    """A repository in a listing."""

    id: str = Field(pattern=HUB_ID)


class Repositories(RootModel[list[Repository]]):
    """A listing of repositories."""


class Author(Content):
    """Who did it; nobody if the account was deleted."""

    name: str | None = None
    type: str | None = None


class Listed(Content):
    """A thread in a listing."""

    num: int = Field(ge=1, le=10**6)


class Listing(Content):
    """A page of the threads of a repository."""

    discussions: list[Listed]
    count: int = Field(ge=0)
    start: int = Field(ge=0)

    @property
    def total(self) -> int:
        """How many threads the repository has."""
        return self.count

    @property
    def truncated(self) -> bool:
        """Whether the repository has more than this page holds."""
        return len(self.discussions) < self.count


class Latest(Content):
    """A text as it was last edited."""

    raw: str = ""


class EventData(Content):
    """What an event is about."""

    latest: Latest | None = None
    status: str | None = None
    hidden: bool = False


class Event(Content):
    """A comment, a commit, a change of status or of title."""

    type: str
    author: Author | None = None
    createdAt: AwareDatetime  # noqa: N815 (the service's name)
    data: EventData = EventData()


class Changes(Content):
    """What a pull request became."""

    mergeCommitId: str | None = None  # noqa: N815


class Discussion(Content):
    """A discussion or pull request."""

    num: int = Field(ge=1)
    title: str
    author: Author | None = None
    createdAt: AwareDatetime  # noqa: N815
    status: Literal["open", "closed", "merged", "draft"]
    isPullRequest: bool  # noqa: N815
    events: list[Event]
    changes: Changes | None = None


@dataclass(frozen=True, kw_only=True)
class Query:
    """All threads of one repository."""

    id: str
    kind: HubKind
    repository: str
    phrases: tuple[str, ...]


def queries(mining: Mining, pages: Pages) -> list[Query]:
    """Return the repositories that settings ask for.

    Raises:
        SourceError: if a search for repositories fails.
    """
    chosen = list(mining.huggingface.repositories)
    for search in mining.huggingface.search:
        chosen += search_repositories(search, pages)
    return [
        Query(
            id=f"{repository.kind}--{repository.id.replace('/', '--')}",
            kind=repository.kind,
            repository=repository.id,
            phrases=tuple(mining.phrases),
        )
        for repository in dict.fromkeys(chosen)
    ]


def expected(mining: Mining) -> dict[str, int]:
    """Return how many requests of each kind the queries are likely to take."""
    repositories = len(mining.huggingface.repositories)
    repositories += sum(search.limit for search in mining.huggingface.search)
    return {"api": repositories * (1 + mining.expected)}


def search_repositories(search: HubSearch, pages: Pages) -> list[HubRepository]:
    """Return the repositories that a word finds, the most used first; one page holds up to 1,000."""
    request = Request(
        path=f"/api/{search.kind}s",
        parameters=(
            ("search", search.word),
            ("sort", "likes" if search.kind == "space" else "downloads"),
            ("direction", "-1"),
            ("limit", str(search.limit)),
        ),
        kind="api",
    )
    found = pages.get("_repositories", request, Repositories).content
    return (
        [HubRepository(kind=search.kind, id=item.id) for item in found.root[: search.limit]] if found else []
    )


def threads(
    query: Query, mining: Mining, pages: Pages, pseudonyms: Pseudonyms, outcome: Outcome
) -> Iterator[Thread]:
    """Yield the threads of a repository that were opened in time and hold one of the keywords."""
    matching = re.compile(text.any_of(query.phrases), re.IGNORECASE)
    listed = _numbers(query, pages, outcome)
    for number in range(1, max(listed, default=0) + 1):
        thread = _thread(query.kind, query.repository, number, pages, pseudonyms, query.id)
        if thread is None:
            outcome.gone += number in listed
            continue
        outcome.fetched += 1
        if mining.holds(thread.created) and matching.search(
            f"{thread.title}\n{thread.body}\n{thread.discussion}"
        ):
            yield thread
        else:
            outcome.unmatched += 1


def thread_at(url: str, pages: Pages, pseudonyms: Pseudonyms) -> Thread | None:
    """Return the thread at an address; None if it is gone."""
    match = _THREAD.fullmatch(url)
    if not match:
        return None
    kind: HubKind = "model"
    if match["kind"]:
        kind = "dataset" if match["kind"] == "datasets/" else "space"
    return _thread(kind, match["id"], int(match["number"]), pages, pseudonyms, "")


def _numbers(query: Query, pages: Pages, outcome: Outcome) -> set[int]:
    numbers: set[int] = set()
    page, more = 0, True
    while more:
        request = Request(
            path=f"/api/{query.kind}s/{quote(query.repository)}/discussions",
            parameters=(("p", str(page)),),
            kind="api",
            gone=GONE,
        )
        listing = pages.get(query.id, request, Listing).content
        if listing is None:
            outcome.gone += 1
            break
        if outcome.page(listing.count, incomplete=False):
            pages.expect(listing.count + listing.count // max(1, len(listing.discussions)))
        numbers |= {item.num for item in listing.discussions}
        more = bool(listing.discussions) and listing.start + len(listing.discussions) < listing.count
        page += 1
    return numbers


def _thread(
    kind: HubKind, repository: str, number: int, pages: Pages, pseudonyms: Pseudonyms, query: str
) -> Thread | None:
    request = Request(path=f"/api/{kind}s/{quote(repository)}/discussions/{number}", kind="api", gone=GONE)

    def check(found: Discussion) -> None:
        if found.num != number:
            raise ValueError(f"thread {found.num}, not {number}")

    found = pages.get(THREADS, request, Discussion, check).content
    if found is None:
        return None
    said = [event for event in found.events if event.type == "comment"]
    people = [found.author, *(event.author for event in found.events)]
    names = [person.name for person in people if person and person.name]
    first, *rest = [
        text.markdown(event.data.latest.raw) if event.data.latest and not event.data.hidden else ""
        for event in said
    ] or [""]
    closings = [e.createdAt for e in found.events if e.type == "status-change" and e.data.status != "open"]
    prefix = "" if kind == "model" else f"{kind}s/"
    url = f"https://huggingface.co/{prefix}{repository}/discussions/{number}"
    author = found.author.name if found.author else None
    return Thread(
        source="huggingface",
        url=url,
        kind="pull_request" if found.isPullRequest else "discussion",
        project=f"{prefix}{repository}",
        title=pseudonyms.hide(text.title(found.title), names),
        body=pseudonyms.hide(first, names),
        discussion=pseudonyms.hide("\n\n".join(part for part in rest if part), names),
        author=pseudonyms.of(author or ""),
        author_is_bot=text.names_a_program(author or ""),
        created=found.createdAt.astimezone(UTC),
        updated=max((event.createdAt for event in found.events), default=found.createdAt).astimezone(UTC),
        closed=closings[-1].astimezone(UTC) if closings and found.status in ("closed", "merged") else None,
        state=_state(found),
        comments=sum(not event.data.hidden for event in said[1:]),
        fix_url=url if found.status == "merged" else None,
        query=query,
    )


def _state(found: Discussion) -> State:
    return found.status


_THREAD = re.compile(
    r"https?://[^/\s]+/(?P<kind>datasets/|spaces/)?(?P<id>(?!datasets/|spaces/)[A-Za-z0-9_-][\w.-]*(?:/[A-Za-z0-9_-][\w.-]*)?)"
    r"/discussions/(?P<number>[1-9][0-9]{0,8})/?",
    re.ASCII,
)
