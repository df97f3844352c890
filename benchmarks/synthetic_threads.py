"""Write SYNTHETIC threads of all sources, as many as wanted, with duplicates of every kind among them.

Usage: python benchmarks/synthetic_threads.py ROWS FILE.parquet

About a thousand characters each, of sentences drawn from a pool. Nothing in it was written by anybody.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from attention_faults.files import replacing
from attention_faults.mining.table import SCHEMA

CHUNK = 50_000
SENTENCES = 50_000
KEYWORDS = ["attention mask", "kv cache", "position_ids", "qkv", "rotary embedding", "self attention"]
COMMON = "the of a to when with and in is it my for that this on not as error training after we model".split()  # noqa: SIM905
GERMAN = (
    "Beim Training wird die Maske nicht beachtet und der Verlust steigt nach einigen Schritten wieder an. "
)
# shares of the threads
SAME_URL, CROSS_POST, FIXING, NEAR = 0.05, 0.03, 0.02, 0.05
BOT, SHORT, GERMANS, RELEVANT, RESOLVED = 0.05, 0.05, 0.05, 0.5, 0.5


def pool(seed: int) -> list[str]:
    """Draw the sentences: twelve words each, some common, some rare."""
    draw = np.random.default_rng(seed)
    rare = np.array([f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdfgklmnprstz"])
    shape = (SENTENCES, 12)
    uncommon = np.char.add(*(rare[draw.integers(0, len(rare), shape)] for _ in range(2)))
    words = np.where(
        draw.random(shape) < 0.6, np.array(COMMON)[draw.integers(0, len(COMMON), shape)], uncommon
    )
    return [" ".join(row).capitalize() + "." for row in words.tolist()]


def synthetic_threads(first: int, rows: int, sentences: list[str], seed: int) -> pa.Table:
    """Draw threads, numbered from `first`; a duplicate follows its original within the chunk."""
    draw = np.random.default_rng([seed, first])
    kind = draw.choice(
        5, rows, p=[SAME_URL, CROSS_POST, FIXING, NEAR, 1 - SAME_URL - CROSS_POST - FIXING - NEAR]
    )
    kind[0] = 4
    chosen = draw.integers(0, SENTENCES, (rows, 13))
    relevant, resolved, bot, short, german = (
        (draw.random(rows) < share).tolist() for share in (RELEVANT, RESOLVED, BOT, SHORT, GERMANS)
    )
    keyword = draw.integers(0, len(KEYWORDS), rows)
    service = draw.choice(4, rows, p=[0.6, 0.1, 0.1, 0.2])
    created = np.datetime64("2018-01-01T00:00:00", "us") + draw.integers(0, 250_000_000, rows).astype(
        "timedelta64[s]"
    )
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    original = 0
    for row in range(rows):
        number = first + row
        source = ("github", "huggingface", "huggingface_forum", "stackexchange")[service[row]]
        url = f"https://synthetic.invalid/{source}/issues/{number}"
        said = [sentences[i] for i in chosen[row]]
        title = f"{said[0][:60]} {number}"
        body = GERMAN * 8 if german[row] else " ".join(said[1 : 3 if short[row] else None])
        if relevant[row]:
            body = f"The {KEYWORDS[keyword[row]]} fails. {body}"
        of, fix, name = columns, f"{url}/fix" if resolved[row] and source == "github" else None, "issue"
        if kind[row] == 4:
            original = row
        elif kind[row] == 3:
            body = f"{of['body'][original]} {said[1][:40]}"
        elif kind[row] == 2:
            url, name = f"{of['url'][original]}/fix", "pull_request"
        elif kind[row] == 1:
            title, body = of["title"][original], f"{of['body'][original]}\n"
        else:
            url, title, body = of["url"][original], of["title"][original], of["body"][original]
        values = {
            "source": source, "url": url, "kind": name, "project": f"synthetic/{number % 997}",
            "title": title,
            "body": body, "discussion": said[2], "labels": ["bug"], "author": f"{number % 100_003:016x}",
            "author_is_bot": bot[row], "created": created[row].item(), "updated": None, "closed": None,
            "state": "closed" if resolved[row] else "open", "comments": 1,
            "has_accepted_answer": resolved[row] and source == "stackexchange", "fix_url": fix,
            "query": "synthetic",
        }  # fmt: skip
        for column, value in values.items():
            columns[column].append(value)
    return pa.table(
        {field.name: pa.array(columns[field.name], field.type) for field in SCHEMA}, schema=SCHEMA
    )


def write(rows: int, path: Path, seed: int = 1) -> None:
    """Write threads chunk by chunk."""
    sentences = pool(seed)
    with replacing(path) as target, parquet.ParquetWriter(target, SCHEMA, compression="zstd") as writer:
        for first in range(0, rows, CHUNK):
            writer.write_table(synthetic_threads(first, min(CHUNK, rows - first), sentences, seed))


if __name__ == "__main__":
    write(int(sys.argv[1]), Path(sys.argv[2]))
