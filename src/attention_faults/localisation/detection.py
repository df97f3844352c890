"""Is a model faulty at all? Scores of whole runs, faulty ones against clean negatives."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score, roc_curve
from statsmodels.stats.proportion import proportion_confint

from attention_faults.faults.campaign import FAULTY, NEGATIVE
from attention_faults.faults.mutants import MUTANT
from attention_faults.localisation.evidence import CONSTANT, Evidence, with_reference
from attention_faults.localisation.metric import catalogue
from attention_faults.localisation.rankers import rankers
from attention_faults.localisation.ranking import Floats
from attention_faults.taxonomy.resampling import percentile_interval

LEAST_NEGATIVES = 20
RECALL = 0.8


def anomalies(evidence: Evidence) -> pd.DataFrame:
    """Score the faulty and the negative runs of a model.

    The score of a run is the root mean square of its blocks' distances from the reference, averaged over the
    metrics of an aggregate; a run without a defined distance scores 0: no evidence.

    Returns:
        One row a run and ranker: model, kind, operator, place, severity, seed, ranker, family, score.
    """
    runs = np.flatnonzero(evidence.runs["kind"].isin([FAULTY, NEGATIVE])).tolist()
    about = evidence.runs.loc[runs, ["kind", "operator", "place", "severity", "seed"]].reset_index(drop=True)
    about.insert(0, "model", evidence.model)
    of_metric = {}
    for name, scores in with_reference(evidence, evidence.reference(), runs).items():
        squares = np.where(np.isfinite(scores[0]), scores[0] ** 2, 0.0)
        of_metric[name] = np.sqrt(squares.sum(axis=1) / np.maximum(np.isfinite(scores[0]).sum(axis=1), 1))
    parts = []
    for ranker in rankers(evidence.values):
        members = [name for name in ranker.members if catalogue()[name].scale != CONSTANT]
        if members:
            score = np.mean([of_metric[name] for name in members], axis=0)
            parts.append(about.assign(ranker=ranker.name, family=ranker.family, score=score))
    return pd.concat(parts, ignore_index=True)


def detect(scored: pd.DataFrame, *, draws: int, level: float, seed: int) -> pd.DataFrame:
    """Judge how well each ranker tells faulty runs from clean ones, all models together.

    Args:
        scored: as from `anomalies`, of all models.
        draws: of the bootstrap, of mutants and of negatives within models; the reference is held.
        level: of the intervals.
        seed: of the draws.

    Returns:
        One row a ranker: ranker, family, faulty_runs, negatives, auroc with its interval, and false_alarms at
        a recall of 0.8 with the Wilson interval of a share of the negatives (the threshold held); these are
        missing, and `remark` says so, with fewer than 20 negatives.
    """
    rows = []
    for (name, family), part in scored.groupby(["ranker", "family"], sort=False):
        faulty, clean = (
            part[part["kind"] == FAULTY],
            part.loc[part["kind"] == NEGATIVE, "score"].to_numpy(float),
        )
        row = {"ranker": name, "family": family, "faulty_runs": len(faulty), "negatives": len(clean)}
        if len(clean) < LEAST_NEGATIVES or faulty.empty:
            remark = f"not estimable: it takes a faulty run and {LEAST_NEGATIVES} negatives"
            rows.append({**row, "remark": remark})
            continue
        drawn = _redrawn(part, draws, seed)
        (low,), (high,) = percentile_interval(drawn[:, np.newaxis], level)
        scores = faulty["score"].to_numpy(float)
        alarms = false_alarms(scores, clean)
        wilson = proportion_confint(round(alarms * len(clean)), len(clean), alpha=1 - level, method="wilson")
        row |= {"auroc": auroc(scores, clean), "low": low, "high": high, "false_alarms": alarms}
        rows.append({**row, "alarms_low": wilson[0], "alarms_high": wilson[1], "remark": ""})
    columns = [
        "ranker",
        "family",
        "faulty_runs",
        "negatives",
        "auroc",
        "low",
        "high",
        "false_alarms",
        "alarms_low",
        "alarms_high",
        "remark",
    ]
    return pd.DataFrame(rows).reindex(columns=columns)


def _redrawn(scored: pd.DataFrame, draws: int, seed: int) -> Floats:
    """Redraw the area: mutants, with all their runs, and negatives, each within its model."""
    generator = np.random.default_rng(seed)
    models = [
        (
            [
                group["score"].to_numpy(float)
                for _, group in part[part["kind"] == FAULTY].groupby(MUTANT, sort=False)
            ],
            part.loc[part["kind"] == NEGATIVE, "score"].to_numpy(float),
        )
        for _, part in scored.groupby("model", sort=False)
    ]
    found = []
    for _ in range(draws):
        faulty = [
            mutants[i]
            for mutants, _ in models
            for i in generator.integers(len(mutants) or 1, size=len(mutants))
        ]
        clean = [generator.choice(negatives, len(negatives)) for _, negatives in models if len(negatives)]
        found.append(auroc(np.concatenate(faulty), np.concatenate(clean)))
    return np.array(found)


def auroc(faulty: Floats, clean: Floats) -> float:
    """Probability that a faulty run scores above a clean one, ties counting half."""
    labels = np.r_[np.ones(len(faulty)), np.zeros(len(clean))]
    return float(roc_auc_score(labels, np.r_[faulty, clean]))


def false_alarms(faulty: Floats, clean: Floats, recall: float = RECALL) -> float:
    """Share of clean runs that score at least what finds `recall` of the faulty ones."""
    threshold = np.sort(faulty)[::-1][int(np.ceil(recall * len(faulty))) - 1]
    return float((clean >= threshold).mean())


def curves(scored: pd.DataFrame, chosen: Iterable[str]) -> pd.DataFrame:
    """Trace the receiver operating characteristic of some rankers: ranker, false_alarms, recall."""
    parts = []
    for name in chosen:
        part = scored[scored["ranker"] == name]
        labels = part["kind"] == FAULTY
        if labels.any() and not labels.all():
            false, true, _ = roc_curve(labels, part["score"])
            parts.append(pd.DataFrame({"ranker": name, "false_alarms": false, "recall": true}))
    return (
        pd.concat(parts, ignore_index=True)
        if parts
        else pd.DataFrame(columns=["ranker", "false_alarms", "recall"])
    )
