"""Topics of the Hugging Face forum, by Discourse's JSON interface.

Documentation:
- search: https://docs.discourse.org/#tag/Search/operation/search, its filters
  https://meta.discourse.org/t/search-syntax-and-advanced-search-in-discourse/352577, its bound of ten pages
  https://github.com/discourse/discourse/blob/main/app/controllers/search_controller.rb
- topics: https://docs.discourse.org/#tag/Topics/operation/getTopic
- limits: https://meta.discourse.org/t/global-rate-limits-in-discourse/78612

A search gives 50 topics a page, of at most ten pages, and no total. Time is halved until each part fits on
one page, so that nothing depends on how pages shift; a day is the shortest part that Discourse knows, and
only there more pages are read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import Any

from pydantic import AwareDatetime, Field

from attention_faults.mining import text
from attention_faults.mining.clock import Allowance
from attention_faults.mining.outcome import Outcome
from attention_faults.mining.pages import THREADS, Content, Pages
from attention_faults.mining.privacy import Pseudonyms
from attention_faults.mining.queries import Mining
from attention_faults.mining.thread import Thread
from attention_faults.mining.transport import Request, Service

PAGES = 10
POSTS = 20  # asked for at once: the size in which the forum itself shows them
GONE = frozenset({403, 404, 410})

_ALLOWANCE = {
    # settings `rate_limit_search_anon_user_per_minute` and `max_reqs_per_ip_per_minute`, as they come
    "search": Allowance(requests=8, seconds=60, spacing=7.5),
    "topics": Allowance(requests=200, seconds=60, spacing=0.3),
}
SERVICE = Service(
    source="huggingface_forum",
    base="https://discuss.huggingface.co",
    variable=None,
    anonymous=_ALLOWANCE,
    with_token=_ALLOWANCE,
)


class FoundTopic(Content):
    """A topic that was found."""

    id: int = Field(ge=1)


class Grouping(Content):
    """Whether there is more."""

    more_full_page_results: bool | None = None


class Found(Content):
    """A page of search results; without any it has no topics."""

    topics: list[FoundTopic] = Field(default=[])
    grouped_search_result: Grouping

    @property
    def truncated(self) -> bool:
        """Whether more match than this page holds."""
        return bool(self.grouped_search_result.more_full_page_results)


class Post(Content):
    """A post."""

    id: int
    username: str
    cooked: str
    created_at: AwareDatetime
    accepted_answer: bool = False
    admin: bool = False


class PostStream(Content):
    """The posts of a topic: the first ones, and the numbers of all."""

    posts: list[Post]
    stream: list[int] = Field(default=[])


class Topic(Content):
    """A topic with its first posts."""

    id: int
    title: str
    created_at: AwareDatetime
    last_posted_at: AwareDatetime | None = None
    closed: bool = False
    tags: list[str | dict[str, Any]] = Field(default=[])
    accepted_answer: dict[str, Any] | bool | None = None
    post_stream: PostStream


class MorePosts(Content):
    """More posts of a topic."""

    id: int
    post_stream: PostStream


@dataclass(frozen=True, kw_only=True)
class Query:
    """Topics with a post that holds a phrase."""

    id: str
    phrase: str


def queries(mining: Mining, pages: Pages) -> list[Query]:  # noqa: ARG001 (sources share a signature)
    """Return the searches that settings ask for: each keyword."""
    return [Query(id=mining.folder(phrase), phrase=phrase) for phrase in mining.phrases]


def expected(mining: Mining) -> dict[str, int]:
    """Return how many requests of each kind the queries are likely to take."""
    searches = len(mining.phrases)
    return {"search": searches * (1 + mining.expected // 50), "topics": searches * mining.expected}


def threads(
    query: Query, mining: Mining, pages: Pages, pseudonyms: Pseudonyms, outcome: Outcome
) -> Iterator[Thread]:
    """Yield the topics of a search that were opened in time, each once."""
    seen: set[int] = set()
    for number in _search(query, mining.since, mining.until, pages, outcome):
        if number in seen:
            continue
        seen.add(number)
        outcome.found += 1
        pages.expect(1)
        thread = _thread(number, pages, pseudonyms, query.id)
        if thread is None:
            outcome.gone += 1
            continue
        outcome.fetched += 1
        if mining.holds(thread.created):
            yield thread
        else:
            outcome.unmatched += 1


def thread_at(url: str, pages: Pages, pseudonyms: Pseudonyms) -> Thread | None:
    """Return the topic at an address; None if it is gone."""
    match = _THREAD.fullmatch(url)
    return _thread(int(match["number"]), pages, pseudonyms, "") if match else None


def _search(query: Query, since: date, until: date, pages: Pages, outcome: Outcome) -> Iterator[int]:
    """Yield numbers of topics with matching posts from one day to another, the latter left out."""
    found = _page(query, since, until, 1, pages)
    days = (until - since).days
    if found.truncated and days > 1:
        middle = since + timedelta(days=days // 2)
        yield from _search(query, since, middle, pages, outcome)
        yield from _search(query, middle, until, pages, outcome)
        return
    number = 1
    yield from (topic.id for topic in found.topics)
    while found.truncated and number < PAGES:
        number += 1
        found = _page(query, since, until, number, pages)
        yield from (topic.id for topic in found.topics)
    # how many are left out, Discourse does not say: one page at least
    outcome.truncated += len(found.topics) if found.truncated else 0


def _page(query: Query, since: date, until: date, number: int, pages: Pages) -> Found:
    # a day more than is asked for: `after` begins behind the first moment of its day, where topics may be
    words = f'"{query.phrase}" after:{since - timedelta(days=1)} before:{until} order:latest_topic'
    request = Request(path="/search.json", parameters=(("q", words), ("page", str(number))), kind="search")
    found = pages.get(query.id, request, Found).content
    assert found is not None  # noqa: S101 (no status means that a search is gone)
    return found


def _thread(number: int, pages: Pages, pseudonyms: Pseudonyms, query: str) -> Thread | None:
    def same(found: Topic | MorePosts) -> None:
        if found.id != number:
            raise ValueError(f"topic {found.id}, not {number}")

    request = Request(path=f"/t/{number}.json", kind="topics", gone=GONE)
    topic = pages.get(THREADS, request, Topic, same).content
    if topic is None:
        return None
    posts = {post.id: post for post in topic.post_stream.posts}
    missing = [post for post in topic.post_stream.stream if post not in posts]
    for start in range(0, len(missing), POSTS):
        ids = tuple(("post_ids[]", str(post)) for post in missing[start : start + POSTS])
        more = Request(path=f"/t/{number}/posts.json", parameters=ids, kind="topics", gone=GONE)
        page = pages.get(THREADS, more, MorePosts, same).content
        if page is None:
            return None
        posts |= {post.id: post for post in page.post_stream.posts}
    said = [posts[post] for post in sorted(posts)]
    names = [post.username for post in said]
    bodies = [text.from_html(post.cooked) for post in said] or [""]
    tags = [tag if isinstance(tag, str) else str(tag.get("name", "")) for tag in topic.tags]
    author = said[0].username if said else ""
    return Thread(
        source="huggingface_forum",
        url=f"https://discuss.huggingface.co/t/{number}",
        kind="topic",
        project="discuss.huggingface.co",
        title=pseudonyms.hide(text.title(topic.title), names),
        body=pseudonyms.hide(bodies[0], names),
        discussion=pseudonyms.hide("\n\n".join(bodies[1:]), names),
        labels=tuple(text.title(tag) for tag in tags),
        author=pseudonyms.of(author),
        author_is_bot=author in ("system", "discobot") or text.names_a_program(author),
        created=topic.created_at.astimezone(UTC),
        updated=topic.last_posted_at.astimezone(UTC) if topic.last_posted_at else None,
        state="closed" if topic.closed else "open",
        comments=max(0, len(said) - 1),
        has_accepted_answer=bool(topic.accepted_answer) or any(post.accepted_answer for post in said),
        query=query,
    )


_THREAD = re.compile(r"https?://[^/\s]+/t/(?:(?![0-9]+/)[^/\s]+/)?(?P<number>[1-9][0-9]{0,11})(?:/[0-9]+)?/?")
