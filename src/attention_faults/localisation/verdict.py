"""The answer to whether Hessian metrics find the blocks at fault better than gradients (docs/protocol.md)."""

from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from statsmodels.stats.multitest import multipletests

from attention_faults.faults.mutants import sign_flip_p
from attention_faults.localisation.evaluation import Redrawn
from attention_faults.localisation.rankers import EQUAL_COST, GRADIENT, GRADIENT_NORM, HESSIAN
from attention_faults.localisation.ranking import Floats
from attention_faults.taxonomy.resampling import percentile_interval

PRIMARY = ("han", "cnn3d", "distilbert")  # the models of the paper
LEVEL = 0.05
EXACT_UNITS = 16
BEST_TRIVIAL = "best trivial baseline"
TRIVIAL = ("random", "parameter_count", "weight_norm", "weight_change", "fault_frequency")
ALL = "all three models"
YES, NO, NOT_SHOWN = "yes", "no", "not shown"


def judge(redrawn: Iterable[Redrawn], *, permutations: int, level: float, seed: int) -> pd.DataFrame:
    """Compare the Hessian aggregate with gradients and with baselines.

    Args:
        redrawn: of every model that has faults with a place.
        permutations: of the sign-flip test, beyond 16 units.
        level: of the intervals.
        seed: of the flips.

    Returns:
        One row a comparison: scope (the three models of the protocol, each model, and the three without one),
        role (`primary`, `secondary`, `exploratory`), comparator, units, hessian_mrr, comparator_mrr,
        difference with its interval, relative difference with its interval, p (of the sign-flip test), p_holm
        (over the secondary family), rank_biserial, and verdict, in the first row alone: the primary endpoint.
        Models whose curvature could not be measured are not compared.
    """
    models = {part.model: part for part in redrawn if HESSIAN.name in part.point}
    missing = [name for name in PRIMARY if name not in models]
    scopes: dict[str, list[Redrawn]] = {}
    if not missing:
        scopes[ALL] = [models[name] for name in PRIMARY]
    scopes |= {name: [part] for name, part in models.items()}
    if not missing:
        scopes |= {f"without {name}": [models[n] for n in PRIMARY if n != name] for name in PRIMARY}
    rows = []
    for scope, parts in scopes.items():
        for comparator in (GRADIENT_NORM.name, GRADIENT.name, BEST_TRIVIAL, EQUAL_COST.name, *TRIVIAL):
            row = compare(parts, comparator, permutations=permutations, level=level, seed=seed)
            rows.append({"scope": scope, "role": _role(scope, comparator), **row})
    table = pd.DataFrame(rows)
    secondary = table["role"] == "secondary"
    table["p_holm"] = np.nan
    if secondary.any():
        table.loc[secondary, "p_holm"] = multipletests(table.loc[secondary, "p"], method="holm")[1]
    table["verdict"] = ""
    if missing:
        none = {"scope": ALL, "role": "primary", "verdict": f"none: the study lacks {', '.join(missing)}"}
        return pd.concat([pd.DataFrame([none]), table], ignore_index=True)[list(table.columns)]
    table.loc[0, "verdict"] = answer(table.iloc[:3])
    return table


def _role(scope: str, comparator: str) -> str:
    if scope != ALL:
        return "exploratory"
    if comparator == GRADIENT_NORM.name:
        return "primary"
    secondary = (GRADIENT.name, BEST_TRIVIAL, EQUAL_COST.name)
    return "secondary" if comparator in secondary else "exploratory"


def answer(three: pd.DataFrame) -> str:
    """Give the verdict.

    Args:
        three: the differences from the gradient norm (with its p), the gradient aggregate and the best
            trivial baseline, with columns difference, low, high, p.
    """
    if (three["high"].iloc[:2] < 0).any():
        return NO
    significant = three["p"].iloc[0] <= LEVEL and three["difference"].iloc[0] > 0
    return YES if significant and (three["low"] > 0).all() else NOT_SHOWN


def compare(
    parts: Sequence[Redrawn], comparator: str, *, permutations: int, level: float, seed: int
) -> dict[str, object]:
    """Compare the Hessian aggregate with one ranker, or the best of the trivial ones, over some models."""
    ours, our_draws = _endpoint(parts, HESSIAN.name)
    names = TRIVIAL if comparator == BEST_TRIVIAL else (comparator,)
    points = [_endpoint(parts, name)[0] for name in names]
    best = names[int(np.argmax(points))]
    theirs = max(points)
    their_draws = np.max([_endpoint(parts, name)[1] for name in names], axis=0)
    differences = np.stack([_differences(parts, name) for name in names], axis=1)
    ends = np.column_stack([our_draws - their_draws, our_draws / their_draws - 1])
    (low, relative_low), (high, relative_high) = percentile_interval(ends, level)
    units = len(differences)
    draws = 2**EXACT_UNITS if units <= EXACT_UNITS else permutations
    return {
        "comparator": comparator if comparator == best else f"{comparator}: {best}",
        "units": units,
        "hessian_mrr": ours,
        "comparator_mrr": theirs,
        "difference": ours - theirs,
        "low": low,
        "high": high,
        "relative": ours / theirs - 1,
        "relative_low": relative_low,
        "relative_high": relative_high,
        "p": selected_p(differences, names.index(best), draws=draws, seed=seed) if units > 1 else np.nan,
        "rank_biserial": rank_biserial(differences[:, names.index(best)]),
    }


def selected_p(differences: Floats, chosen: int, *, draws: int, seed: int) -> float:
    """Sign-flip test of one comparator that was chosen among several after the fact.

    A flip turns the differences of a unit from all comparators; the largest mean of each flip is held against
    the one observed (max-T; Westfall and Young 1993). With one comparator it is the plain test.

    Args:
        differences: (units, comparators), at least 2 units.
        chosen: number of the comparator.
        draws: flips; all 2^units are tried, and the test is exact, where that is no more.
        seed: of the flips, where not all are tried.
    """
    if differences.shape[1] == 1:
        return sign_flip_p(differences[:, 0], alternative="two-sided", draws=draws, seed=seed)
    units = len(differences)
    whole = np.rint(differences * 1e9)  # whole numbers have exact sums: ties must count
    exact = 2**units <= draws
    signs = (
        np.array(list(product((1.0, -1.0), repeat=units)))
        if exact
        else np.random.default_rng(seed).choice((1.0, -1.0), size=(draws, units))
    )
    as_large = np.abs(signs @ whole).max(axis=1) >= np.abs(whole[:, chosen].sum())
    return float(as_large.mean() if exact else (as_large.sum() + 1) / (draws + 1))


def _endpoint(parts: Sequence[Redrawn], ranker: str) -> tuple[float, Floats]:
    """Mean over models of the mean over units: as measured, and of each draw."""
    return float(np.mean([part.mean(ranker) for part in parts])), np.mean(
        [part.means(ranker) for part in parts], axis=0
    )


def _differences(parts: Sequence[Redrawn], comparator: str) -> Floats:
    """Differences of units from a comparator, such that their mean is that of the models' means."""
    units = sum(len(part.units) for part in parts)
    return np.concatenate(
        [
            (part.point[HESSIAN.name] - part.point[comparator]) * units / (len(parts) * len(part.units))
            for part in parts
        ]
    )


def rank_biserial(differences: Floats) -> float:
    """Paired rank-biserial correlation (Kerby 2014): favourable minus unfavourable share of signed ranks.

    Pairs without a difference are left out; nan if there is no other.
    """
    found = differences[differences != 0]
    if not len(found):
        return float("nan")
    ranks = rankdata(np.abs(found))
    return float((ranks * np.sign(found)).sum() / ranks.sum())


def quantities(table: pd.DataFrame) -> pd.DataFrame:
    """Collect our values of what the claims speak of, indexed by quantity: value, low, high.

    Better than gradients is better than the gradient norm and than the gradient aggregate: of the two
    differences the smaller one is taken.

    Args:
        table: as from `judge`.
    """
    rows = table[(table["scope"] == ALL) & table["comparator"].isin([GRADIENT_NORM.name, GRADIENT.name])]
    rows = rows.dropna(subset="difference").sort_values("difference")
    found = {
        "hessian_minus_gradient": ["difference", "low", "high"],
        "relative_improvement": ["relative", "relative_low", "relative_high"],
    }
    values = {name: rows[columns].iloc[0].tolist() for name, columns in found.items()} if len(rows) else {}
    return pd.DataFrame.from_dict(values, orient="index", columns=["value", "low", "high"], dtype=float)
