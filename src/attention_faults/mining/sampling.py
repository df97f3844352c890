"""How many candidates to label, and which: a seeded sample, stratified in proportion."""

import math
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist

import duckdb
import pandas as pd
from pyarrow import parquet

from attention_faults import files
from attention_faults.mining.criteria import Sample

WORST_SHARE = 0.5  # the share whose estimate varies most


def draw(candidates: Path, output: Path, sample: Sample, seed: int) -> pd.DataFrame:
    """Write the candidates that are to be labelled, and return how they are spread.

    In each stratum, threads come in the order of a hash (MD5) of the seed and their address, and the first
    ones are drawn: the order of the table does not matter, and a larger sample of a stratum holds a smaller.

    Args:
        candidates: table that `screening.screen` wrote.
        output: Parquet file with the columns of `candidates` and `stratum`, in the order of labelling: what
            is labelled first is a sample, too.
        sample: margin, level and strata.
        seed: of the draw.

    Returns:
        A row a stratum and a last one of all: stratum, candidates, sampled, margin (of a share of one half,
        at the level of `sample`).
    """
    stratum = f"concat_ws(' ', {', '.join(sample.strata)}) AS stratum"
    kept = f"SELECT *, {stratum} FROM read_parquet(?) WHERE kept"  # noqa: S608 (names of columns)
    counting = f"SELECT stratum, count(*) FROM ({kept}) GROUP BY stratum ORDER BY stratum"  # noqa: S608
    drawing = f"""
        SELECT drawn.* EXCLUDE (place, key) FROM (
            SELECT *, row_number() OVER (PARTITION BY stratum ORDER BY key, url) AS place
            FROM (SELECT *, md5({seed} || ' ' || url) AS key FROM ({kept}))
        ) AS drawn JOIN allocated USING (stratum) WHERE place <= size ORDER BY key, url
    """  # noqa: S608 (a number, and names of columns)
    with duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False}) as database:
        strata: dict[str, int] = dict(database.execute(counting, [str(candidates)]).fetchall())
        population = sum(strata.values())
        allocated = allocate(strata, size_for(population, sample.margin, sample.level))
        database.execute("CREATE TABLE allocated (stratum VARCHAR, size BIGINT)")
        if allocated:
            database.executemany("INSERT INTO allocated VALUES (?, ?)", list(allocated.items()))
        drawn = database.sql(drawing, params=[str(candidates)]).to_arrow_table()
    with files.replacing(output) as target:
        parquet.write_table(drawn, target, compression="zstd")
    counts = {**{name: (strata[name], allocated[name]) for name in strata}, "all": (population, len(drawn))}
    rows = [(name, *count, margin_of(count[1], count[0], sample.level)) for name, count in counts.items()]
    return pd.DataFrame(rows, columns=["stratum", "candidates", "sampled", "margin"])


def size_for(population: int, margin: float, level: float) -> int:
    """Return how many of a population to draw, so that a share is known to within a margin.

    Cochran (1977), Sampling Techniques, 4.4, for a share of one half, with the correction for a finite
    population and the normal approximation.

    Args:
        population: threads to draw from.
        margin: half width of the interval, a share.
        level: confidence level.

    Raises:
        ValueError: if the margin or the level is not between 0 and 1.
    """
    if not (0 < margin < 1 and 0 < level < 1):
        raise ValueError(f"margin and level must be between 0 and 1, got {margin} and {level}")
    if population <= 1:
        return population
    infinite = _z(level) ** 2 * WORST_SHARE * (1 - WORST_SHARE) / margin**2
    return min(population, math.ceil(infinite / (1 + (infinite - 1) / population)))


def margin_of(size: int, population: int, level: float) -> float:
    """Return the margin that a sample reaches: the inverse of `size_for`; 1 without a sample."""
    if size == 0:
        return 1.0
    if size >= population:
        return 0.0
    correction = (population - size) / (population - 1)
    return min(1.0, _z(level) * math.sqrt(WORST_SHARE * (1 - WORST_SHARE) / size * correction))


def allocate(strata: Mapping[str, int], size: int) -> dict[str, int]:
    """Share a sample out over strata in proportion to their populations, by largest remainders.

    Each stratum that is not empty gets at least one thread where the size allows it; the sum is `size`.

    Args:
        strata: population of each.
        size: of the whole sample, at most the whole population.

    Raises:
        ValueError: if there are fewer threads than asked for.
    """
    population = sum(strata.values())
    if not 0 <= size <= population:
        raise ValueError(f"a sample of {size} cannot be drawn from {population} threads")
    if size == 0:
        return dict.fromkeys(strata, 0)
    # whole numbers throughout: equal input gives an equal sample on every machine
    share = {name: count * size // population for name, count in strata.items()}
    remainder = {name: count * size % population for name, count in strata.items()}
    for name in sorted(strata, key=lambda name: (-remainder[name], name))[: size - sum(share.values())]:
        share[name] += 1
    for name in sorted(strata):
        largest = max(sorted(share), key=lambda other: share[other])
        if strata[name] and not share[name] and share[largest] > 1:
            share[largest] -= 1
            share[name] += 1
    return share


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
