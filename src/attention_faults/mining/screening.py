"""From the threads of all sources to one table of candidates, in memory that does not grow with them.

DuckDB does it on disk. The table holds every thread that was found, with the first reason that speaks against
it, so that nothing is lost on the way.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pycld2
from duckdb.func import PythonUDFType

from attention_faults import files
from attention_faults.mining import deduplication, table, text
from attention_faults.mining.criteria import Criteria

DUPLICATES = ("same_url", "cross_post", "fixing_pull_request", "near_duplicate")
SCREENS = ("bot", "too_short", "too_long", "off_topic", "no_resolution", "language")
REASONS = DUPLICATES + SCREENS  # in the order in which they are looked at
MEMORY = "1GB"
THREADS = 2
ROW_GROUP = 10_000
LOOKED_AT = 3000  # characters of prose: enough to tell the language

EVIDENCE = """
CASE WHEN fix_url IS NOT NULL THEN 'linked_fix' WHEN state = 'merged' THEN 'merged'
WHEN has_accepted_answer THEN 'accepted_answer' WHEN state = 'closed' THEN 'closed' ELSE '' END
"""
# code is no language: fenced, quoted, addresses, and words that no prose has
CODE = r"(?s:```.*?(?:```|\z))|`[^`\n]*`|https?://\S+|\S*[_=(){}\[\]<>/\\:|][^\s]*|\S*\d\S*"


def screen(
    sources: Sequence[Path],
    output: Path,
    *,
    criteria: Criteria,
    keywords: Sequence[str],
    folder: Path | None = None,
) -> None:
    """Write the candidate table of some files of threads.

    The columns are those of `mining.table`, then `evidence` (what says that the fault was resolved), `kept`,
    `reason` (one of REASONS; null if kept) and `duplicate_of` (address of the thread that stays in its
    place).
    A row a thread and query that found it, by address; equal threads give equal bytes, in whatever order and
    files they come.

    Args:
        sources: Parquet files as `mining.table` writes them.
        output: Parquet file.
        criteria: what a candidate must satisfy.
        keywords: phrases that `criteria.keywords` counts.
        folder: for what does not fit in memory: about the size of the sources; by default the system's.
    """
    with _database(folder) as database:
        _look(database, sources, criteria, keywords)
        deduplication.drop_equal_addresses(database)
        deduplication.drop_cross_posts(database)
        deduplication.drop_fixing_pull_requests(database)
        if criteria.near_duplicates is not None:
            deduplication.drop_near_duplicates(database, criteria.near_duplicates)
        _drop_unfit(database, criteria)
        if criteria.languages:
            _drop_other_languages(database, criteria.languages)
        with files.replacing(output) as target:
            _write(database, target)


@contextmanager
def _database(folder: Path | None) -> Iterator[duckdb.DuckDBPyConnection]:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "threads": THREADS,
            "temp_directory": place,
            "autoinstall_known_extensions": False,  # it would ask the network
        }
        with duckdb.connect(f"{place}/screening.duckdb", config=config) as database:
            database.execute("SET enable_progress_bar = false")
            yield database


def _look(
    database: duckdb.DuckDBPyConnection, sources: Sequence[Path], criteria: Criteria, keywords: Sequence[str]
) -> None:
    """Make the tables: what is known of each thread, in few bytes, by preference."""
    database.execute(deduplication.WORDS)
    paths = ", ".join(_quoted(str(path)) for path in sources)
    database.execute(f"""
        CREATE VIEW post AS
        SELECT (file_index::BIGINT << 32) | file_row_number AS row, * FROM read_parquet([{paths}])
    """)  # noqa: S608 (quoted)
    pattern = _quoted(rf"\b(?:{text.any_of(word.lower() for word in keywords)})\b")
    named = f"regexp_extract_all(lower(title || ' ' || body), {pattern})"
    found = rf"len(list_distinct(list_transform({named}, lambda s: regexp_replace(s, '\s+', ' ', 'g'))))"
    # resolved before unresolved, what was seen before how it was mended, the earlier one; then whatever tells
    # equal addresses apart
    database.execute(f"""
        CREATE TABLE thread AS
        SELECT row_number() OVER (
            ORDER BY evidence = '', evidence = 'closed', kind = 'pull_request', author_is_bot, created, url,
            updated DESC NULLS LAST, query, digest
        ) AS rank, row, url, kind, fix_url, title_key, evidence,
        CASE WHEN author_is_bot THEN 'bot'
             WHEN untitled OR characters < {criteria.characters.least} THEN 'too_short'
             WHEN characters > {criteria.characters.most} THEN 'too_long'
             WHEN found < {criteria.keywords} THEN 'off_topic' END AS unfit
        FROM (
            SELECT row, url, kind, fix_url, author_is_bot, created, updated, query, {EVIDENCE} AS evidence,
            hash(words(title)) AS title_key, hash({", ".join(table.SCHEMA.names)}) AS digest,
            title = '' AS untitled, length(title) + length(body) AS characters, {found} AS found
            FROM post
        )
    """)  # noqa: S608 (numbers and quoted)
    database.execute("CREATE TABLE dropped (rank BIGINT, reason VARCHAR, original BIGINT)")
    database.execute("CREATE VIEW kept AS SELECT * FROM thread ANTI JOIN dropped USING (rank)")


def _drop_unfit(database: duckdb.DuckDBPyConnection, criteria: Criteria) -> None:
    asked = ", ".join(_quoted(evidence) for evidence in criteria.evidence) or "evidence"
    database.execute(f"""
        INSERT INTO dropped
        SELECT rank, reason, NULL FROM (
            SELECT rank,
                coalesce(unfit, CASE WHEN evidence NOT IN ({asked}) THEN 'no_resolution' END) AS reason
            FROM kept
        ) WHERE reason IS NOT NULL
    """)  # noqa: S608 (quoted)


def _drop_other_languages(database: duckdb.DuckDBPyConnection, languages: Sequence[str]) -> None:
    """Drop what is surely written in another language; what nobody can tell stays."""
    database.create_function("language", _languages, ["VARCHAR"], "VARCHAR", type=PythonUDFType.ARROW)
    prose = f"regexp_replace(title || '. ' || body, {_quoted(CODE)}, ' ', 'g')"
    wanted = ", ".join(_quoted(language) for language in languages)
    # a table of its own: a condition on the language would be tried on dropped threads too
    database.execute(f"""
        CREATE TEMP TABLE spoken AS
        SELECT rank, language(left({prose}, {LOOKED_AT})) AS language FROM kept JOIN post USING (row);
        INSERT INTO dropped SELECT rank, 'language', NULL FROM spoken WHERE language NOT IN ('', {wanted});
    """)  # noqa: S608 (quoted)


def _languages(texts: pa.ChunkedArray) -> pa.StringArray:
    """Return the ISO 639 code of each text's language (CLD2), or nothing where it is not sure."""
    codes = []
    for said in texts.to_pylist():
        reliable, _, guesses = pycld2.detect(said)
        codes.append(guesses[0][1] if reliable else "")
    return pa.array(codes, pa.string())


def _write(database: duckdb.DuckDBPyConnection, target: Path) -> None:
    database.execute(f"""
        COPY (
            SELECT post.* EXCLUDE (row), thread.evidence,
                reason IS NULL AS kept, reason, original.url AS duplicate_of
            FROM post JOIN thread USING (row)
            LEFT JOIN dropped ON dropped.rank = thread.rank
            LEFT JOIN thread AS original ON original.rank = dropped.original
            ORDER BY thread.url, thread.rank
        ) TO {_quoted(str(target))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})
    """)  # noqa: S608 (quoted)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
