"""What every source is normalised to: one thread of people discussing what may be a fault."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

Source = Literal["github", "huggingface", "huggingface_forum", "stackexchange"]
Kind = Literal["issue", "pull_request", "discussion", "question", "topic"]
State = Literal["open", "closed", "merged", "draft"]

SOURCES: tuple[Source, ...] = get_args(Source)
KINDS: tuple[Kind, ...] = get_args(Kind)
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, kw_only=True)
class Thread:
    """One issue, pull request, discussion, question or topic, with all that was said in it.

    All text is clean (`mining.text`), and every name and e-mail address is hashed (`mining.privacy`) before a
    thread is made.

    Attributes:
        source: service that it comes from.
        url: canonical address, the identity of the thread.
        kind: what the service calls it.
        project: `owner/name` on GitHub, the id of a repository on the Hub, the site elsewhere.
        title: one line.
        body: whole text of the first post.
        discussion: comments and answers, in their order, separated by an empty line.
        labels: labels or tags.
        author: hash of the name of who opened it; empty if the account is gone.
        author_is_bot: the service says so, or the name does.
        created, updated, closed: UTC.
        state: open or closed, and for pull requests merged or draft; a question is closed by moderators only.
        comments: number of comments and answers.
        has_accepted_answer: somebody marked an answer as the solution.
        fix_url: pull request or commit that is linked as its fix.
        query: id of the query that found it.
    """

    source: Source
    url: str
    kind: Kind
    project: str
    title: str
    body: str
    discussion: str = ""
    labels: tuple[str, ...] = ()
    author: str = ""
    author_is_bot: bool = False
    created: datetime
    updated: datetime | None = None
    closed: datetime | None = None
    state: State = "open"
    comments: int = 0
    has_accepted_answer: bool = False
    fix_url: str | None = None
    query: str = ""
