"""What the adapters have in common, and what each makes of its service's answers."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.fakes import BULK, FAKES
from support.loopback import Reply
from support.mining import TOKEN, Bench, settings

from attention_faults.mining import discourse, huggingface, queries, stackexchange
from attention_faults.mining.archive import SHELF
from attention_faults.mining.outcome import Outcome  # noqa: TC001
from attention_faults.mining.queries import HubRepository, HubSearch, HuggingFace, StackExchange
from attention_faults.mining.thread import KINDS, STATES
from attention_faults.mining.transport import SourceError

ROOT = Path(__file__).parents[2]
ADDRESSES = {
    "github": "https://github.com/owner/name/issues/7",
    "huggingface": "https://huggingface.co/owner/name/discussions/7",
    "huggingface_forum": "https://discuss.huggingface.co/t/some-words/7/3",
    "stackexchange": "https://stackoverflow.com/questions/7/some-words",
}


@pytest.mark.parametrize("source", FAKES)
def test_threads_are_clean_and_hold_no_name_of_people(source: str, tmp_path: Path) -> None:
    with Bench(source, seed=2, size=60) as bench:
        threads = bench.run(tmp_path)
        assert {thread.url for thread in threads} == {bench.fake.expected(n) for n in bench.fake.threads}
    for thread in threads:
        text = repr(thread)
        assert not re.search(r"person\d|@b\.org|<p>|<script|&lt;", text)
        assert thread.title.isprintable()
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", thread.body + thread.discussion)
        assert thread.source == source
        assert thread.kind in KINDS
        assert thread.state in STATES
        assert thread.created.utcoffset() == timedelta(0)
        assert re.fullmatch(r"[0-9a-f]{16}", thread.author)


@pytest.mark.parametrize("source", FAKES)
def test_everything_that_was_said_is_in_the_discussion(source: str, tmp_path: Path) -> None:
    with Bench(source, seed=2, size=60) as bench:
        for thread in bench.run(tmp_path):
            made = bench.fake.threads[int(thread.url.rpartition("/")[2])]
            assert thread.comments == made["replies"]
            assert len([part for part in thread.discussion.split("\n\n") if part]) == made["replies"]


@pytest.mark.parametrize("source", FAKES)
def test_second_run_sends_no_request_and_needs_no_service(source: str, tmp_path: Path) -> None:
    with Bench(source, seed=2, size=30) as bench:
        first = bench.run(tmp_path)
        sent = bench.server.requests
        assert bench.run(tmp_path) == first
        assert bench.server.requests == sent
    assert bench.replay(tmp_path) == first


@pytest.mark.parametrize("source", FAKES)
def test_refresh_asks_again_for_old_pages_only_and_overwrites_none(source: str, tmp_path: Path) -> None:
    with Bench(source, seed=2, size=30) as bench:
        bench.fake.backs_off = 0.0
        first = bench.run(tmp_path)
        sent = bench.server.requests
        kept = {path: path.read_bytes() for path in tmp_path.rglob("page-*")}
        bench.clock.sleep(3600)
        now = datetime.fromtimestamp(bench.clock.now(), UTC)
        assert bench.run(tmp_path, refresh_before=now) == first
        assert bench.server.requests == 2 * sent
        asked = [headers for _, headers in bench.server.log[sent:]]
        assert all("if-none-match" in headers for headers in asked)
        bench.run(tmp_path, refresh_before=now)
        assert bench.server.requests == 2 * sent
        number = min(bench.fake.threads)
        bench.fake.threads[number]["title"] = "Another title"
        bench.clock.sleep(3600)
        later = datetime.fromtimestamp(bench.clock.now(), UTC)
        titles = {thread.url: thread.title for thread in bench.run(tmp_path, refresh_before=later)}
    assert titles[bench.fake.expected(number)] == "Another title"
    assert all(path.read_bytes() == data for path, data in kept.items())


@pytest.mark.parametrize("source", FAKES)
def test_unfinished_archive_cannot_be_replayed_silently(source: str, tmp_path: Path) -> None:
    with Bench(source, seed=2, size=30) as bench:
        bench.run(tmp_path)
    manifest = max(tmp_path.rglob("manifest.jsonl"), key=lambda path: len(path.read_text().splitlines()))
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(SourceError, match="was not fetched yet"):
        bench.replay(tmp_path)


@pytest.mark.parametrize("source", FAKES)
def test_thread_is_the_same_by_its_address_and_gone_is_none(source: str, tmp_path: Path) -> None:
    with Bench(source, seed=2, size=30) as bench:
        mined = {thread.url: thread for thread in bench.run(tmp_path / "mined")}
        url = bench.fake.expected(7)
        alone = bench.thread_at(tmp_path / "alone", ADDRESSES[source])
        assert alone is not None
        assert alone == type(alone)(**{**vars(mined[url]), "query": ""})
        sent = bench.server.requests
        assert bench.thread_at(tmp_path / "alone", ADDRESSES[source].replace("7", "777")) is None
        assert bench.thread_at(tmp_path / "alone", ADDRESSES[source].replace("7", "777")) is None
        assert bench.server.requests == sent + 1


def test_hub_asks_for_numbers_that_no_listing_shows(tmp_path: Path) -> None:
    with Bench("huggingface", seed=1, size=35) as bench:
        original = bench.fake.answer

        def shifting(path: str, query: dict[str, str], headers: Any) -> Reply:
            reply = original(path, query, headers)
            if "p" in query:
                reply.content["discussions"] = reply.content["discussions"][:-2]
            return reply

        bench.fake.answer = shifting  # type: ignore[method-assign]
        assert len(bench.run(tmp_path)) == 35


def test_hub_threads_without_a_keyword_are_counted_not_kept(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    with Bench("huggingface", seed=1, size=20) as bench:
        for number in (3, 4):
            bench.fake.threads[number] |= {"title": "Thanks!", "body": "Nice model"}
        bench.fake.threads[5]["created"] = datetime(2025, 1, 1, tzinfo=UTC)
        del bench.fake.threads[6]
        threads = bench.run(tmp_path, outcomes)
    assert len(threads) == 16
    (outcome,) = outcomes
    assert (outcome.found, outcome.fetched, outcome.unmatched, outcome.gone) == (19, 19, 3, 0)


def test_hub_reply_is_not_taken_for_a_hidden_first_post(tmp_path: Path) -> None:
    with Bench("huggingface", seed=1, size=20) as bench:
        bench.fake.threads[7] |= {"replies": 2}
        original = bench.fake.answer

        def hidden(path: str, query: dict[str, str], headers: Any) -> Reply:
            reply = original(path, query, headers)
            if path.endswith("/7"):
                reply.content["events"][0]["data"]["hidden"] = True
            return reply

        bench.fake.answer = hidden  # type: ignore[method-assign]
        thread = bench.thread_at(tmp_path, ADDRESSES["huggingface"])
    assert thread is not None
    assert (thread.body, thread.discussion, thread.comments) == ("", "Comment 0\n\nComment 1", 2)


@pytest.mark.parametrize(
    ("name", "bot"), [("librarian-bot", True), ("SFconvertbot", True), ("Talbot", False), ("bottega", False)]
)
def test_programs_on_the_hub_go_by_their_names(name: str, bot: bool, tmp_path: Path) -> None:
    with Bench("huggingface", seed=1, size=20) as bench:
        bench.fake.threads[7]["author"] = name
        thread = bench.thread_at(tmp_path, ADDRESSES["huggingface"])
    assert thread is not None
    assert thread.author_is_bot == bot


def test_hub_repositories_are_searched_by_downloads_or_likes(tmp_path: Path) -> None:
    asked: list[tuple[str, dict[str, str]]] = []
    with Bench("huggingface", size=0) as bench:

        def listing(path: str, query: dict[str, str], headers: Any) -> Reply:
            asked.append((path, query))
            return Reply(200, [{"id": "owner/name"}, {"id": "gpt2"}])

        bench.fake.answer = listing  # type: ignore[method-assign]
        search = [
            HubSearch(kind="model", word="bert", limit=2),
            HubSearch(kind="space", word="bert", limit=1),
        ]
        chosen = HuggingFace(repositories=[HubRepository(kind="model", id="owner/name")], search=search)
        with bench.pages(tmp_path) as pages:
            queries = huggingface.queries(settings(tmp_path, huggingface=chosen), pages)
    assert [query.id for query in queries] == ["model--owner--name", "model--gpt2", "space--owner--name"]
    assert [(path, query["sort"]) for path, query in asked] == [
        ("/api/models", "downloads"),
        ("/api/spaces", "likes"),
    ]


@pytest.mark.parametrize("name", ["../../etc", "a/../b", "owner/..", "/abs"])
def test_hub_repository_with_a_path_trick_is_no_content(tmp_path: Path, name: str) -> None:
    with Bench("huggingface", size=0) as bench:
        bench.fake.answer = lambda *_: Reply(200, [{"id": name}])  # type: ignore[method-assign]
        with bench.pages(tmp_path) as pages, pytest.raises(SourceError, match="unexpected content"):
            huggingface.search_repositories(HubSearch(kind="model", word="x", limit=5), pages)
    assert not list(tmp_path.rglob("page-*"))


def test_forum_splits_time_until_a_part_fits_on_a_page(tmp_path: Path) -> None:
    with Bench("huggingface_forum", seed=1, size=400) as bench:
        bench.fake.per_page = 10
        for thread in bench.fake.threads.values():
            thread["replies"] = 0
            if thread["created"] == BULK:  # at most ten pages of ten
                thread["created"] += timedelta(days=thread["number"] % 20, hours=3)
        found = {thread.url for thread in bench.run(tmp_path)}
        assert found == {bench.fake.expected(number) for number in bench.fake.threads}
        assert all(headers.get("authorization") is None for _, headers in bench.server.log) or TOKEN


def test_forum_day_with_more_than_ten_pages_is_called_truncated(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    with Bench("huggingface_forum", seed=1, size=120) as bench:
        bench.fake.per_page = 5
        for thread in bench.fake.threads.values():
            thread |= {"created": BULK, "replies": 0, "title": "attention mask", "body": ""}
        bench.run(tmp_path, outcomes)
    assert [outcome.fetched for outcome in outcomes] == [50, 0]
    assert outcomes[0].truncated > 0


def test_stack_exchange_asks_with_its_key_in_the_query_and_archives_no_key(tmp_path: Path) -> None:
    with Bench("stackexchange", seed=1, size=30) as bench:
        bench.run(tmp_path)
        assert all("key=t0p-s3cret" in path for path, _ in bench.server.log)
        assert not any("authorization" in headers for _, headers in bench.server.log)
    assert not any("t0p" in path.read_text() for path in tmp_path.rglob("manifest.jsonl"))


def test_stack_exchange_goes_beyond_page_25_without_a_key(tmp_path: Path) -> None:
    with Bench("stackexchange", size=3000) as bench:
        for thread in bench.fake.threads.values():
            thread |= {"title": "attention mask", "body": "", "replies": 0}
            if thread["created"] == BULK:
                thread["created"] += timedelta(seconds=thread["number"])
        assert len(bench.run(tmp_path, token=None)) == 3000


def test_stack_exchange_waits_for_the_next_day_when_its_quota_is_used_up(tmp_path: Path) -> None:
    with Bench("stackexchange", seed=1, size=900) as bench:
        bench.fake.daily = bench.fake.left = 3
        start = bench.clock.now()
        found = {thread.url for thread in bench.run(tmp_path)}
        assert len(found) == 900
        assert bench.fake.refused == 0
        assert bench.clock.now() - start > 2 * 86400


def test_stack_exchange_asks_for_one_of_the_frameworks_tags(tmp_path: Path) -> None:
    with Bench("stackexchange", seed=1, size=10) as bench:
        bench.run(tmp_path, settings={"stackexchange": StackExchange(sites=["stackoverflow"], tagged=True)})
        searches = [path for path, _ in bench.server.log if "search/advanced" in path]
        assert searches
        assert all("tagged=pytorch" in path for path in searches)


@pytest.mark.parametrize(
    ("site", "host"),
    [
        ("stackoverflow", "stackoverflow.com"),
        ("datascience", "datascience.stackexchange.com"),
        ("ru.stackoverflow", "ru.stackoverflow.com"),
        ("stats", "stats.stackexchange.com"),
        ("mathoverflow.net", "mathoverflow.net"),
    ],
)
def test_sites_live_where_they_do_and_are_found_there(site: str, host: str, tmp_path: Path) -> None:
    assert stackexchange.host(site) == host
    with Bench("stackexchange", size=3) as bench:
        bench.thread_at(tmp_path, f"https://{host}/questions/1")
        assert f"site={site}&" in bench.server.log[-1][0]


def test_forum_has_no_token_to_send() -> None:
    assert discourse.SERVICE.variable is None


@pytest.mark.parametrize("source", FAKES)
def test_manifest_says_which_pages_hold_fewer_than_match(source: str, tmp_path: Path) -> None:
    with Bench(source, seed=1, size=60 if source == "huggingface" else 250) as bench:
        bench.run(tmp_path)
    lines = [
        json.loads(line)
        for manifest in tmp_path.rglob("manifest.jsonl")
        if not manifest.parent.name.startswith("_")
        for line in manifest.read_text().splitlines()
    ]
    assert {line["incomplete"] for line in lines} == {False}
    truncated = {line["truncated"] for line in lines}
    # the Hub shows ten of its threads a page; the last search of the others shows all that is left
    assert truncated == {"huggingface": {True}}.get(source, {True, False})
    if source in ("github", "stackexchange"):
        assert max(line["total"] for line in lines) > 100


@pytest.mark.parametrize("source", FAKES)
def test_each_default_query_has_a_folder_of_its_own(source: str, tmp_path: Path) -> None:
    mining = queries.read(ROOT / "config.yaml", None)
    mining = mining.model_copy(update={"huggingface": settings(tmp_path).huggingface})
    with Bench(source) as bench, bench.pages(tmp_path) as pages:
        names = [query.id for query in bench.adapter.queries(mining, pages)]
    assert len(names) == len(set(names)) > 0
    assert all(SHELF.fullmatch(name) and not name.startswith("_") for name in names)
