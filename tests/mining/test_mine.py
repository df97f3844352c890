"""The command line: what it says without tokens and without a network, and what it does with records."""

import logging
import subprocess
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from pydantic import ValidationError
from snakemake.utils import update_config
from support.fakes import FAKES
from support.loopback import Reply
from support.mining import PSEUDONYMS, TOKEN, Bench, settings
from support.project import offline

from attention_faults import study
from attention_faults.errors import InputError
from attention_faults.mining import hydrate, mine, outcome, queries, table
from attention_faults.mining.meter import Meter
from attention_faults.mining.outcome import Outcome
from attention_faults.mining.queries import Mining
from attention_faults.mining.thread import SOURCES
from attention_faults.mining.transport import SourceError

ROOT = Path(__file__).parents[2]


def run(*arguments: str, folder: Path, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*prefix, "attention-faults", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def default() -> Mining:
    return queries.read(ROOT / "config.yaml", None)


def test_without_tokens_each_source_has_its_line_and_nothing_is_asked(tmp_path: Path) -> None:
    finished = run("mine", folder=tmp_path)
    assert finished.returncode == 1
    lines = finished.stderr.splitlines()
    for source, name in (
        ("github", "GITHUB_TOKEN"),
        ("huggingface", "HF_TOKEN"),
        ("stackexchange", "STACKEXCHANGE_KEY"),
    ):
        (line,) = [line for line in lines if line.startswith(f"{source}:")]
        assert f"no token in {name}; anonymous clients get" in line
        assert "days (with a token" in line
    assert [line.partition(":")[0] for line in lines[:4]] == list(SOURCES)
    assert "go on with --anonymous" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_there_is_one_clear_message(tmp_path: Path) -> None:
    finished = run(
        "mine", "--anonymous", "--source", "stackexchange", folder=tmp_path, prefix=tuple(offline())
    )
    assert finished.returncode == 1
    messages = [line for line in finished.stderr.splitlines() if "cannot reach" in line]
    assert len(messages) == 1
    assert "stackexchange: cannot reach api.stackexchange.com: no connection" in messages[0]
    assert "it needs a network connection" in messages[0]
    assert "the same command goes on from there" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert not list(tmp_path.rglob("*.gz"))
    assert not list(tmp_path.rglob("manifest.jsonl"))


@pytest.mark.parametrize("source", SOURCES)
def test_days_of_the_estimate_are_requests_over_the_allowance(
    source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mining = default()
    asked = mine.ADAPTERS[source].expected(mining)
    line = mine.allowance(source, asked, "these")
    assert line is not None
    assert f"{sum(asked.values()):,} requests" in line
    if source == "github":
        assert (
            f"{asked['core'] / (60 * 24):.2f} days (with a token {asked['core'] / (5000 * 24):.2f})" in line
        )
    if source == "stackexchange":
        assert f"{sum(asked.values()) / 300:.2f} days" in line
    variable = mine.ADAPTERS[source].SERVICE.variable
    if variable:
        monkeypatch.setenv(variable, TOKEN)
        assert mine.allowance(source, asked, "these") is None


def test_default_covers_ten_frameworks_and_all_sources() -> None:
    mining = default()
    assert len(mining.frameworks) >= 10
    assert mining.sources == list(SOURCES)
    assert mining.last < datetime(2026, 11, 1, tzinfo=UTC)
    assert mining.holds(datetime(2026, 10, 31, 23, 59, 59, 999_000, tzinfo=UTC))
    assert not mining.holds(datetime(2026, 11, 1, tzinfo=UTC))
    assert mining.github.labels == ["bug"]


def test_overlay_overrides_single_keys(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("mining: {sources: [github], github: {labels: []}}\n")
    mining = queries.read(ROOT / "config.yaml", overlay)
    assert (mining.sources, mining.github.labels) == (["github"], [])
    assert mining.keywords == default().keywords


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"sources": ["gitlab"]}, "mining.sources.0"),
        ({"until": "2010-01-01"}, "`since` must be before `until`"),
        ({"keywords": {"a": ["x"] * 7}}, "mining.keywords.a"),
        ({"keywords": {"a": ["y" * 80] * 4}}, "at most 256 characters"),
        ({"keywords": {"../a": ["x"]}}, "mining.keywords"),
        ({"keywords": {"a": ['x" OR repo:b/c']}}, "mining.keywords.a.0"),
        ({"frameworks": {"a": {"repository": "../.."}}}, "mining.frameworks.a.repository"),
        ({"frameworks": {"a": {"repository": "a/.."}}}, "mining.frameworks.a.repository"),
        ({"frameworks": {"a": {"repository": "a/b is:open"}}}, "mining.frameworks.a.repository"),
        (
            {"huggingface": {"repositories": [{"kind": "model", "id": "../x"}], "search": []}},
            "repositories.0.id",
        ),
        ({"stackexchange": {"sites": ["a b"], "tagged": False}}, "mining.stackexchange.sites.0"),
        ({"githb": {}}, "unknown key `mining.githb`; did you mean `github`?"),
    ],
)
def test_bad_queries_are_errors_with_their_key(change: dict[str, Any], problem: str) -> None:
    configuration = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(configuration, {"mining": change})
    if "keywords" in change or "frameworks" in change:
        configuration["mining"] |= change
    with pytest.raises(InputError) as caught:
        study.load(configuration)
    assert problem in str(caught.value)


def test_time_that_is_not_over_is_refused(tmp_path: Path) -> None:
    bench = Bench("github")
    mine.check_time(settings(tmp_path, until=date(2026, 1, 1)), bench.clock)
    with pytest.raises(InputError, match=r"mining\.until"):
        mine.check_time(settings(tmp_path, until=date(2026, 1, 2)), bench.clock)
    bench.server.server.server_close()
    bench.other.server.server_close()


def test_source_without_token_is_written_from_the_archive_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets = {"threads_to": tmp_path / "t.parquet", "queries_to": tmp_path / "q.csv"}
    mining = settings(tmp_path / "raw")
    with Bench("github", seed=1, size=40) as bench:
        threads = bench.run(tmp_path / "raw")
        monkeypatch.setitem(mine.ADAPTERS, "github", Rebased(bench))
        monkeypatch.setattr("attention_faults.mining.privacy.of_archive", lambda _: PSEUDONYMS)
        sent = bench.server.requests
        mine.write_source(mining, "github", **targets)
        assert bench.server.requests == sent
        assert list(table.read(targets["threads_to"])) == threads
        written = pd.read_csv(targets["queries_to"])
        assert list(written["found"]) == list(written["fetched"])
        assert written["fetched"].sum() == 40
        assert list(written[["truncated", "incomplete", "gone"]].sum()) == [0, 0, 0]
        with pytest.raises(
            SourceError, match="set GITHUB_TOKEN, or run `attention-faults mine --anonymous` first"
        ):
            mine.write_source(settings(tmp_path / "empty"), "github", **targets)


class Rebased:
    """An adapter whose service is a loopback server."""

    def __init__(self, bench: Bench) -> None:
        self._adapter = bench.adapter
        self.SERVICE = bench.service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)


@pytest.fixture
def rebased(monkeypatch: pytest.MonkeyPatch) -> Any:
    with ExitStack() as stack:
        benches = {source: stack.enter_context(Bench(source, seed=1, size=10)) for source in FAKES}
        for source, bench in benches.items():
            monkeypatch.setitem(mine.ADAPTERS, source, Rebased(bench))
        yield benches


def test_hydrate_fetches_addresses_and_lists_what_is_gone(rebased: dict[str, Bench], tmp_path: Path) -> None:
    urls = [
        "https://github.com/owner/name/issues/7#issuecomment-1",
        "https://huggingface.co/owner/name/discussions/3/",
        "https://discuss.huggingface.co/t/4/2",
        "https://stackoverflow.com/questions/5/words?rq=1",
        "https://github.com/owner/name/issues/999",
        "https://example.org/thread/1",
        "https://github.com/../../issues/1",
        "https://[github.com/owner/name/issues/8",
        "https://nosuch.stackexchange.com/questions/5",
        "HTTPS://GitHub.com/owner/name/issues/7/",
    ]
    fake = rebased["stackexchange"].fake
    original = fake.answer
    unknown = {"error_id": 400, "error_name": "bad_parameter", "error_message": "No site found"}
    fake.answer = lambda path, query, headers: (  # type: ignore[method-assign]
        Reply(400, unknown) if query.get("site") == "nosuch" else original(path, query, headers)
    )
    addresses = hydrate.hydrate(urls, tmp_path / "raw", tmp_path / "out")
    found = [thread.url for thread in table.read(tmp_path / "out/threads.parquet")]
    assert found == [
        "https://github.com/owner/name/issues/7",
        "https://huggingface.co/owner/name/discussions/3",
        "https://discuss.huggingface.co/t/4",
        "https://stackoverflow.com/questions/5",
    ]
    assert [address.thread for address in addresses] == [*found, *[None] * 5, found[0]]
    listed = pd.read_csv(tmp_path / "out/addresses.csv", keep_default_na=False)
    assert list(listed["url"]) == urls
    assert [reason != "" for reason in listed["reason"]] == [thread == "" for thread in listed["thread"]]
    assert "status 400" in listed["reason"].iloc[-2]
    sent = [bench.server.requests for bench in rebased.values()]
    assert hydrate.hydrate(urls, tmp_path / "raw", tmp_path / "again") == addresses
    again = [bench.server.requests for bench in rebased.values()]
    assert [now - before for now, before in zip(again, sent, strict=True)] == [0, 0, 0, 1]  # what was refused
    assert (tmp_path / "again/threads.parquet").read_bytes() == (
        tmp_path / "out/threads.parquet"
    ).read_bytes()


def test_every_address_of_the_embedded_dataset_has_a_source() -> None:
    urls = hydrate.read_urls(ROOT / "data/faults/github_2026/records.csv")
    assert len(urls) > 500
    assert {hydrate.source_of(url) for url in urls} <= set(SOURCES)


@pytest.mark.parametrize("view", ["", "/", "/files", "/commits/0123abc"])
def test_views_of_a_thread_are_its_address(rebased: dict[str, Bench], tmp_path: Path, view: str) -> None:
    urls = [f"https://github.com/owner/name/pull/10{view}"]
    (address,) = hydrate.hydrate(urls, tmp_path / "raw", tmp_path / "out")
    assert address.thread == "https://github.com/owner/name/pull/10"


@pytest.mark.parametrize(
    "url", ["https://github.com.evil.org/a/b/issues/1", "https://notstackoverflow.com/q/1", "x", ""]
)
def test_lookalikes_are_no_source(url: str) -> None:
    assert hydrate.source_of(url) is None


def test_hydrating_says_what_it_takes_without_a_token(tmp_path: Path) -> None:
    records = tmp_path / "records.csv"
    records.write_text("url\n" + "".join(f"https://github.com/a/b/issues/{n}\n" for n in range(1, 721)))
    finished = run("hydrate", str(records), folder=tmp_path)
    assert finished.returncode == 1
    assert "these threads take about 1,440 requests, 1.00 days" in finished.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["records.csv"]


def test_records_without_addresses_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_text("link\nhttps://github.com/a/b/issues/1\n")
    with pytest.raises(InputError, match="expected a column `url`, found link"):
        hydrate.read_urls(path)
    with pytest.raises(InputError, match="not readable as CSV"):
        hydrate.read_urls(tmp_path / "none.csv")


def test_summary_gives_no_count_without_its_completeness(tmp_path: Path) -> None:
    outcomes = [Outcome(source="github", query=name, found=5, fetched=4, truncated=1) for name in "ab"]
    assert mine.summary(outcomes) == "2 queries, 10 found, 8 fetched, 2 truncated, 0 incomplete, 0 gone"
    outcome.write(outcomes, tmp_path / "q.csv")
    assert pd.read_csv(tmp_path / "q.csv").columns.tolist() == [
        "source",
        "query",
        "found",
        "fetched",
        "unmatched",
        "truncated",
        "incomplete",
        "gone",
    ]


def test_long_waits_are_logged_where_there_is_no_terminal(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with Bench("github") as bench:
        meter = Meter("github", bench.clock)
        meter.plan(3)
        meter.answered(17)
        meter.waiting(bench.clock.now() + 5, "soon over")
        meter.waiting(bench.clock.now() + 3600, "search limit")
        meter.close()
    assert [record.getMessage() for record in caplog.records if "limit" in record.getMessage()] == [
        "github: waits until 01 Jan 01:00:00 UTC: search limit"
    ]
    assert "soon over" not in caplog.text


def test_settings_are_what_they_are_checked_for(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        settings(tmp_path, sources=[])
