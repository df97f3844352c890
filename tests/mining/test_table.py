"""Threads survive the way through their file."""

from datetime import UTC, datetime
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_faults.mining import table, text
from attention_faults.mining.thread import Thread

TEXT = st.text(max_size=30).map(text.plain)
WHEN = st.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
THREADS = st.builds(
    Thread,
    url=TEXT,
    project=TEXT,
    title=TEXT,
    body=TEXT,
    discussion=TEXT,
    labels=st.lists(TEXT, max_size=3).map(tuple),
    author=TEXT,
    author_is_bot=st.booleans(),
    created=WHEN,
    updated=st.none() | WHEN,
    closed=st.none() | WHEN,
    comments=st.integers(0, 2**31 - 1),
    has_accepted_answer=st.booleans(),
    fix_url=st.none() | TEXT,
    query=TEXT,
)


@settings(deadline=None, max_examples=30)
@given(threads=st.lists(THREADS, max_size=5))
def test_threads_are_read_as_they_were_written(
    threads: list[Thread], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("threads")
    assert table.write(threads, folder / "a.parquet") == len(threads)
    assert list(table.read(folder / "a.parquet")) == threads
    table.write(threads, folder / "b.parquet")
    assert (folder / "a.parquet").read_bytes() == (folder / "b.parquet").read_bytes()


def test_columns_are_the_fields_of_a_thread() -> None:
    assert table.SCHEMA.names == list(get_type_hints(Thread))
