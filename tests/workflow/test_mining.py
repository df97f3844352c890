"""The target `mine`, offline: what was fetched is enough, and what was not is said."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from pyarrow import parquet
from support.fakes import PHRASES
from support.mining import Bench, settings
from support.project import offline

from attention_faults.mining import mine, table
from attention_faults.mining.queries import StackExchange

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


def configure(project: Path, **changes: Any) -> None:
    """Let the study mine what the loopback servers have."""
    configuration = yaml.safe_load((project / "config.yaml").read_text())
    mining = settings(Path("data/raw"), **changes)
    configuration["mining"] |= json.loads(mining.model_dump_json(exclude_defaults=True))
    (project / "config.yaml").write_text(yaml.safe_dump(configuration))


def test_archived_threads_are_screened_without_a_request_twice_the_same(project: Path) -> None:
    sources = ["github", "stackexchange"]
    stackexchange = StackExchange(
        sites=["stackoverflow"], tagged=False, dumps={"ai": Path("data/raw/Posts.xml")}
    )
    configure(project, sources=sources, stackexchange=stackexchange)
    urls = archive_of_real_addresses(project / "data/raw", sources)
    post = f'Id="1" PostTypeId="1" CreationDate="2020-07-31T21:42:52.667" Body="{PHRASES[0]}"'
    (project / "data/raw/Posts.xml").write_text(f"<posts><row {post}/></posts>")
    urls.add("https://ai.stackexchange.com/questions/1")
    finished = snakemake_mine(project)
    assert finished.returncode == 0, finished.stdout[-5000:]
    results = project / "results/mining"
    parts = [*sources, "dump/ai"]
    threads = [thread for part in parts for thread in table.read(results / f"threads/{part}.parquet")]
    assert {thread.url for thread in threads} == urls
    for part, source in zip(parts, [*sources, "stackexchange"], strict=True):
        queries = pd.read_csv(results / f"queries/{part}.csv")
        assert set(queries["source"]) == {source}
        assert queries["found"].sum() == queries["fetched"].sum() > 0
    assert "Nothing to be done" in snakemake_mine(project).stdout
    manifest = project / "data/raw/github/_threads/manifest.jsonl"
    manifest.write_text(manifest.read_text() + manifest.read_text().splitlines(keepends=True)[0])
    fetched_again = snakemake_mine(project).stdout
    assert "rule mine_source:" in fetched_again
    assert "Nothing to be done" in snakemake_mine(project).stdout
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
    assert snakemake_mine(project).returncode == 0
    assert contents(results) == first


def contents(results: Path) -> dict[str, bytes]:
    files = [
        path for path in results.rglob("*") if path.suffix in {".parquet", ".csv", ".html", ".svg", ".png"}
    ]
    return {str(path.relative_to(results)): path.read_bytes() for path in files}


def test_unfinished_archive_says_how_to_go_on_and_leaves_nothing(project: Path) -> None:
    configure(project)
    archive_of_real_addresses(project / "data/raw", ["github"])
    manifest = project / "data/raw/github/_threads/manifest.jsonl"
    manifest.write_text("".join(manifest.read_text().splitlines(keepends=True)[:-1]))
    finished = snakemake_mine(project)
    assert finished.returncode != 0
    log = (project / "results/mining/logs/mine_source/github.log").read_text()
    assert "was not fetched yet; set GITHUB_TOKEN, or run `attention-faults mine --anonymous` first" in log
    assert "Traceback" not in log
    assert not list((project / "results/mining").rglob("*github*.parquet"))
    forum = (project / "results/mining/logs/mine_source/huggingface_forum.log").read_text()
    assert "cannot reach discuss.huggingface.co" in forum
