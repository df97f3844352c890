"""Which threads tell what another one tells, found on disk.

Each step drops threads in favour of others that stay, so that at the end every dropped thread names one that
stays. All work on two tables of a DuckDB database: `thread` (one row a thread; `rank` is its place in the
order of preference, `row` its place in the files) and `dropped` (`rank`, `reason`, and the rank of the
`original`); the view `kept` is what was not dropped so far, the view `post` holds `row`, `title` and `body`.
"""

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType
from rensa import RMinHash

SHINGLE = 3  # words
# with a similarity s, a pair meets in one of the bands with probability 1 - (1 - s^ROWS)^BANDS: 0.9998 at 0.8
BANDS = 16
ROWS = 4
SEED = 1
LEAST_BODY = 8  # words: an empty template is no cross-post of another

# lower-case words without what markup and punctuation make of them
WORDS = "CREATE MACRO words(said) AS regexp_extract_all(lower(said), '[\\p{L}\\p{N}]+')"
HASHED = ", ".join(f"words[i + {place}]" for place in range(SHINGLE))
# sets of hashed runs of words; in steps, since an expression that is named twice is computed twice
RUNS = f"""
    SELECT rank, list_distinct(runs) AS runs FROM (
        SELECT rank, list_transform(range(1, len(words) - {SHINGLE - 2}), lambda i: hash({HASHED})) AS runs
        FROM (
            SELECT rank, words(title || ' ' || body) AS words FROM {{threads}} JOIN post USING (row)
        )
    )
"""  # noqa: S608 (numbers of ours)


def drop_equal_addresses(database: duckdb.DuckDBPyConnection) -> None:
    """Drop threads that another query found too."""
    _drop(database, "same_url", "SELECT rank, min(rank) OVER (PARTITION BY url) AS original FROM kept")


def drop_cross_posts(database: duckdb.DuckDBPyConnection) -> None:
    """Drop threads whose title and first post have the words of another's, wherever it was posted."""
    _drop(
        database,
        "cross_post",
        f"""
        WITH suspect AS (
            SELECT rank, row, title_key FROM kept QUALIFY count(*) OVER (PARTITION BY title_key) > 1
        ), said AS MATERIALIZED (
            SELECT rank, title_key, words(body) AS words FROM suspect JOIN post USING (row)
        )
        SELECT rank, min(rank) OVER (PARTITION BY title_key, hash(words)) AS original
        FROM said WHERE len(words) >= {LEAST_BODY}
        """,  # noqa: S608 (a number of ours)
    )


def drop_fixing_pull_requests(database: duckdb.DuckDBPyConnection) -> None:
    """Drop pull requests that fix an issue which is there: the issue says what was seen."""
    _drop(
        database,
        "fixing_pull_request",
        """
        SELECT pull.rank, min(original.rank) AS original
        FROM kept AS pull
        JOIN thread AS issue ON issue.fix_url = pull.url AND issue.kind <> 'pull_request'
        LEFT JOIN dropped ON dropped.rank = issue.rank
        JOIN thread AS original ON original.rank = coalesce(dropped.original, issue.rank)
        WHERE pull.kind = 'pull_request' AND original.kind <> 'pull_request'
        GROUP BY pull.rank
        """,
    )


def drop_near_duplicates(database: duckdb.DuckDBPyConnection, similarity: float) -> None:
    """Drop threads that share most runs of words with another.

    Pairs that meet in a band of MinHash (Broder 1997; banding as in Leskovec, Rajaraman & Ullman, Mining of
    Massive Datasets, 3.4) are compared exactly; duplicates of duplicates are duplicates. In a band, a thread
    is compared with the first and with the previous one only, so that a template that thousands have filled
    in does not cost their square.

    Args:
        database: as above.
        similarity: Jaccard similarity of the sets of runs from which on two threads are the same.
    """
    database.create_function("bands", bands, ["UBIGINT[]"], "UBIGINT[]", type=PythonUDFType.ARROW)
    runs = RUNS.format(threads="kept")
    database.execute(f"CREATE TEMP TABLE signature AS SELECT rank, bands(runs) AS bands FROM ({runs})")  # noqa: S608
    database.execute("CREATE TEMP TABLE met (rank BIGINT, other BIGINT)")
    for band in range(1, BANDS + 1):
        database.execute(f"""
            INSERT INTO met
            SELECT rank, unnest(list_distinct([first, previous])) FROM (
                SELECT rank, min(rank) OVER same AS first, lag(rank) OVER (same ORDER BY rank) AS previous
                FROM signature WHERE len(bands) > 0 WINDOW same AS (PARTITION BY bands[{band}])
            ) WHERE first < rank
        """)  # noqa: S608 (a number of ours)
    database.execute("DROP TABLE signature")
    asked = "(SELECT * FROM thread WHERE rank IN (SELECT rank FROM met UNION SELECT other FROM met))"
    database.execute(f"CREATE TEMP TABLE run AS {RUNS.format(threads=asked)}")
    database.execute(
        """
        CREATE TEMP TABLE edge AS
        SELECT rank, other FROM (
            SELECT rank, other, a.runs AS a, b.runs AS b, len(list_intersect(a.runs, b.runs)) AS shared
            FROM (SELECT DISTINCT * FROM met)
            JOIN run AS a USING (rank) JOIN run AS b ON b.rank = other
        ) WHERE shared >= ? * (len(a) + len(b) - shared)
        """,
        [similarity],
    )
    _join_components(database)
    _drop(database, "near_duplicate", "SELECT rank, root AS original FROM label")
    for table in ("met", "run", "edge", "label"):
        database.execute(f"DROP TABLE {table}")


def bands(column: pa.ChunkedArray) -> pa.ListArray:
    """Return the hash of each band of each set's MinHash signature; of an empty set, nothing."""
    runs = column.combine_chunks()
    sizes = runs.value_lengths().to_numpy(zero_copy_only=False)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        runs.flatten().to_numpy(), np.concatenate([[0], sizes.cumsum()]).astype(np.uint64), BANDS * ROWS, SEED
    )
    signatures = np.array(matrix.to_rows(), dtype=np.uint64)[sizes > 0].reshape(-1, ROWS)
    mixed = np.zeros(len(signatures), dtype=np.uint64)
    for value in signatures.T:
        mixed = (mixed ^ value) * np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing
        mixed ^= mixed >> np.uint64(29)
    ends = np.concatenate([[0], (BANDS * (sizes > 0)).cumsum()]).astype(np.int32)
    return pa.ListArray.from_arrays(ends, pa.array(mixed))


def _join_components(database: duckdb.DuckDBPyConnection) -> None:
    """Make `label`: for every thread with an edge, the first one that it hangs together with."""
    database.execute(
        "CREATE TEMP TABLE tie AS SELECT rank, other FROM edge UNION ALL SELECT other, rank FROM edge"
    )
    database.execute("CREATE TEMP TABLE label AS SELECT DISTINCT rank, rank AS root FROM tie")
    changed = 1
    while changed:
        database.execute("""
            CREATE TEMP TABLE nearer AS
            SELECT rank, least(any_value(label.root), min(neighbour.root)) AS root
            FROM label JOIN tie USING (rank) JOIN label AS neighbour ON neighbour.rank = other
            GROUP BY rank
        """)
        database.execute("""
            CREATE TEMP TABLE jumped AS
            SELECT nearer.rank, target.root FROM nearer JOIN nearer AS target ON target.rank = nearer.root
        """)
        (changed,) = database.execute(
            "SELECT count(*) FROM jumped JOIN label USING (rank) WHERE jumped.root <> label.root"
        ).fetchone() or (0,)
        database.execute("DROP TABLE label; DROP TABLE nearer; ALTER TABLE jumped RENAME TO label")
    database.execute("DROP TABLE tie")


def _drop(database: duckdb.DuckDBPyConnection, reason: str, found: str) -> None:
    """Drop the threads whose `original` is another, and let those that named them name it too."""
    database.execute(f"""
        INSERT INTO dropped SELECT rank, '{reason}', original FROM ({found}) WHERE rank <> original
    """)  # noqa: S608 (from above)
    database.execute("""
        UPDATE dropped SET original = next.original
        FROM dropped AS next WHERE next.rank = dropped.original AND next.original IS NOT NULL
    """)
