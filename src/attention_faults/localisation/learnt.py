"""How good a ranker gets that learns from faults how to weigh metrics, and is tried on others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata, sem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from attention_faults.localisation import ranking
from attention_faults.localisation.evaluation import UNIT, located
from attention_faults.localisation.evidence import Evidence, with_reference
from attention_faults.localisation.metric import catalogue
from attention_faults.localisation.ranking import Bools, Floats, without_gaps
from attention_faults.taxonomy.resampling import percentile_interval

FAMILIES = {
    "gradient": ("gradient",),
    "hessian and interaction": ("hessian", "interaction"),
    "trivial": ("trivial",),
}
COLUMNS = [
    "left_out",
    "metrics",
    "features",
    "models",
    "units",
    "mrr",
    "low",
    "high",
    "chance_mrr",
    "control_mrr",
    "control_stderr",
]
LEFT_OUT = ("operator", "category", "subject")
CONTROLS = 20  # permutations


def generalise(
    evidences: Sequence[Evidence], categories: Mapping[str, str], *, draws: int, level: float, seed: int
) -> pd.DataFrame:
    """Train a ranker without one operator, category or subject, and rank what was left out.

    Args:
        evidences: of all models.
        categories: of the operators.
        draws: of the bootstrap over units within models, predictions held.
        level: of the intervals.
        seed: of the draws, and of the permutations of the control.

    Returns:
        One row a left-out kind and set of metrics: left_out, metrics, features, models, units, mrr (mean over
        models) with its interval, chance_mrr, and control_mrr with its standard error: the mean of 20 times
        that the blocks at fault are permuted within each unit, in training and test. A set of which no
        metric was measured in all models has no row.
    """
    samples = [_samples(evidence, categories) for evidence in evidences if located(evidence)]
    every = tuple(dict.fromkeys(metric.family for metric in catalogue().values()))
    sets = {name: _features(samples, families) for name, families in (FAMILIES | {"all": every}).items()}
    rows = []
    for left_out in LEFT_OUT:
        groups = np.concatenate([sample.runs[left_out].to_numpy() for sample in samples] or [np.empty(0)])
        if len(np.unique(groups)) < 2:
            continue
        for name, features in sets.items():
            if not features:
                continue
            found = _ranked(samples, groups, features)
            controls = [
                _mean(_ranked([sample.permuted([seed, turn]) for sample in samples], groups, features))
                for turn in range(CONTROLS)
            ]
            chance = [_by_unit(sample, np.zeros(sample.truth.shape)) for sample in samples]
            low, high = _interval(found, draws, level, seed)
            rows.append(
                {
                    "left_out": left_out,
                    "metrics": name,
                    "features": len(features),
                    "models": len(samples),
                    "units": sum(map(len, found)),
                    "mrr": _mean(found),
                    "low": low,
                    "high": high,
                    "chance_mrr": _mean(chance),
                    "control_mrr": np.mean(controls),
                    "control_stderr": sem(controls),
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


@dataclass(frozen=True)
class _Samples:
    """Faulty runs of a model: what ranks them, and truth.

    Attributes:
        runs: one row a run: model, subject, operator, place, category, and unit, its number.
        ranks: of each metric, the standing of each block within its run, 0 to 1, (runs, blocks).
        truth: (runs, blocks).
    """

    runs: pd.DataFrame
    ranks: dict[str, Floats]
    truth: Bools

    def table(self, features: Sequence[str]) -> Floats:
        """Arrange the features of all blocks of all runs, (runs x blocks, features)."""
        return np.stack([self.ranks[name].ravel() for name in features], axis=1)

    def permuted(self, seed: Sequence[int]) -> "_Samples":
        """Permute the blocks at fault, all runs of a unit alike."""
        generator = np.random.default_rng([*seed, *self.runs["model"].iloc[0].encode()])
        orders = {unit: generator.permutation(self.truth.shape[1]) for unit in self.runs["unit"].unique()}
        truth = np.stack([row[orders[unit]] for row, unit in zip(self.truth, self.runs["unit"], strict=True)])
        return replace(self, truth=truth)


def _features(samples: Sequence[_Samples], families: Sequence[str]) -> list[str]:
    """List the metrics of some families that were measured in all models."""
    return [
        name
        for name, metric in catalogue().items()
        if metric.family in families and all(name in sample.ranks for sample in samples)
    ]


def _samples(evidence: Evidence, categories: Mapping[str, str]) -> _Samples:
    rows = located(evidence)
    runs = evidence.runs.loc[rows, UNIT].reset_index(drop=True)
    runs = runs.assign(
        model=evidence.model,
        subject=evidence.subject,
        category=runs["operator"].map(categories),
        unit=runs.groupby(UNIT, sort=False).ngroup(),
    )
    by_metric = with_reference(evidence, evidence.reference(), rows)
    ranks = {
        name: rankdata(without_gaps(scores[0]), axis=-1) / scores.shape[-1]
        for name, scores in by_metric.items()
    }
    return _Samples(runs, ranks, evidence.truth[rows])


def _ranked(samples: Sequence[_Samples], groups: NDArray[np.object_], names: Sequence[str]) -> list[Floats]:
    """Reciprocal rank of each unit of each model, each judged by a ranker that has not seen its group."""
    features = np.concatenate([sample.table(names) for sample in samples])
    labels = np.concatenate([sample.truth.ravel() for sample in samples])
    counts = np.concatenate([np.full(len(sample.runs), sample.truth.shape[1]) for sample in samples])
    of_block = np.repeat(groups, counts)
    scores = np.zeros(len(labels))
    for train, test in LeaveOneGroupOut().split(features, labels, of_block):
        ranker = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000))
        scores[test] = ranker.fit(features[train], labels[train]).decision_function(features[test])
    found = []
    for sample in samples:
        size = sample.truth.size
        found.append(_by_unit(sample, scores[:size].reshape(sample.truth.shape)))
        scores = scores[size:]
    return found


def _by_unit(sample: _Samples, scores: Floats) -> Floats:
    """Average reciprocal ranks over the runs of each unit."""
    ranks = pd.Series(ranking.reciprocal_rank(scores, sample.truth))
    return np.asarray(ranks.groupby(sample.runs["unit"].to_numpy()).mean(), dtype=np.float64)


def _mean(by_model: Sequence[Floats]) -> float:
    return float(np.mean([units.mean() for units in by_model]))


def _interval(by_model: Sequence[Floats], draws: int, level: float, seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    means = [
        units[generator.integers(len(units), size=(draws, len(units)))].mean(axis=1) for units in by_model
    ]
    (low,), (high,) = percentile_interval(np.mean(means, axis=0)[:, np.newaxis], level)
    return float(low), float(high)
