"""The target `mine`, offline: what was fetched is enough, and what was not is said."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml
from pyarrow import parquet
from support.fakes import FAKES
from support.mining import Bench, settings
from support.project import offline

from attention_faults.mining import mine, table

pytestmark = pytest.mark.xdist_group("workflow")


def snakemake_mine(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [*offline(), "snakemake", "mine", "--cores", "2", "--keep-going"]
    tokens = {adapter.SERVICE.variable for adapter in mine.ADAPTERS.values()}
    environment = {name: value for name, value in os.environ.items() if name not in tokens}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def archive_of_real_addresses(archive: Path, sources: list[str]) -> set[str]:
    """Mine loopback servers, then write into the manifests that the answers came from the real ones."""
    urls = set()
    for source in sources:
        with Bench(source, seed=1, size=20) as bench:
            urls |= {thread.url for thread in bench.run(archive)}
            base = bench.service.base
        for manifest in (archive / source).rglob("manifest.jsonl"):
            manifest.write_text(manifest.read_text().replace(base, mine.ADAPTERS[source].SERVICE.base))
    return urls


@pytest.fixture
def mined(project: Path) -> Path:
    configuration = yaml.safe_load((project / "config.yaml").read_text())
    configuration["mining"] |= json.loads(settings(Path("data/raw")).model_dump_json(exclude_defaults=True))
    (project / "config.yaml").write_text(yaml.safe_dump(configuration))
    return project


def test_archived_threads_are_screened_without_a_request_twice_the_same(mined: Path) -> None:
    urls = archive_of_real_addresses(mined / "data/raw", list(FAKES))
    finished = snakemake_mine(mined)
    assert finished.returncode == 0, finished.stdout[-5000:]
    threads = [
        thread
        for source in FAKES
        for thread in table.read(mined / f"results/mining/threads/{source}.parquet")
    ]
    assert {thread.url for thread in threads} == urls
    for source in FAKES:
        queries = pd.read_csv(mined / f"results/mining/queries/{source}.csv")
        assert set(queries["source"]) == {source}
        assert queries["found"].sum() == queries["fetched"].sum() > 0
    again = snakemake_mine(mined)
    assert "Nothing to be done" in again.stdout
    results = mined / "results/mining"
    candidates = parquet.read_table(results / "candidates.parquet").to_pandas()
    assert len(candidates) == len(threads)  # none is lost
    assert set(candidates["url"]) == urls
    counts = pd.read_csv(results / "tables/funnel.csv", keep_default_na=False).set_index(["stage", "reason"])
    assert counts.loc[("found", ""), "all"] == len(threads)
    assert counts.loc[("screened", ""), "all"] == candidates["kept"].sum()
    assert counts.loc[("sampled", ""), "all"] == parquet.read_table(results / "sample.parquet").num_rows
    # no count without how complete the queries are
    shown = [*results.glob("tables/*.html"), *results.glob("tables/*.tex")]
    assert len(shown) == 6
    assert all("out of reach (truncated)" in " ".join(path.read_text().split()) for path in shown)
    first = contents(results)
    shutil.rmtree(results)
    assert snakemake_mine(mined).returncode == 0
    assert contents(results) == first


def contents(results: Path) -> dict[str, bytes]:
    files = [
        path for path in results.rglob("*") if path.suffix in {".parquet", ".csv", ".html", ".svg", ".png"}
    ]
    return {str(path.relative_to(results)): path.read_bytes() for path in files}


def test_unfinished_archive_says_how_to_go_on_and_leaves_nothing(mined: Path) -> None:
    archive_of_real_addresses(mined / "data/raw", ["github"])
    manifest = mined / "data/raw/github/_threads/manifest.jsonl"
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1]))
    finished = snakemake_mine(mined)
    assert finished.returncode != 0
    log = (mined / "results/mining/logs/mine_source/github.log").read_text()
    assert "was not fetched yet; set GITHUB_TOKEN, or run `attention-faults mine --anonymous` first" in log
    assert "Traceback" not in log
    assert not list((mined / "results/mining").rglob("*github*.parquet"))
    forum = (mined / "results/mining/logs/mine_source/huggingface_forum.log").read_text()
    assert "cannot reach discuss.huggingface.co" in forum
