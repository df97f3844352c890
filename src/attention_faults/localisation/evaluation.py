"""How well every ranker finds the blocks at fault: per run, per unit, and redrawn."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attention_faults.faults.campaign import FAULTY
from attention_faults.faults.mutants import MUTANT
from attention_faults.faults.operator import Operator
from attention_faults.localisation import ranking
from attention_faults.localisation.evidence import Evidence, Files, with_reference, without_reference
from attention_faults.localisation.rankers import RANDOM, Ranker, fault_frequency, rankers, score
from attention_faults.localisation.ranking import Bools, Floats
from attention_faults.taxonomy.resampling import percentile_interval

UNIT = ["operator", "place"]
ABOUT = ["regime", "way", "granularity", "ranker", "family"]
WITH, WITHOUT = "with reference", "without reference"
BLOCKS, LAYERS = "block", "layer"
CHANCE_DRAWS = 500
CHUNK = 2**24  # numbers held at once while redrawing


def located(evidence: Evidence) -> list[int]:
    """List the rows of the faulty runs that have a block at fault."""
    faulty = (evidence.runs["kind"] == FAULTY).to_numpy()
    return np.flatnonzero(faulty & evidence.truth.any(axis=1)).tolist()


def measure(evidence: Evidence) -> pd.DataFrame:
    """Measure every ranker on every faulty run of a model.

    Returns:
        One row for each run, regime, granularity and ranker: model, the run's operator, place, severity and
        seed, regime, way (of judging without reference), granularity, ranker, family, and all measures.
    """
    runs = located(evidence)
    if not runs:
        return pd.DataFrame(columns=["model", *UNIT, "severity", "seed", *ABOUT, *ranking.MEASURES])
    about = evidence.runs.loc[runs, ["operator", "place", "severity", "seed"]].reset_index(drop=True)
    about.insert(0, "model", evidence.model)
    truth = evidence.truth[runs]
    frequency = fault_frequency(about, truth)
    own, ways = without_reference(evidence, runs)
    regimes = {WITH: (with_reference(evidence, evidence.reference(), runs), {}), WITHOUT: (own, ways)}
    parts = []
    for regime, (by_metric, way) in regimes.items():
        for ranker in rankers(by_metric):
            scores = score(ranker, by_metric, frequency)[0]
            used = next((way[name] for name in ranker.members if name in way), "")
            for granularity, (s, t) in {
                BLOCKS: (scores, truth),
                LAYERS: by_layer(scores, truth, evidence.blocks),
            }.items():
                described = {
                    "regime": regime,
                    "way": used,
                    "granularity": granularity,
                    "ranker": ranker.name,
                    "family": ranker.family,
                }
                measures = (
                    chance_of_layers(truth, evidence.blocks)
                    if ranker == RANDOM and granularity == LAYERS
                    else ranking.measures(s, t)
                )
                parts.append(about.assign(**described, **measures))
    return pd.concat(parts, ignore_index=True)


def chance_of_layers(truth: Bools, blocks: Sequence[str]) -> dict[str, Floats]:
    """Measure random scores of blocks by layer: a layer of many blocks then comes early more often."""
    generator = np.random.default_rng(0)
    sets, of_run = np.unique(truth, axis=0, return_inverse=True)  # runs of a fault share their blocks
    drawn = [
        ranking.measures(*by_layer(generator.random(sets.shape), sets, blocks)) for _ in range(CHANCE_DRAWS)
    ]
    return {name: np.mean([part[name] for part in drawn], axis=0)[of_run] for name in drawn[0]}


def by_layer(scores: Floats, truth: Bools, blocks: Sequence[str]) -> tuple[Floats, Bools]:
    """Take the largest score of the blocks of each layer; a layer is at fault when one of its blocks is."""
    layers = pd.factorize(np.array([block.partition(".")[0] for block in blocks], dtype=object))[0]
    groups = [np.flatnonzero(layers == layer) for layer in range(layers.max() + 1)]
    return (
        np.stack([scores[..., group].max(axis=-1) for group in groups], axis=-1),
        np.stack([truth[..., group].any(axis=-1) for group in groups], axis=-1),
    )


@dataclass(frozen=True)
class Redrawn:
    """Mean reciprocal ranks of the units of one model, as measured and redrawn, with reference, by blocks.

    Attributes:
        model: its name.
        units: one row a unit: operator, place.
        point: of each ranker, (units,).
        draws: of each ranker, (draws, units), the reference redrawn; one draw for what does not depend on it.
        weights: how often each draw takes each unit, (draws, units).
    """

    model: str
    units: pd.DataFrame
    point: dict[str, Floats]
    draws: dict[str, Floats]
    weights: Floats

    def mean(self, ranker: str) -> float:
        """Mean over units."""
        return float(self.point[ranker].mean())

    def means(self, ranker: str) -> Floats:
        """Mean over units of each draw, (draws,)."""
        return np.asarray((self.draws[ranker] * self.weights).sum(axis=1) / self.weights.sum(axis=1))


def redraw(
    evidence: Evidence,
    *,
    draws: int,
    seed: int,
    chosen: Sequence[Ranker] | None = None,
    reference: Sequence[int] | None = None,
) -> Redrawn | None:
    """Redraw units and reference runs of a model.

    Args:
        evidence: of the model.
        draws: of the bootstrap.
        seed: of the draws.
        chosen: rankers; all by default.
        reference: rows of the reference runs; those of the protocol by default.

    Returns:
        None if no faulty run has a block at fault.
    """
    runs = located(evidence)
    if not runs:
        return None
    reference = evidence.reference() if reference is None else reference
    generator = generator_of(evidence, seed)
    about = evidence.runs.loc[runs].reset_index(drop=True)
    truth = evidence.truth[runs]
    frequency = fault_frequency(about, truth)
    group = about.groupby(UNIT, sort=False)
    number = group.ngroup().to_numpy()
    averaging = (number == np.arange(group.ngroups)[:, np.newaxis]) / np.bincount(number)[:, np.newaxis]
    chosen = rankers(evidence.values) if chosen is None else chosen
    ones = np.ones((1, len(reference)))
    drawn = bootstrap(generator, draws, len(reference))

    def units(weights: Floats) -> dict[str, Floats]:
        by_metric = with_reference(evidence, reference, runs, weights)
        found = {}
        for ranker in chosen:
            scores = score(ranker, by_metric, frequency)
            found[ranker.name] = ranking.reciprocal_rank(scores, truth) @ averaging.T
        return found

    parts = [units(part) for part in chunks(drawn, evidence, len(runs))]
    return Redrawn(
        evidence.model,
        about.drop_duplicates(UNIT)[UNIT].reset_index(drop=True),
        {name: values[0] for name, values in units(ones).items()},
        {
            ranker.name: np.concatenate([part[ranker.name] for part in parts])[
                : draws if ranker.members else 1
            ]
            for ranker in chosen
        },
        bootstrap(generator, draws, group.ngroups),
    )


def generator_of(evidence: Evidence, seed: int) -> np.random.Generator:
    """Return the generator of a model's draws, which do not go with those of another model."""
    return np.random.default_rng([seed, *evidence.model.encode()])


def bootstrap(generator: np.random.Generator, draws: int, count: int) -> Floats:
    """Draw how often a bootstrap sample takes each of `count` things, (draws, count)."""
    return generator.multinomial(count, np.full(count, 1 / count), size=draws).astype(float)


def chunks(weights: Floats, evidence: Evidence, runs: int) -> Iterator[Floats]:
    """Split draws of the reference so that the scores of so many runs fit into memory."""
    widest = max(values.shape[1] * values.shape[2] for values in evidence.values.values())
    size = max(CHUNK // (runs * widest), 1)
    for start in range(0, len(weights), size):
        yield weights[start : start + size]


def summarise(runs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Average measures over seeds, then over units.

    Args:
        runs: as from `measure`, of any number of models.
        by: columns that tell what is averaged apart, beside regime, granularity and ranker.

    Returns:
        One row a group: `by`, regime, way, granularity, ranker, family, units, runs, all measures,
        chance_mrr and mrr_above_chance = (mrr - chance) / (1 - chance).
    """
    group = [*by, "regime", "granularity", "ranker"]
    averaged = dict.fromkeys(ranking.MEASURES, "mean")
    about = {"way": "first", "family": "first"}
    names = list(dict.fromkeys([*group, "model", *UNIT]))
    units = runs.groupby(names, sort=False, as_index=False).agg({**about, "seed": "size", **averaged})
    table = units.groupby(group, sort=False, as_index=False).agg(
        way=("way", "first"),
        family=("family", "first"),
        units=("seed", "size"),
        runs=("seed", "sum"),
        **{name: (name, "mean") for name in ranking.MEASURES},
    )
    chance = table.loc[table["ranker"] == RANDOM.name, [*group, "mrr"]].drop(columns="ranker")
    table = table.merge(chance.rename(columns={"mrr": "chance_mrr"}), on=group[:-1], how="left")
    return table.assign(mrr_above_chance=(table["mrr"] - table["chance_mrr"]) / (1 - table["chance_mrr"]))


def described(runs: pd.DataFrame, operators: Mapping[str, Operator], mutants: pd.DataFrame) -> pd.DataFrame:
    """Add to each run the category of its fault, the level of its severity, and the verdict on its mutant.

    Args:
        runs: as from `measure`.
        operators: catalogue of faults.
        mutants: as from `faults.mutants.screen`.
    """
    categories = runs["operator"].map({name: entry.category for name, entry in operators.items()})
    verdicts = mutants[[*MUTANT, "verdict"]].rename(columns={"verdict": "mutant"})
    levels = {
        (name, severity): f"{number} of {len(entry.severities)}"
        for name, entry in operators.items()
        for number, severity in enumerate(entry.severities, 1)
    }
    keys = zip(runs["operator"], runs["severity"], strict=True)
    of_operator = [levels.get(key, "another") for key in keys]
    return runs.assign(category=categories, level=of_operator).merge(verdicts, on=MUTANT, how="left")


def by(runs: pd.DataFrame, label: str) -> pd.DataFrame:
    """Summarise by the labels of one column, all models together: columns `by` and `label`, then measures."""
    table = summarise(runs, [label]).rename(columns={label: "label"})
    table["label"] = table["label"].map(lambda value: f"{value:g}" if isinstance(value, float) else value)
    table.insert(0, "by", label)
    return table


def with_intervals(summary: pd.DataFrame, redrawn: Iterable[Redrawn], level: float) -> pd.DataFrame:
    """Add the interval of the mean reciprocal rank to the rows with reference, by blocks.

    Args:
        summary: as from `summarise`, by model.
        redrawn: of the models.
        level: of the intervals.
    """
    rows = [
        (part.model, ranker, *np.concatenate(percentile_interval(part.means(ranker)[:, np.newaxis], level)))
        for part in redrawn
        for ranker in part.draws
    ]
    ends = pd.DataFrame(rows, columns=["model", "ranker", "mrr_low", "mrr_high"])
    return summary.merge(ends.assign(regime=WITH, granularity=BLOCKS), how="left")


def outcomes(series: Iterable[Files], stage: str) -> pd.DataFrame:
    """Count what became of the runs: one row a model, kind and outcome of measuring, with one message."""
    parts = []
    for files in series:
        summary = json.loads(files.summary.read_text(encoding="utf-8"))
        rows = pd.read_parquet(files.outcomes, filters=[("stage", "==", stage)])
        parts.append(rows.assign(model=summary["model"], kind=summary["kind"]))
    groups = pd.concat(parts).groupby(["model", "kind", "outcome"], sort=False, as_index=False)
    return groups.agg(runs=("seed", "size"), message=("message", "first"))
