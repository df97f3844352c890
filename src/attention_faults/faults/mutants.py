"""Which faults show in the task metric: mutant validity, in the sense of mutation testing.

A mutant (model, operator, place, severity) is trained with several seeds, each beside a clean run of the
same seed. This is a screen of each mutant alone, not corrected for their number; the false-kill rate of clean
runs stands beside it, and adjusted p-values beside the raw ones.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, permutation_test

from attention_faults.faults.campaign import FAULTY, MATCHED, NEGATIVE, REFERENCE
from attention_faults.subjects.training import FINISHED

MUTANT = ["model", "operator", "place", "severity"]
LEVEL = 0.05
LEAST_DROP = 0.01  # of accuracy: one point
LEAST_SEEDS = 5  # with fewer, no sign-flip test reaches the level: 2^-4 > 0.05

DRAWS = 500  # of pairings, for the false-kill rate

VERDICTS = KILLED, SURVIVING, CRASHED, UNDECIDED = ["killed", "surviving", "crashed", "undecided"]

Floats = NDArray[np.float64]


def sign_flip_p(
    differences: Floats,
    *,
    alternative: Literal["greater", "two-sided"] = "greater",
    draws: int = 2**20,
    seed: int = 0,
) -> float:
    """Sign-flip test that the mean of paired differences is zero (Fisher 1935, 21).

    Args:
        differences: shape (pairs,), at least 2.
        alternative: that the mean is positive, or only that it is not zero.
        draws: flips; all 2^pairs are tried, and the test is exact, where that is no more.
        seed: of the flips, where not all are tried.

    Raises:
        ValueError: if there are fewer differences.
    """
    if len(differences) < 2:
        raise ValueError(f"a sign-flip test takes at least 2 differences, got {len(differences)}")
    # whole numbers have exact sums: flips that tie with what was observed must count
    result = permutation_test(
        (np.rint(differences * 1e9),),
        np.sum,
        permutation_type="samples",
        alternative=alternative,
        n_resamples=draws,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)


def paired_drops(runs: pd.DataFrame) -> pd.DataFrame:
    """Pair every faulty run with the clean run of its seed.

    Args:
        runs: as from `execution.read_runs`; the partners are those of kind `matched`.

    Returns:
        One row a faulty run: the key of its mutant, seed, outcome, drop (clean minus faulty accuracy; missing
        if it crashed).

    Raises:
        ValueError: if a faulty run has no clean run of its model and seed.
    """
    clean = runs.loc[runs["kind"] == MATCHED, ["model", "seed", "accuracy"]]
    faulty = runs[runs["kind"] == FAULTY]
    paired = faulty.merge(clean, on=["model", "seed"], how="left", suffixes=("", "_clean"))
    if paired["accuracy_clean"].isna().any():
        raise ValueError("a faulty run has no clean run of the same model and seed")
    return paired.assign(drop=paired["accuracy_clean"] - paired["accuracy"])[
        [*MUTANT, "seed", "outcome", "drop"]
    ]


def screen(drops: pd.DataFrame) -> pd.DataFrame:
    """Judge every mutant.

    Args:
        drops: as from `paired_drops`.

    Returns:
        One row a mutant: its key, seeds, crashed (runs), mean_drop, p, p_bh (Benjamini-Hochberg over the
        mutants that have a p), verdict: `crashed` if any run did, `undecided` with fewer than 5 seeds,
        `killed` if p <= 0.05 and the mean drop is at least one point, else `surviving`; and verdict_bh, the
        same with p_bh.
    """
    rows = []
    for key, runs in drops.groupby(MUTANT, sort=False):
        finished = runs.loc[runs["outcome"] == FINISHED, "drop"].to_numpy(float)
        crashed = len(runs) - len(finished)
        testable = crashed == 0 and len(finished) >= LEAST_SEEDS
        p = sign_flip_p(finished) if testable else np.nan
        mean_drop = finished.mean() if len(finished) else np.nan
        rows.append([*key, len(runs), crashed, mean_drop, p])
    table = pd.DataFrame(rows, columns=[*MUTANT, "seeds", "crashed", "mean_drop", "p"])
    tested = table["p"].notna()
    adjusted = pd.Series(np.nan, index=table.index)
    if tested.any():
        adjusted[tested] = false_discovery_control(table.loc[tested, "p"].to_numpy(float))
    table["p_bh"] = adjusted
    return table.assign(verdict=_verdicts(table, "p"), verdict_bh=_verdicts(table, "p_bh"))


def _verdicts(table: pd.DataFrame, p: str) -> NDArray[np.str_]:
    killed = (table[p] <= LEVEL) & (table["mean_drop"] >= LEAST_DROP)
    conditions = [table["crashed"] > 0, table[p].isna(), killed]
    return np.select(conditions, [CRASHED, UNDECIDED, KILLED], SURVIVING)


def mutation_scores(screened: pd.DataFrame, false_kills: Mapping[str, float]) -> pd.DataFrame:
    """Count verdicts by operator, category, model and site.

    Args:
        screened: as from `screen`, with the category of each operator.
        false_kills: false-kill rate of each model.

    Returns:
        One row a label: by, label, killed, surviving, crashed, undecided, killed_bh, mutation_score (the
        killed share of killed and surviving, if any) and false_kill_rate (mean over the mutants' models).
    """
    sites = screened["model"] + ": " + screened["place"].where(screened["place"] != "", "training")
    frame = screened.assign(site=sites, false_kill_rate=screened["model"].map(false_kills).astype(float))
    parts = []
    for by in ("operator", "category", "model", "site"):
        verdicts = pd.Categorical(frame["verdict"], categories=VERDICTS)
        counts = pd.crosstab(frame[by], verdicts, dropna=False).rename_axis("label").reset_index()
        counts.columns.name = None
        decided = counts[KILLED] + counts[SURVIVING]
        score = counts[KILLED] / decided.where(decided > 0)
        rate = counts["label"].map(frame.groupby(by)["false_kill_rate"].mean())
        adjusted = counts["label"].map((frame["verdict_bh"] == KILLED).groupby(frame[by]).sum())
        counts.insert(0, "by", by)
        parts.append(counts.assign(killed_bh=adjusted, mutation_score=score, false_kill_rate=rate))
    return pd.concat(parts, ignore_index=True)


def false_kill_rate(negatives: Floats, references: Floats, *, seeds: int, draws: int, seed: int) -> float:
    """Share of screens that kill a clean mutant.

    Args:
        negatives: accuracies of clean runs that play the mutant.
        references: accuracies of other clean runs that play its partners.
        seeds: pairs in each screen.
        draws: random pairings, each without replacement.
        seed: of the pairings.

    Returns:
        The share; NaN if there are fewer runs than pairs, or too few pairs for any verdict.
    """
    if seeds < LEAST_SEEDS or min(len(negatives), len(references)) < seeds:
        return np.nan
    generator = np.random.default_rng(seed)
    killed = 0
    for _ in range(draws):
        drops = generator.choice(references, seeds, replace=False) - generator.choice(
            negatives, seeds, replace=False
        )
        killed += bool(drops.mean() >= LEAST_DROP and sign_flip_p(drops) <= LEVEL)
    return killed / draws


def false_kill_rates(runs: pd.DataFrame, seed: int) -> dict[str, float]:
    """Return the false-kill rate of each model: its negatives in place of mutants, with as many seeds.

    Args:
        runs: as from `execution.read_runs`.
        seed: of the pairings.
    """
    rates = {}
    for model, ours in runs.groupby("model", sort=False):
        accuracy = {kind: part["accuracy"].to_numpy(float) for kind, part in ours.groupby("kind")}
        none = np.empty(0)
        rates[str(model)] = false_kill_rate(
            accuracy.get(NEGATIVE, none),
            accuracy.get(REFERENCE, none),
            seeds=len(accuracy.get(MATCHED, none)),
            draws=DRAWS,
            seed=seed,
        )
    return rates


def clean_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Summarise the clean runs.

    Args:
        runs: as from `execution.read_runs`.

    Returns:
        One row a model and kind: model, data (`synthetic` or `real`), kind, runs, and the mean, standard
        deviation and least value of accuracy and macro F1.
    """
    clean = runs[runs["operator"] == ""].assign(
        data=np.where(runs.loc[runs["operator"] == "", "synthetic"], "synthetic", "real")
    )
    groups = clean.groupby(["model", "data", "kind"], sort=False)
    table = groups.agg(
        runs=("seed", "size"),
        **{
            f"{name}_{statistic}": (name, function)
            for name in ("accuracy", "macro_f1")
            for statistic, function in (("mean", "mean"), ("sd", "std"), ("least", "min"))
        },
    )
    return table.reset_index()
