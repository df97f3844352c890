"""Which faults show in the task metric: mutant validity, in the sense of mutation testing.

A mutant (subject, operator, place, severity) is trained with several seeds, each beside a clean run of the
same seed. This is a screen of each mutant alone, not corrected for their number; the false-kill rate of clean
runs stands beside it, and adjusted p-values beside the raw ones.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, permutation_test

MUTANT = ["subject", "operator", "place", "severity"]
LEVEL = 0.05
LEAST_DROP = 0.01  # of accuracy: one point
LEAST_SEEDS = 5  # with fewer, no sign-flip test reaches the level: 2^-4 > 0.05

KILLED, SURVIVING, CRASHED, UNDECIDED = "killed", "surviving", "crashed", "undecided"

Floats = NDArray[np.float64]


def sign_flip_p(drops: Floats) -> float:
    """Exact one-sided sign-flip test that the mean of paired differences is positive (Fisher 1935, 21).

    Args:
        drops: clean minus faulty metric of each seed, shape (seeds,), 2 to 20: all 2^seeds flips are tried.

    Raises:
        ValueError: if there are fewer, or too many for an exact test.
    """
    if not 2 <= len(drops) <= 20:
        raise ValueError(f"an exact sign-flip test takes 2 to 20 differences, got {len(drops)}")
    result = permutation_test(
        (drops,),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=2**20,
        vectorized=True,
    )
    return float(result.pvalue)


def screen(mutants: pd.DataFrame, clean: pd.DataFrame) -> pd.DataFrame:
    """Judge every mutant.

    Args:
        mutants: one row a faulty run: subject, operator, place, severity, seed, accuracy, outcome.
        clean: one row a clean run with a seed of the mutants: subject, seed, accuracy.

    Returns:
        One row a mutant: its key, seeds, crashed (runs), mean_drop, p, p_bh (Benjamini-Hochberg over the
        mutants that have a p) and verdict: `crashed` if any run did, `undecided` with fewer than 5 seeds,
        `killed` if p <= 0.05 and the mean drop is at least one point, else `surviving`.

    Raises:
        ValueError: if a finished faulty run has no clean run of its subject and seed.
    """
    paired = mutants.merge(
        clean[["subject", "seed", "accuracy"]], on=["subject", "seed"], how="left", suffixes=("", "_clean")
    )
    finished = paired["outcome"] == "finished"
    if paired.loc[finished, "accuracy_clean"].isna().any():
        raise ValueError("a faulty run has no clean run of the same subject and seed")
    rows = []
    for key, runs in paired.groupby(MUTANT, sort=False):
        whole = runs[runs["outcome"] == "finished"]
        drops = (whole["accuracy_clean"] - whole["accuracy"]).to_numpy(float)
        crashed = len(runs) - len(whole)
        testable = crashed == 0 and len(drops) >= LEAST_SEEDS
        p = sign_flip_p(drops) if testable else np.nan
        mean_drop = drops.mean() if len(drops) else np.nan
        rows.append([*key, len(runs), crashed, mean_drop, p, _verdict(crashed, testable, p, mean_drop)])
    table = pd.DataFrame(rows, columns=[*MUTANT, "seeds", "crashed", "mean_drop", "p", "verdict"])
    tested = table["p"].notna()
    table.loc[tested, "p_bh"] = false_discovery_control(table.loc[tested, "p"])
    return table


def _verdict(crashed: int, testable: bool, p: float, mean_drop: float) -> str:
    if crashed:
        return CRASHED
    if not testable:
        return UNDECIDED
    return KILLED if p <= LEVEL and mean_drop >= LEAST_DROP else SURVIVING


def mutation_score(screened: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Count verdicts by some columns; the score is the killed share of killed and surviving, if any."""
    verdicts = pd.Categorical(screened["verdict"], categories=[KILLED, SURVIVING, CRASHED, UNDECIDED])
    counts = pd.crosstab([screened[name] for name in by], verdicts, dropna=False).reset_index()
    counts.columns.name = None
    decided = counts[KILLED] + counts[SURVIVING]
    return counts.assign(mutation_score=counts[KILLED] / decided.where(decided > 0))


def false_kill_rate(negatives: Floats, references: Floats, *, seeds: int, draws: int, seed: int) -> float:
    """Share of screens that kill a clean mutant.

    Args:
        negatives: accuracies of clean runs that play the mutant.
        references: accuracies of other clean runs that play its partners.
        seeds: pairs in each screen.
        draws: random pairings, each without replacement.
        seed: of the pairings.

    Raises:
        ValueError: if there are fewer runs than pairs.
    """
    if min(len(negatives), len(references)) < seeds:
        raise ValueError(f"{seeds} pairs need as many negatives and references")
    generator = np.random.default_rng(seed)
    killed = 0
    for _ in range(draws):
        drops = generator.choice(references, seeds, replace=False) - generator.choice(
            negatives, seeds, replace=False
        )
        killed += bool(drops.mean() >= LEAST_DROP and sign_flip_p(drops) <= LEVEL)
    return killed / draws
