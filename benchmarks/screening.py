"""How long screening takes, and in how much memory, beside pandas doing the same.

Usage: python benchmarks/screening.py [ROWS [PART]]       (default: 5000000 250000)

SYNTHETIC threads of about a thousand characters go through `screening.screen` on two cores, without and with
near-duplicates, and through the same steps written with pandas: equal addresses, cross-posts, fixing pull
requests, bots, length, keywords, evidence and language (near-duplicates are not in pandas). Pandas holds
everything in memory: it gets PART of the rows only.
"""

import re
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import pandas as pd
import pycld2
from cost import of
from pyarrow import parquet
from synthetic_threads import KEYWORDS, write

from attention_faults.mining import screening
from attention_faults.mining.criteria import Criteria, Length

LEAST, MOST = 200, 100_000
EVIDENCE = ["linked_fix", "merged", "accepted_answer"]


def kept(candidates: Path) -> int:
    """Return how many threads were kept."""
    return int(parquet.read_table(candidates, columns=["kept"])["kept"].to_numpy().sum())


def ours(source: Path, output: Path, near_duplicates: float | None) -> int:
    criteria = Criteria(
        near_duplicates=near_duplicates,
        characters=Length(least=LEAST, most=MOST),
        keywords=1,
        evidence=EVIDENCE,  # type: ignore[arg-type]
        languages=["en"],
    )
    screening.screen([source], output, criteria=criteria, keywords=KEYWORDS, folder=output.parent)
    return kept(output)


def with_pandas(source: Path, output: Path) -> int:
    threads = pd.read_parquet(source)
    resolved = threads["fix_url"].notna() | (threads["state"] == "merged") | threads["has_accepted_answer"]
    threads = threads.assign(
        unresolved=~resolved, pull=threads["kind"] == "pull_request", reason=None, duplicate_of=None
    ).sort_values(["unresolved", "pull", "author_is_bot", "created", "url"], ignore_index=True)
    words = {name: threads[name].str.lower().str.findall(r"\w+").str.join(" ") for name in ("title", "body")}
    issues = threads[~threads["pull"]].dropna(subset="fix_url").drop_duplicates("fix_url")
    said = threads["title"] + " " + threads["body"]
    drops = {
        "same_url": threads.duplicated("url"),
        "cross_post": words["title"].str.cat(words["body"], sep="\n").duplicated(),
        "fixing_pull_request": threads["pull"] & threads["url"].isin(issues["fix_url"]),
        "bot": threads["author_is_bot"],
        "too_short": said.str.len() <= LEAST,
        "too_long": said.str.len() > MOST,
        "off_topic": ~said.str.lower().str.contains("|".join(map(re.escape, KEYWORDS))),
        "no_resolution": threads["unresolved"],
    }
    for reason, drop in drops.items():
        threads.loc[threads["reason"].isna() & drop, "reason"] = reason
    left = threads.index[threads["reason"].isna()]
    language = said[left].map(lambda text: pycld2.detect(text)[2][0][1])
    threads.loc[language.index[language != "en"], "reason"] = "language"
    threads.assign(kept=threads["reason"].isna()).sort_values("url").to_parquet(output)
    return kept(output)


def report(name: str, rows: int, work: Callable[[], int]) -> None:
    """Do some work and print what it cost."""
    cost = of(work)
    took = f"{cost.seconds:7.1f} s ({cost.processor:7.1f} s of processor), {cost.peak:7.0f} MiB"
    print(f"{name:35} {rows:9,} rows: {took}, {cost.result:,} kept", flush=True)


def main() -> None:
    rows, part = map(int, (sys.argv[1:] + ["5000000", "250000"][len(sys.argv) - 1 :])[:2])
    with tempfile.TemporaryDirectory() as folder:
        all_of_it, some = Path(folder, "all.parquet"), Path(folder, "part.parquet")
        output = Path(folder, "candidates.parquet")
        write(rows, all_of_it)
        write(part, some)
        print(f"SYNTHETIC threads, {all_of_it.stat().st_size / 1e9:.2f} GB of Parquet", flush=True)
        report("screening without near-duplicates", rows, partial(ours, all_of_it, output, None))
        counted = f"SELECT coalesce(reason, 'kept'), count(*) FROM '{output}' GROUP BY ALL ORDER BY ALL"
        for reason, count in duckdb.execute(counted).fetchall():
            print(f"    {reason:20} {count:9,}", flush=True)
        report("pandas, without near-duplicates", part, partial(with_pandas, some, output))
        report("screening with near-duplicates", part, partial(ours, some, output, 0.8))
        report("screening with near-duplicates", rows, partial(ours, all_of_it, output, 0.8))


if __name__ == "__main__":
    main()
