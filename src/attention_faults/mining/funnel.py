"""How many threads were found, and what became of them, beside how complete each query is."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pandas as pd

from attention_faults.errors import InputError
from attention_faults.mining.screening import DUPLICATES, SCREENS

FOUND, DEDUPLICATED, SCREENED, SAMPLED = STAGES = ("found", "deduplicated", "screened", "sampled")
COMPLETENESS = ["found", "fetched", "unmatched", "truncated", "incomplete", "gone"]


def count(candidates: Path, sample: Path) -> pd.DataFrame:
    """Count the threads of each stage, and those that each reason dropped before the next one.

    Args:
        candidates: table that `screening.screen` wrote.
        sample: table that `sampling.draw` wrote.

    Returns:
        Columns stage, reason (empty for what a stage holds; else why threads were dropped on the way to the
        next one), a column a source, and all.
    """
    with duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False}) as database:
        dropped = database.execute(
            "SELECT source, coalesce(reason, '') AS reason, count(*) AS threads FROM read_parquet(?)"
            " GROUP BY ALL ORDER BY ALL",
            [str(candidates)],
        ).df()
        drawn = database.execute(
            "SELECT source, count(*) AS threads FROM read_parquet(?) GROUP BY ALL ORDER BY ALL", [str(sample)]
        ).df()
    by_reason = dropped.pivot_table(index="reason", columns="source", values="threads", aggfunc="sum")
    by_reason = by_reason.reindex(["", *DUPLICATES, *SCREENS]).fillna(0).astype(int)
    sampled = drawn.set_index("source")["threads"].reindex(by_reason.columns).fillna(0).astype(int)
    held = by_reason.sum()
    rows: list[tuple[str, str, pd.Series]] = [(FOUND, "", held)]
    for stage, before, reasons in ((DEDUPLICATED, FOUND, DUPLICATES), (SCREENED, DEDUPLICATED, SCREENS)):
        rows += [(before, reason, by_reason.T[reason]) for reason in reasons]
        held = held - by_reason.loc[list(reasons)].sum()
        rows.append((stage, "", held))
    rows += [(SCREENED, "not_drawn", held - sampled), (SAMPLED, "", sampled)]
    table = pd.DataFrame([counts for *_, counts in rows]).reset_index(drop=True).rename_axis(columns=None)
    table = table.assign(all=table.sum(axis=1))
    table.insert(0, "stage", [stage for stage, *_ in rows])
    table.insert(1, "reason", [reason for _, reason, _ in rows])
    return table


def completeness(queries: Sequence[Path]) -> pd.DataFrame:
    """Read how complete the queries of all sources are: source, query, and COMPLETENESS; in their order.

    Raises:
        InputError: if a file has other columns.
    """
    tables = []
    for path in queries:
        table = pd.read_csv(path, dtype={"source": str, "query": str}, keep_default_na=False)
        if list(table) != ["source", "query", *COMPLETENESS]:
            raise InputError(f"{path}: expected the columns source, query, {', '.join(COMPLETENESS)}")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def note(queries: pd.DataFrame) -> str:
    """Say in a sentence how complete the queries are; no count of threads is shown without it."""
    sums = queries[COMPLETENESS].sum()
    short = int(((queries["truncated"] > 0) | (queries["incomplete"] > 0)).sum())
    return (
        f"{len(queries):,} queries found {sums['found']:,} threads (some several times) and fetched"
        f" {sums['fetched']:,}: {sums['unmatched']:,} of these do not match, {sums['truncated']:,} are out of"
        f" reach (truncated), {sums['gone']:,} are gone; {sums['incomplete']:,} pages came incomplete."
        f" Queries that are truncated or incomplete: {short:,}."
    )
