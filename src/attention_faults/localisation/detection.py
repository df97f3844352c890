"""Is a model faulty at all? Scores of whole runs, faulty ones against clean negatives."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score, roc_curve
from statsmodels.stats.proportion import proportion_confint

from attention_faults.faults.campaign import FAULTY, NEGATIVE
from attention_faults.faults.mutants import MUTANT
from attention_faults.localisation.evaluation import bootstrap, chunks, generator_of
from attention_faults.localisation.evidence import CONSTANT, Evidence, with_reference
from attention_faults.localisation.metric import catalogue
from attention_faults.localisation.rankers import Ranker, rankers
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
    about = evidence.runs.loc[_judged(evidence), ["kind", "operator", "place", "severity", "seed"]]
    about.insert(0, "model", evidence.model)
    once = np.ones((1, len(evidence.reference())))
    return pd.concat(
        [
            about.assign(ranker=ranker.name, family=ranker.family, score=_scores(evidence, ranker, once)[0])
            for ranker in rankers(evidence.values)
            if _members(ranker)
        ],
        ignore_index=True,
    )


def _judged(evidence: Evidence) -> list[int]:
    return np.flatnonzero(evidence.runs["kind"].isin([FAULTY, NEGATIVE])).tolist()


def _members(ranker: Ranker) -> list[str]:
    return [name for name in ranker.members if catalogue()[name].scale != CONSTANT]


def _scores(evidence: Evidence, ranker: Ranker, weights: Floats) -> Floats:
    """Score the runs with the reference drawn by weights (draws, references): (draws, runs)."""
    held = replace(evidence, values={name: evidence.values[name] for name in _members(ranker)})
    runs = _judged(held)
    found = []
    for part in chunks(weights, held, len(runs)):
        of_metric = []
        for scores in with_reference(held, held.reference(), runs, part).values():
            defined = np.isfinite(scores)
            squares = np.where(defined, scores, 0.0) ** 2
            of_metric.append(np.sqrt(squares.sum(axis=2) / np.maximum(defined.sum(axis=2), 1)))
        found.append(np.mean(of_metric, axis=0))
    return np.concatenate(found)


def detect(evidences: Sequence[Evidence], *, draws: int, level: float, seed: int) -> pd.DataFrame:
    """Judge how well each ranker tells faulty runs from clean ones, all models together.

    Args:
        evidences: of the models.
        draws: of the bootstrap, of mutants, negatives and reference runs within models.
        level: of the intervals.
        seed: of the draws.

    Returns:
        One row a ranker: ranker, family, faulty_runs, negatives, auroc with its interval, and false_alarms at
        a recall of 0.8 with the Wilson interval of a share of the negatives (the threshold held); these are
        missing, and `remark` says so, with fewer than 20 negatives.
    """
    scored = pd.concat(map(anomalies, evidences), ignore_index=True)
    rows = []
    for ranker in dict.fromkeys(r for evidence in evidences for r in rankers(evidence.values) if _members(r)):
        part = scored[scored["ranker"] == ranker.name]
        faulty, clean = (
            part.loc[part["kind"] == kind, "score"].to_numpy(float) for kind in (FAULTY, NEGATIVE)
        )
        row: dict[str, object] = {"ranker": ranker.name, "family": ranker.family}
        row |= {"faulty_runs": len(faulty), "negatives": len(clean)}
        if len(clean) < LEAST_NEGATIVES or not len(faulty):
            remark = f"not estimable: it takes a faulty run and {LEAST_NEGATIVES} negatives"
            rows.append({**row, "remark": remark})
            continue
        measured = [evidence for evidence in evidences if set(ranker.members) <= set(evidence.values)]
        drawn = _redrawn(measured, ranker, draws, seed)
        (low,), (high,) = percentile_interval(drawn[:, np.newaxis], level)
        alarms = false_alarms(faulty, clean)
        wilson = proportion_confint(round(alarms * len(clean)), len(clean), alpha=1 - level, method="wilson")
        row |= {"auroc": auroc(faulty, clean), "low": low, "high": high, "false_alarms": alarms}
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


def _redrawn(evidences: Sequence[Evidence], ranker: Ranker, draws: int, seed: int) -> Floats:
    """Redraw the area: mutants, with all their runs, negatives and reference runs, each within its model."""
    generator = np.random.default_rng(seed)
    models = []
    for evidence in evidences:
        references = bootstrap(generator_of(evidence, seed), draws, len(evidence.reference()))
        runs = evidence.runs.loc[_judged(evidence)].assign(model=evidence.model).reset_index(drop=True)
        mutants = runs[runs["kind"] == FAULTY].groupby(MUTANT, sort=False).indices
        models.append(
            (
                _scores(evidence, ranker, references),
                [runs.index[runs["kind"] == FAULTY][rows] for rows in mutants.values()],
                np.flatnonzero(runs["kind"] == NEGATIVE),
            )
        )
    found = []
    for draw in range(draws):
        faulty = [
            scores[draw, mutants[i]]
            for scores, mutants, _ in models
            for i in generator.integers(len(mutants) or 1, size=len(mutants))
        ]
        clean = [
            scores[draw, generator.choice(negatives, len(negatives))]
            for scores, _, negatives in models
            if len(negatives)
        ]
        found.append(auroc(np.concatenate(faulty), np.concatenate(clean)))
    return np.array(found)


def by(scored: pd.DataFrame, label: str) -> pd.DataFrame:
    """Judge detection by the labels of one column of the faulty runs, against the negatives of all models.

    Args:
        scored: as from `anomalies` of all models, with the column.
        label: the column.

    Returns:
        One row a label and ranker: by, label, ranker, faulty_runs, negatives, auroc (missing with fewer than
        20 negatives).
    """
    rows = []
    for name, part in scored.groupby("ranker", sort=False):
        clean = part.loc[part["kind"] == NEGATIVE, "score"].to_numpy(float)
        for value, faulty in part[part["kind"] == FAULTY].groupby(label, sort=False):
            enough = len(clean) >= LEAST_NEGATIVES
            area = auroc(faulty["score"].to_numpy(float), clean) if enough else np.nan
            rows.append([label, value, name, len(faulty), len(clean), area])
    return pd.DataFrame(rows, columns=["by", "label", "ranker", "faulty_runs", "negatives", "auroc"])


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
