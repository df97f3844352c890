"""GitHub: the fake speaks as the official description says, and the adapter reads what it says."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support import openapi
from support.fakes import BULK, FakeGitHub
from support.loopback import Reply
from support.mining import TOKEN, Bench, settings

from attention_faults.errors import InputError
from attention_faults.mining import github
from attention_faults.mining.github import Event, Item
from attention_faults.mining.outcome import Outcome  # noqa: TC001
from attention_faults.mining.queries import Framework, GitHub, RepositorySearch
from attention_faults.mining.thread import Thread
from attention_faults.mining.transport import SourceError

OPERATIONS = {
    r"/search/issues": "/search/issues",
    r"/search/repositories": "/search/repositories",
    r"/repos/[^/]+/[^/]+/issues/\d+": "/repos/{owner}/{repo}/issues/{issue_number}",
    r"/repos/[^/]+/[^/]+/issues/\d+/timeline": "/repos/{owner}/{repo}/issues/{issue_number}/timeline",
}


@pytest.mark.xdist_group("openapi")
def test_fake_answers_as_the_official_description_says(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    kept = pytestconfig.cache.mkdir("openapi") if hasattr(pytestconfig, "cache") else tmp_path
    described = openapi.description(kept)
    answers: dict[tuple[str, int], list[Any]] = {}
    with Bench("github", seed=3, size=60) as bench:
        original = bench.fake.answer

        def recorded(path: str, query: dict[str, str], headers: Any) -> Any:
            reply = original(path, query, headers)
            operation = next(name for pattern, name in OPERATIONS.items() if re.fullmatch(pattern, path))
            parameters = described["paths"][operation]["get"]["parameters"]
            known = {
                parameter.get("name")
                or described["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]["name"]
                for parameter in parameters
            }
            assert set(query) <= known
            answers.setdefault((operation, reply.status), []).append(reply.content)
            return reply

        bench.fake.answer = recorded  # type: ignore[method-assign]
        search = RepositorySearch(min_stars=10, language="python", topics=["transformer"], limit=3)
        bench.run(
            tmp_path, settings={"github": GitHub(labels=[], kinds=["issue", "pull_request"], search=search)}
        )
        for number in (1, 9999):
            bench.thread_at(tmp_path, f"https://github.com/owner/name/issues/{number}")
    assert {(name, status) for name, status in answers if status != 404} == {
        (name, 200) for name in OPERATIONS.values()
    }
    assert ("/repos/{owner}/{repo}/issues/{issue_number}", 404) in answers
    for (operation, status), contents in answers.items():
        validator = Draft202012Validator(openapi.answer_schema(described, operation, status))
        for content in contents[:20]:
            validator.validate(content)


def bulk(fake: FakeGitHub, number: int, moment: datetime) -> None:
    fake.threads[number] = {
        "number": number,
        "created": moment,
        "title": "attention mask",
        "body": "",
        "author": "person",
        "replies": 0,
        "closed": False,
    }


def test_search_goes_beyond_a_thousand_results(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    with Bench("github", size=0) as bench:
        for index in range(2300):
            bulk(bench.fake, index * 10 + 1, BULK + timedelta(minutes=index // 3))
        found = bench.run(tmp_path, outcomes)
        assert not any(window.refused for window in bench.fake.windows.values())
    assert len(found) == len({thread.url for thread in found}) == 2300
    assert (outcomes[0].found, outcomes[0].fetched, outcomes[0].truncated) == (2300, 2300, 0)


def test_more_than_a_thousand_in_one_second_are_called_truncated(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    with Bench("github", size=0) as bench:
        for index in range(1150):
            bulk(bench.fake, index * 10 + 1, BULK)
        bulk(bench.fake, 999_991, BULK + timedelta(days=1))
        found = bench.run(tmp_path, outcomes)
    assert len(found) == 1001
    assert "https://github.com/owner/name/issues/999991" in {thread.url for thread in found}
    assert (outcomes[0].found, outcomes[0].fetched) == (1151, 1001)
    assert outcomes[0].truncated == outcomes[0].found - outcomes[0].fetched


def test_threads_that_are_counted_but_never_shown_end_a_search(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    with Bench("github", size=0) as bench:
        empty = {"total_count": 5000, "incomplete_results": False, "search_type": "lexical", "items": []}
        bench.fake.answer = lambda *_: Reply(200, empty)  # type: ignore[method-assign]
        assert bench.run(tmp_path, outcomes) == []
        assert bench.server.requests == 2 * 10
    assert [(outcome.found, outcome.truncated) for outcome in outcomes] == [(5000, 5000)] * 2


def test_threads_that_a_last_page_counts_and_does_not_show_are_truncated(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    with Bench("github", size=40) as bench:
        original = bench.fake.answer

        def short(path: str, query: dict[str, str], headers: Any) -> Reply:
            reply = original(path, query, headers)
            if path == "/search/issues" and reply.content["items"]:
                return Reply(200, reply.content | {"items": reply.content["items"][:-1]})
            return reply

        bench.fake.answer = short  # type: ignore[method-assign]
        bench.run(tmp_path, outcomes)
    some = [outcome for outcome in outcomes if outcome.found]
    assert some
    assert all((outcome.fetched, outcome.truncated) == (outcome.found - 1, 1) for outcome in some)


def test_search_that_ran_out_of_time_is_asked_again_then_called_incomplete(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    with Bench("github", size=20) as bench:
        original, searches = bench.fake.answer, []

        def late(path: str, query: dict[str, str], headers: Any) -> Any:
            reply = original(path, query, headers)
            searches.append(path)
            reply.content["incomplete_results"] = "is:issue" in query["q"] or len(searches) == 4
            return reply

        for thread in bench.fake.threads.values():
            thread |= {"replies": 0, "closed": False}
        bench.fake.answer = late  # type: ignore[method-assign]
        found = bench.run(tmp_path, outcomes)
    assert [outcome.incomplete for outcome in outcomes] == [1, 0]
    assert len(searches) == 3 + 2
    assert len(found) == 20


def test_repository_that_is_not_there_is_counted_and_stops_no_other(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    with Bench("github", size=20) as bench:
        original = bench.fake.answer

        def answer(path: str, query: dict[str, str], headers: Any) -> Reply:
            if "repo:gone/away" in query.get("q", ""):
                return Reply(
                    422, {"message": "Validation Failed", "errors": [{"message": "cannot be searched"}]}
                )
            return original(path, query, headers)

        bench.fake.answer = answer  # type: ignore[method-assign]
        frameworks = {"a": Framework(repository="gone/away"), "b": Framework(repository="owner/name")}
        assert len(bench.run(tmp_path, outcomes, settings={"frameworks": frameworks})) == 20
    assert sorted((outcome.query.partition("--all")[0], outcome.gone) for outcome in outcomes) == [
        ("gone--away", 1),
        ("gone--away", 1),
        ("owner--name", 0),
        ("owner--name", 0),
    ]


def test_renamed_repository_goes_by_its_name_of_today(tmp_path: Path) -> None:
    with Bench("github", size=20) as bench:
        frameworks = {"a": Framework(repository="owner/former")}
        found = bench.run(tmp_path, settings={"frameworks": frameworks})
    assert {thread.project for thread in found} == {"owner/name"}
    assert len(found) == 20


def test_search_holds_repository_kind_labels_dates_and_words() -> None:
    query = github.Query(
        id="q",
        repository="owner/name",
        kind="pull_request",
        labels=("bug", "type: bug"),
        phrases=("a b", "c"),
    )
    words = query.words(datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC))
    assert words == (
        'repo:owner/name is:pull-request label:"bug","type: bug" '
        'created:2020-01-02T03:04:05Z..2021-01-01T00:00:00Z ("a b" OR "c")'
    )


@pytest.fixture
def threads(tmp_path: Path) -> dict[int, Thread]:
    with Bench("github", seed=1, size=150) as bench:
        found = bench.run(tmp_path)
        for thread in found:
            made = bench.fake.threads[int(thread.url.rpartition("/")[2])]
            assert thread.created == made["created"]
            assert thread.comments == made["replies"] == thread.discussion.count("Comment")
            assert thread.closed == (made["created"] + timedelta(days=2) if made["closed"] else None)
    return {int(thread.url.rpartition("/")[2]): thread for thread in found}


def test_threads_hold_no_name_and_no_address_of_people(threads: dict[int, Thread]) -> None:
    text = repr(threads)
    assert "@b.org" not in text
    assert not re.search(r"person\d", text)
    assert len({thread.author for thread in threads.values()}) == 7


def test_threads_are_closed_by_the_commit_that_says_so(threads: dict[int, Thread]) -> None:
    closed = [thread for number, thread in threads.items() if thread.closed and number % 10]
    assert closed
    assert {thread.fix_url for thread in closed} == {f"https://github.com/owner/name/commit/{'a' * 40}"}
    merged = [thread for number, thread in threads.items() if thread.closed and not number % 10]
    assert all(thread.state == "merged" and thread.fix_url == thread.url for thread in merged)
    assert not any(thread.fix_url for thread in threads.values() if thread.closed is None)


def test_titles_are_one_clean_line(threads: dict[int, Thread]) -> None:
    evil = threads[1].title
    assert evil == "alert(1) evil ../../etc/passwd <pad> token"
    assert all(thread.title.isprintable() for thread in threads.values())


def pull(number: int, body: str, *, merged: bool) -> Item:
    return Item.model_validate(
        {
            "number": number,
            "html_url": f"https://github.com/other/fork/pull/{number}",
            "title": "A change",
            "body": body,
            "state": "closed",
            "created_at": "2020-01-01T00:00:00Z",
            "pull_request": {"merged_at": "2020-01-02T00:00:00Z" if merged else None},
        }
    )


@pytest.mark.parametrize(
    ("body", "merged", "linked"),
    [
        ("Fixes #7", True, True),
        ("closes: owner/name#7", True, True),
        ("resolved https://github.com/owner/name/issues/7", True, True),
        ("Fixes #7", False, False),
        ("Fixes #77", True, False),
        ("See #7", True, False),
        ("prefix #7", True, False),
        ("fixes other/name#7", True, False),
    ],
)
def test_fix_is_a_merged_pull_request_with_a_closing_word(body: str, merged: bool, linked: bool) -> None:
    issue = pull(7, "", merged=False).model_copy(update={"pull_request": None})
    event = Event.model_validate(
        {"event": "cross-referenced", "source": {"issue": pull(9, body, merged=merged).model_dump()}}
    )
    fix = github._fix(issue, "owner/name", [event])
    assert fix == ("https://github.com/other/fork/pull/9" if linked else None)


def test_issue_that_was_opened_again_is_not_fixed() -> None:
    closed = pull(7, "", merged=False).model_copy(update={"pull_request": None})
    commit = f"https://api.github.com/repos/owner/name/commits/{'a' * 40}"
    event = Event.model_validate({"event": "closed", "commit_url": commit})
    assert github._fix(closed, "owner/name", [event])
    assert github._fix(closed.model_copy(update={"state": "open"}), "owner/name", [event]) is None


def without_timelines(bench: Bench, status: int) -> None:
    original = bench.fake.answer

    def answer(path: str, query: dict[str, str], headers: Any) -> Reply:
        refused = Reply(status, {"message": "Resource protected by organization"})
        return refused if path.endswith("/timeline") else original(path, query, headers)

    bench.fake.answer = answer  # type: ignore[method-assign]


def test_thread_whose_events_are_not_there_is_counted_as_gone(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    with Bench("github", seed=1, size=20) as bench:
        without_timelines(bench, 404)
        found = bench.run(tmp_path, outcomes)
    assert all(thread.state == "open" and not thread.comments for thread in found)
    assert sum(outcome.gone for outcome in outcomes) > 0
    assert all(outcome.found == outcome.fetched + outcome.gone for outcome in outcomes)


def test_events_that_a_token_may_not_read_are_asked_for_again_with_another(tmp_path: Path) -> None:
    with Bench("github", seed=1, size=20) as bench:
        without_timelines(bench, 403)
        with pytest.raises(SourceError, match=r"status 403: .*organization"):
            bench.run(tmp_path)
    with Bench("github", seed=1, size=20) as bench:
        assert any(thread.discussion for thread in bench.run(tmp_path / "other"))


def test_another_thread_than_asked_for_is_not_taken(tmp_path: Path) -> None:
    with Bench("github", seed=1, size=20) as bench:
        original = bench.fake.answer
        bench.fake.answer = lambda path, query, headers: original(  # type: ignore[method-assign]
            path.replace("/issues/7", "/issues/8"), query, headers
        )
        with pytest.raises(SourceError, match="thread 8, not 7"):
            bench.thread_at(tmp_path, "https://github.com/owner/name/issues/7")


def test_fix_is_the_pull_request_before_its_commit() -> None:
    """The commit of a merge is the same fix, but no thread that could be the issue's duplicate."""
    issue = pull(7, "", merged=False).model_copy(update={"pull_request": None})
    commit = f"https://api.github.com/repos/owner/name/commits/{'a' * 40}"
    closed = Event.model_validate({"event": "closed", "commit_url": commit})
    mentioned = Event.model_validate(
        {"event": "cross-referenced", "source": {"issue": pull(9, "Fixes #7", merged=True).model_dump()}}
    )
    fixed = github._fix(issue, "owner/name", [mentioned, closed])
    assert fixed == "https://github.com/other/fork/pull/9"
    assert github._fix(issue, "owner/name", [closed]) == f"https://github.com/owner/name/commit/{'a' * 40}"


def test_repositories_come_from_lists_that_search_sites_export(tmp_path: Path) -> None:
    path = tmp_path / "repositories.csv"
    path.write_text("\ufeffname,stars\nowner/name,5\nOwner/Name,5\na/b.c,1\n", encoding="utf-8")
    assert github.read_repositories(path) == ["owner/name", "Owner/Name", "a/b.c"]
    mining = settings(tmp_path, github=GitHub(labels=["bug"], kinds=["issue"], repositories=path))
    with Bench("github") as bench, bench.pages(tmp_path) as pages:
        chosen = github.queries(mining, pages)
    assert [query.repository for query in chosen] == ["a/b.c", "owner/name"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("name\n../..\n", "repositories.csv:2: column `name`: expected owner/name, found `../..`"),
        ("name\na/..\n", "found `a/..`"),
        ("name\na/b/c\n", "found `a/b/c`"),
        ("name\nhttps://github.com/a/b\n", "found `https://github.com/a/b`"),
        ("repo\na/b\n", "expected a column `name`, found repo"),
        ("name\n\x1b[31m/a\n", "found `\\x1b[31m/a`"),
    ],
)
def test_names_that_are_no_repository_are_an_error(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "repositories.csv"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        github.read_repositories(path)
    assert problem in str(caught.value)


def test_token_goes_to_github_as_a_bearer_token_only(tmp_path: Path) -> None:
    with Bench("github", size=5) as bench:
        bench.run(tmp_path)
        assert {headers["authorization"] for _, headers in bench.server.log} == {f"Bearer {TOKEN}"}
        assert not any(TOKEN in path for path, _ in bench.server.log)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/../../etc/passwd/issues/1",
        "https://github.com/owner/../issues/1",
        "https://github.com/owner/name/issues/0",
        "https://github.com/owner/name/wiki",
    ],
)
def test_addresses_of_no_thread_send_no_request(tmp_path: Path, url: str) -> None:
    with Bench("github", size=5) as bench:
        assert bench.thread_at(tmp_path, url) is None
        assert bench.server.requests == 0


def test_anonymous_clients_keep_to_ten_searches_a_minute(tmp_path: Path) -> None:
    with Bench("github", size=0) as bench:
        bench.fake.windows["search"].requests = 10
        for index in range(1500):
            bulk(bench.fake, index * 10 + 1, BULK + timedelta(minutes=index))
        start = bench.clock.now()
        assert len(bench.run(tmp_path, token=None)) == 1500
        assert bench.fake.windows["search"].refused == 0
        assert bench.clock.now() - start >= 60
        assert not any("authorization" in headers for _, headers in bench.server.log)
