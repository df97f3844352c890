"""Threads as a Parquet file: what mining writes, and screening reads with any engine."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from attention_faults import files
from attention_faults.mining.thread import Thread

BATCH = 1000  # threads in memory at once

_WHEN = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("project", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("body", pa.string(), nullable=False),
        pa.field("discussion", pa.string(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("author", pa.string(), nullable=False),
        pa.field("author_is_bot", pa.bool_(), nullable=False),
        pa.field("created", _WHEN, nullable=False),
        pa.field("updated", _WHEN),
        pa.field("closed", _WHEN),
        pa.field("state", pa.string(), nullable=False),
        pa.field("comments", pa.int32(), nullable=False),
        pa.field("has_accepted_answer", pa.bool_(), nullable=False),
        pa.field("fix_url", pa.string()),
        pa.field("query", pa.string(), nullable=False),
    ]
)


def write(threads: Iterable[Thread], path: Path) -> int:
    """Write threads in their order, and return how many; equal threads give equal bytes."""
    count = 0
    with files.replacing(path) as target, parquet.ParquetWriter(target, SCHEMA, compression="zstd") as writer:
        rest = iter(threads)
        while batch := list(islice(rest, BATCH)):
            writer.write_table(pa.Table.from_pylist([asdict(thread) for thread in batch], SCHEMA))
            count += len(batch)
    return count


def read(path: Path) -> Iterator[Thread]:
    """Yield the threads of a file, a batch at a time."""
    with parquet.ParquetFile(path) as table:
        for batch in table.iter_batches(BATCH):
            for row in batch.to_pylist():
                yield Thread(**row | {"labels": tuple(row["labels"])})
