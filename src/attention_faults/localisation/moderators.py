"""What a gain of the Hessian over the gradient norm goes with, over the faults of a study (exploratory)."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata
from statsmodels.stats.multitest import multipletests

from attention_faults.localisation.evaluation import UNIT, Redrawn, located
from attention_faults.localisation.evidence import Evidence
from attention_faults.localisation.rankers import GRADIENT_NORM, HESSIAN
from attention_faults.localisation.ranking import Floats
from attention_faults.taxonomy.resampling import percentile_interval

CHANGES = {"gradient_change": "gradient_norm", "curvature_change": "hessian_frobenius"}
ROUNDING = 1e-9  # permutations that tie with what was observed must count
MODERATORS = [*CHANGES, "accuracy_drop", "parameters_at_fault", "blocks_at_fault"]


def gains(evidences: Iterable[Evidence], redrawn: Iterable[Redrawn], mutants: pd.DataFrame) -> pd.DataFrame:
    """List the units with what Hessian and gradient norm gain on each other, and what may explain it.

    Args:
        evidences: of the models.
        redrawn: of the models whose faults have a place.
        mutants: as from `faults.mutants.screen`.

    Returns:
        One row a unit: model, operator, place; gain, the reciprocal rank of the Hessian aggregate minus that
        of the gradient norm; gradient_change and curvature_change, natural logarithms of how many times the
        median of the reference runs the whole model's gradient norm and Frobenius norm of the Hessian's
        blocks are; accuracy_drop against the matched clean runs; and the shares of parameters and of blocks
        at fault. Missing where curvature was not measured.
    """
    parts = {part.model: part for part in redrawn if HESSIAN.name in part.point}
    rows = [_units(evidence, parts[evidence.model]) for evidence in evidences if evidence.model in parts]
    if not rows:
        return pd.DataFrame(columns=["model", *UNIT, "gain", *MODERATORS])
    table = pd.concat(rows, ignore_index=True)
    drops = mutants.groupby(["model", *UNIT], as_index=False)["mean_drop"].mean()
    table = table.merge(drops, on=["model", *UNIT], how="left").rename(columns={"mean_drop": "accuracy_drop"})
    return table[["model", *UNIT, "gain", *MODERATORS]]


def _units(evidence: Evidence, redrawn: Redrawn) -> pd.DataFrame:
    runs = located(evidence)
    truth = evidence.truth[runs]
    table = evidence.runs.loc[runs, UNIT].assign(
        model=evidence.model,
        **{name: _change(evidence, metric)[runs] for name, metric in CHANGES.items()},
        parameters_at_fault=truth @ evidence.sizes / evidence.sizes.sum(),
        blocks_at_fault=truth.mean(axis=1),
    )
    units = table.groupby(["model", *UNIT], sort=False, as_index=False).mean()
    return units.assign(gain=redrawn.point[HESSIAN.name] - redrawn.point[GRADIENT_NORM.name])


def _change(evidence: Evidence, metric: str) -> Floats:
    """Logarithm of how many times the reference's median the norm over all blocks is, (runs,)."""
    whole = np.sqrt((evidence.values[metric][:, :, 0] ** 2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        change = np.log(whole / np.nanmedian(whole[evidence.reference()]))
    return np.where(np.isfinite(change), change, np.nan)


def correlate(table: pd.DataFrame, *, draws: int, permutations: int, level: float, seed: int) -> pd.DataFrame:
    """Correlate the gain with each moderator within models: Pearson's correlation of ranks within models.

    Args:
        table: as from `gains`.
        draws: of the bootstrap, of units within models.
        permutations: of gains within models.
        level: of the intervals.
        seed: of both.

    Returns:
        One row a moderator: moderator, units, rho with its interval, p (two-sided) and p_holm. Missing where
        no model has units that differ.
    """
    found = pd.DataFrame(
        [
            _correlation(table, name, draws=draws, permutations=permutations, level=level, seed=seed)
            for name in MODERATORS
        ]
    ).assign(p_holm=np.nan)
    tested = found["p"].notna()
    if tested.any():
        found.loc[tested, "p_holm"] = multipletests(found.loc[tested, "p"], method="holm")[1]
    return found


def _correlation(
    table: pd.DataFrame, name: str, *, draws: int, permutations: int, level: float, seed: int
) -> dict[str, object]:
    # units of a model lie together
    held = table.dropna(subset=["gain", name]).sort_values("model", kind="stable")
    sizes = held.groupby("model").size().to_numpy()
    models = np.split(np.arange(len(held)), np.cumsum(sizes)[:-1]) if len(held) else []
    pair = held[[name, "gain"]].to_numpy(float).T
    x, y = _standard(pair, models)
    row = {"moderator": name, "units": len(held), **dict.fromkeys(("rho", "low", "high", "p"), np.nan)}
    if not (x.any() and y.any()):  # nothing differs
        return row
    generator = np.random.default_rng(seed)
    drawn = [generator.choice(units, size=(draws, len(units))) for units in models]
    redrawn = _rho(*_standard(pair[:, np.concatenate(drawn, axis=1)], models))
    (low,), (high,) = percentile_interval(redrawn[:, np.newaxis], level)
    shuffled = [generator.permuted(np.tile(y[units], (permutations, 1)), axis=1) for units in models]
    null = _rho(x, np.concatenate(shuffled, axis=1))
    rho = float(_rho(x, y))
    as_large = np.abs(null) >= abs(rho) - ROUNDING
    return row | {"rho": rho, "low": low, "high": high, "p": (as_large.sum() + 1) / (permutations + 1)}


def _rho(x: Floats, y: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray((x * y).sum(axis=-1) / np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1)))


def _standard(values: Floats, models: list[NDArray[np.intp]]) -> Floats:
    """Ranks within models (groups of the last axis), standardised; zero where all of a model tie."""
    ranks = np.zeros(values.shape)
    for units in models:
        ranked = rankdata(values[..., units], axis=-1)
        spread = ranked.std(axis=-1, keepdims=True)
        ranks[..., units] = (ranked - ranked.mean(axis=-1, keepdims=True)) / np.where(spread > 0, spread, 1)
    return ranks
