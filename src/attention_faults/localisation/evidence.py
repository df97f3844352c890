"""From measured values to how suspect each block of a run is (docs/protocol.md, scales and regimes)."""

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attention_faults.faults.campaign import REFERENCE
from attention_faults.localisation.metric import Metric, catalogue
from attention_faults.localisation.ranking import Bools, Floats, without_gaps
from attention_faults.study import MAIN

MEASURED, UNCHECKED, UNMEASURED = "measured", "curvature refused", "not measurable"
REFERENCE_RUNS = 10  # of the protocol
PRIOR_WEIGHT = 4  # of the model's median scale, in runs
LEAST_RUNS = 3  # of the reference in which a value must be defined
FLOOR = 1e-6
LEAST_SIBLINGS = 4
TO_SIGMA = 1.4826  # the median absolute deviation of a normal variable in standard deviations
CONSTANT = "constant"


@dataclass(frozen=True)
class Evidence:
    """All measured runs of a model at one checkpoint.

    Attributes:
        model: its name.
        subject: what it is an instance of.
        blocks: names, in the order of the model.
        sizes: parameters of each block.
        runs: one row a run: kind, series, operator, place, severity, seed, outcome.
        truth: blocks at fault, (runs, blocks).
        values: of each metric, (runs, blocks, partners); one partner, but for metrics of pairs.
        costs: of each metric, for all blocks, in gradients; the mean over runs.
    """

    model: str
    subject: str
    blocks: tuple[str, ...]
    sizes: Floats
    runs: pd.DataFrame
    truth: Bools
    values: dict[str, Floats]
    costs: dict[str, float]

    def reference(self, count: int = REFERENCE_RUNS) -> list[int]:
        """Return the rows of the first reference runs."""
        return self.runs.index[self.runs["kind"] == REFERENCE].tolist()[:count]


@dataclass(frozen=True)
class Files:
    """Where a series lies: what training wrote, and what measuring wrote."""

    summary: Path
    profile: Path
    outcomes: Path


def files(inputs: Mapping[str, Sequence[str]], variant: str = MAIN) -> list[Files]:
    """Group paths by series: as many summaries as profiles and outcomes of a variant, in one order.

    Args:
        inputs: paths under `summaries`, `<variant>_profiles` and `<variant>_outcomes`.
        variant: of measuring.
    """
    lists = (inputs[name] for name in ("summaries", f"{variant}_profiles", f"{variant}_outcomes"))
    return [Files(*map(Path, paths)) for paths in zip(*lists, strict=True)]


def read(series: Iterable[Files], stage: str) -> list[Evidence]:
    """Read what was measured at a checkpoint, by model; runs and models that could not be are left out."""
    models: dict[str, list[tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]]] = {}
    for files in series:
        summary = json.loads(files.summary.read_text(encoding="utf-8"))
        table, outcomes = (
            pd.read_parquet(path, filters=[("stage", "==", stage)])
            for path in (files.profile, files.outcomes)
        )
        models.setdefault(summary["model"], []).append((summary, table, outcomes))
    return [
        _evidence(model, parts)
        for model, parts in models.items()
        if any(outcomes["outcome"].isin([MEASURED, UNCHECKED]).any() for _, _, outcomes in parts)
    ]


def _evidence(model: str, parts: Sequence[tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]]) -> Evidence:
    rows: list[dict[str, Any]] = []
    tables, truths = [], []
    for summary, table, outcomes in parts:
        about = {name: summary[name] for name in ("kind", "name", "operator", "place", "severity")}
        kept = outcomes[outcomes["outcome"].isin([MEASURED, UNCHECKED])]
        for seed, outcome, cost in zip(kept["seed"], kept["outcome"], kept["hessian_cost"], strict=True):
            tables.append(table[table["seed"] == seed].assign(run=len(rows)))
            truths.append(summary["truth"])
            rows.append({**about, "seed": seed, "outcome": outcome, "hessian_cost": cost})
    runs = pd.DataFrame(rows).rename(columns={"name": "series"})
    table = pd.concat(tables, ignore_index=True)
    sized = table[(table["metric"] == "parameter_count") & (table["run"] == 0)]
    blocks = tuple(sized["block"])
    truth = np.array([[block in faulty for block in blocks] for faulty in truths], dtype=np.bool_)
    values = {
        str(name): _array(rows, len(runs), blocks) for name, rows in table.groupby("metric", sort=False)
    }
    costs = table.groupby("metric", sort=False)["cost"].mean().to_dict()
    subject = parts[0][0]["subject"]["name"]
    return Evidence(model, subject, blocks, sized["estimate"].to_numpy(float), runs, truth, values, costs)


def _array(rows: pd.DataFrame, runs: int, blocks: tuple[str, ...]) -> Floats:
    """Arrange the rows of one metric as (runs, blocks, partners)."""
    partners = ("",) if (rows["partner"] == "").all() else blocks
    values = np.full((runs, len(blocks), len(partners)), np.nan)
    places = (
        rows["run"].to_numpy(),
        pd.Index(blocks).get_indexer(pd.Index(rows["block"])),
        pd.Index(partners).get_indexer(pd.Index(rows["partner"])),
    )
    values[places] = rows["estimate"].to_numpy(float)
    return values


def with_reference(
    evidence: Evidence, reference: Sequence[int], runs: Sequence[int], weights: Floats | None = None
) -> dict[str, Floats]:
    """Score blocks by their distance from the reference runs.

    Args:
        evidence: of a model.
        reference: rows of the reference runs.
        runs: rows to be scored.
        weights: how often each draw takes each reference run, (draws, references); once each by default.

    Returns:
        For each metric (draws, runs, blocks); nan where undefined.
    """
    if weights is None:
        weights = np.ones((1, len(reference)))
    scores = {}
    for name, values in evidence.values.items():
        metric = catalogue()[name]
        if metric.scale == CONSTANT:
            single = values[runs, :, 0][np.newaxis]
            scores[name] = np.broadcast_to(single, (len(weights), *single.shape[1:]))
        else:
            scaled = to_scale(values, metric, values[reference])
            scores[name] = distance(scaled[runs], scaled[reference], weights)
    return scores


def to_scale(values: Floats, metric: Metric, clean: Floats) -> Floats:
    """Transform values so that differences can be compared; medians are over the first axis of `clean`."""
    if metric.scale in ("share", CONSTANT):
        return values
    middle = _median(np.abs(clean), axis=0)
    overall = _median(middle, axis=None)
    middle = np.where(middle > 0, middle, overall)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.arcsinh(values / middle) if metric.scale == "signed" else np.log(values + FLOOR * middle)
    return np.where(np.isfinite(scaled), scaled, np.nan)


def distance(values: Floats, reference: Floats, weights: Floats) -> Floats:
    """Distance |z| of each block from the reference runs; of pairs, the root mean square over partners.

    The scale is shrunk towards its median over blocks: s^2 = (4 s0^2 + (n - 1) s_b^2) / (n + 3), an inverse
    chi-square prior of weight 4 on the variance.

    Args:
        values: (runs, blocks, partners).
        reference: (references, blocks, partners).
        weights: (draws, references).

    Returns:
        (draws, runs, blocks); nan where fewer than 3 reference runs are defined, or nothing varies.
    """
    defined = np.isfinite(reference)
    origin = _mean(reference, axis=0)  # which keeps squares small
    held = np.where(defined, reference - origin, 0.0)

    def total(part: Floats) -> Floats:
        return np.tensordot(weights, part, axes=1)

    count = total(defined.astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total(held) / count
        variance = np.maximum(total(held**2) - count * mean**2, 0.0) / (count - 1)
        enough = count >= LEAST_RUNS
        variance = np.where(enough, variance, np.nan)
        typical = _median(np.sqrt(variance).reshape(len(weights), -1), axis=1)[:, np.newaxis, np.newaxis]
        scale = np.sqrt((PRIOR_WEIGHT * typical**2 + (count - 1) * variance) / (count + PRIOR_WEIGHT - 1))
        z = (values - origin - mean[:, np.newaxis]) / np.where(scale > 0, scale, np.nan)[:, np.newaxis]
    return np.sqrt(_mean(z**2, axis=-1))


def without_reference(evidence: Evidence, runs: Sequence[int]) -> tuple[dict[str, Floats], dict[str, str]]:
    """Score blocks from their own run alone.

    Returns:
        For each metric that is not of pairs (1, runs, blocks), as shares of the blocks that rank below; and
        how it was done: by `siblings` (the same component in at least 4 other layers), by `rank`, or `both`.
    """
    kinds = pd.Series([block.partition(".")[2] for block in evidence.blocks])
    siblings = [np.flatnonzero((kinds == kind) & (kinds.index != i)) for i, kind in enumerate(kinds)]
    many = np.array([len(others) >= LEAST_SIBLINGS for others in siblings])
    way = "siblings" if many.all() else "both" if many.any() else "rank"
    scores = {}
    for name, values in evidence.values.items():
        metric = catalogue()[name]
        if values.shape[2] > 1:
            continue
        free = values[runs, :, 0] / evidence.sizes**metric.size_exponent
        shares = _share_below(free)
        if many.any():
            scaled = np.stack([to_scale(row, metric, row) for row in free])
            distances = np.full_like(scaled, np.nan)
            for block in np.flatnonzero(many):
                others = scaled[:, siblings[block]]
                middle = _median(others, axis=1)
                spread = TO_SIGMA * _median(np.abs(others - middle[:, np.newaxis]), axis=1)
                with np.errstate(invalid="ignore", divide="ignore"):
                    distances[:, block] = np.abs(scaled[:, block] - middle) / spread
            # the farthest, where its siblings are all alike
            distances = np.where(np.isposinf(distances), np.finfo(float).max, distances)
            shares[:, many] = _share_below(distances[:, many])
        scores[name] = shares[np.newaxis]
    return scores, dict.fromkeys(scores, way)


def _share_below(values: Floats) -> Floats:
    """Share of other blocks with a lower value, ties counting half; undefined ones are in the middle."""
    filled = without_gaps(values)
    if filled.shape[-1] == 1:
        return np.full_like(filled, 0.5)
    lower = (filled[..., np.newaxis, :] < filled[..., np.newaxis]).sum(axis=-1)
    equal = (filled[..., np.newaxis, :] == filled[..., np.newaxis]).sum(axis=-1) - 1
    return np.asarray((lower + equal / 2) / (filled.shape[-1] - 1))


def _median(values: Floats, axis: int | None) -> Floats:
    """Return the median of what is defined; nan, without a warning, where nothing is."""
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        return np.asarray(np.nanmedian(values, axis=axis))


def _mean(values: Floats, axis: int) -> Floats:
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        return np.asarray(np.nanmean(values, axis=axis))
