"""Whatever a service does wrong, and whenever we are killed: every thread once, or an error to go on from."""

import gzip
import logging
import os
import random
import signal
import subprocess
import sys
import traceback
from collections import Counter
from pathlib import Path
from urllib.parse import quote, quote_plus

import pandas as pd
import pytest
from support.fakes import FAKES, FakeStackExchange
from support.mining import TOKEN, Bench

from attention_faults.mining import screening, table
from attention_faults.mining.criteria import Criteria
from attention_faults.mining.thread import Thread
from attention_faults.mining.transport import SourceError

# `make stress` asks for more
FAULT_SEEDS = range(int(os.environ.get("FAULT_SEEDS", "20")))
KILL_SEEDS = range(int(os.environ.get("KILL_SEEDS", "5")))
ALL = Criteria(characters={"least": 0, "most": 10**9}, keywords=0, evidence=[], languages=[])
SIZES = {"github": 260, "huggingface": 25, "huggingface_forum": 60, "stackexchange": 600}
SECRETS = [TOKEN, quote(TOKEN, safe=""), quote_plus(TOKEN), TOKEN.replace("/", "%2F")]
TESTS = Path(__file__).parents[1]


def assert_secret_free(text: str) -> None:
    assert not any(secret in text for secret in SECRETS)


def assert_files_secret_free(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            plain = gzip.decompress(data) if path.suffix == ".gz" else data
            assert not any(secret.encode() in blob for secret in SECRETS for blob in (data, plain)), path


def assert_clear(error: SourceError, source: str) -> None:
    assert_secret_free("".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__))
    assert source in str(error)
    assert "goes on from there" in str(error)


def assert_each_once(bench: Bench, threads: list[Thread], before: set[int]) -> None:
    """Each query holds each thread at most once, and all together what existed all the time."""
    assert not [key for key, count in Counter((t.query, t.url) for t in threads).items() if count > 1]
    found = {thread.url for thread in threads}
    must = {bench.fake.expected(number) for number in before - bench.fake.removed}
    may = must | {bench.fake.expected(number) for number in before | bench.fake.added}
    assert must <= found <= may


def assert_each_is_screened_once(threads: list[Thread], table_: Path, candidates: Path) -> None:
    """The candidate table holds every thread once, kept or dropped, beside the rows of other queries."""
    screening.screen([table_], candidates, criteria=ALL, keywords=["attention"])
    rows = pd.read_parquet(candidates)
    assert len(rows) == len(threads)
    once = rows[rows["reason"] != "same_url"]
    assert once["url"].is_unique
    assert set(once["url"]) == {thread.url for thread in threads}


@pytest.mark.parametrize("seed", FAULT_SEEDS)
@pytest.mark.parametrize("source", FAKES)
def test_every_thread_is_found_once_through_all_faults(
    source: str, seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    share = random.Random(seed).choice([0.1, 0.3, 0.5])
    with Bench(source, seed, SIZES[source], share, change=0.05) as bench:
        before = set(bench.fake.threads)
        for attempt in range(20):
            try:
                threads = bench.run(tmp_path / "raw")
            except SourceError as error:
                assert_clear(error, source)
                bench.server.faults.share = share if attempt < 3 else 0.0
            else:
                break
        assert bench.server.faults.committed
        assert_each_once(bench, threads, before)
        sent = bench.server.requests
        first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
        table.write(threads, first)
        table.write(bench.replay(tmp_path / "raw"), second)
        assert first.read_bytes() == second.read_bytes()
        assert_each_is_screened_once(threads, first, tmp_path / "candidates.parquet")
        assert bench.server.requests == sent
        assert bench.other.requests == 0
        if source == "stackexchange":
            assert all("authorization" not in headers for _, headers in bench.server.log)
        else:
            assert_secret_free(" ".join(path for path, _ in bench.server.log))
    assert_secret_free(caplog.text)
    assert_files_secret_free(tmp_path)


def command(bench: Bench, archive: Path, target: Path) -> subprocess.Popen[bytes]:
    script = TESTS / "support/mine_process.py"
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    arguments = [sys.executable, str(script), bench.source, bench.service.base, str(archive), str(target)]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("seed", KILL_SEEDS)
def test_killed_runs_end_as_an_undisturbed_one(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = list(FAKES)[seed % len(FAKES)]
    draw = random.Random(f"kill {seed}")
    # the process has a clock of its own, so that servers cannot hold it to theirs
    monkeypatch.setattr(FakeStackExchange, "backs_off", 0.0)
    with Bench(source, seed, SIZES[source]) as bench:
        calm = command(bench, tmp_path / "calm_raw", tmp_path / "calm")
        printed = calm.communicate()[0]
        assert calm.returncode == 0, printed
        undisturbed = bench.server.requests
    with Bench(source, seed, SIZES[source]) as bench:
        killed, finished = 0, False
        while not finished:
            bench.server.expect(draw.randrange(1, max(2, undisturbed // 2)))
            process = command(bench, tmp_path / "raw", tmp_path / "killed")
            while killed < 2 and process.poll() is None and not bench.server.goal_reached.wait(0.1):
                """Wait for the request, or for the end of the process."""
            try:
                # a moment after an answer: while a page is packed, written, renamed or noted
                printed += process.communicate(timeout=draw.uniform(0, 0.004) if killed < 2 else 60)[0]
                finished = process.returncode == 0
                assert finished, printed
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                printed += process.communicate()[0]
                killed += 1
        total = bench.server.requests
    assert killed > 0
    for name in ("threads.parquet", "queries.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()
    assert undisturbed <= total <= undisturbed + killed
    pages = sorted(path.relative_to(tmp_path / "raw") for path in (tmp_path / "raw").rglob("page-*"))
    assert pages == sorted(
        path.relative_to(tmp_path / "calm_raw") for path in (tmp_path / "calm_raw").rglob("page-*")
    )
    assert_secret_free(printed.decode())
    assert_files_secret_free(tmp_path)
