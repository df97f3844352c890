"""Which candidates to rate first: TF-IDF and a linear model, calibrated. A ranking, never a label."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from attention_faults.taxonomy.folds import project_folds

Floats = NDArray[np.float64]
Truths = NDArray[np.bool_]

CHARACTERS = 4_000  # of a thread that are read: what is wrong is said early
FEATURES = 20_000
FOLDS = 5  # of the calibration
STRENGTH = 10.0  # inverse of the penalty


def texts(title: pd.Series, body: pd.Series) -> pd.Series:
    """Return what the model reads of threads."""
    return (title.fillna("") + "\n" + body.fillna("")).str.slice(0, CHARACTERS)


@dataclass(frozen=True)
class Words:
    """TF-IDF weights of the words of some texts (Salton & Buckley 1988), sublinear in the counts."""

    vectorizer: Any

    @classmethod
    def of(cls, training: pd.Series) -> Self:
        """Learn words and their weights."""
        vectorizer = TfidfVectorizer(
            sublinear_tf=True,
            min_df=2,
            max_df=0.5,
            max_features=FEATURES,
            token_pattern=r"[A-Za-z_][A-Za-z0-9_]+",  # noqa: S106 (no password)
            dtype=np.float32,
        )
        return cls(vectorizer.fit(training))

    def weigh(self, some: pd.Series) -> Any:
        """Return the weights, a sparse array of shape (texts, words)."""
        return self.vectorizer.transform(some)


@dataclass(frozen=True)
class Classifier:
    """Probabilities of labels, each told from all others by a logistic regression with Platt's calibration.

    The calibration (Platt 1999) is fitted on scores of records that the scoring model has not seen, projects
    held out whole. A label that cannot be learnt (too few projects have it, or lack it) keeps its share.

    Attributes:
        labels: in order.
        models: one a label, or None where it could not be learnt.
        shares: of the labels in training.
    """

    labels: list[str]
    models: list[Any]
    shares: Floats

    @classmethod
    def of(cls, words: Any, labels: pd.Series, projects: pd.Series, seed: int) -> Self:
        """Learn from the weighted words of some texts, their labels and projects; equal seed, equal model."""
        names = sorted(labels.unique())
        fold = project_folds(projects.reset_index(drop=True), FOLDS, seed)
        splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(int(fold.max()) + 1)]
        models = [_binary(words, (labels == name).to_numpy(bool), splits) for name in names]
        return cls(names, models, np.array([(labels == name).mean() for name in names]))

    def probabilities(self, words: Any) -> Floats:
        """Return the probability of each label for each text, shape (texts, labels); a row sums to 1."""
        columns = [
            np.full(words.shape[0], share) if model is None else model.predict_proba(words)[:, 1]
            for model, share in zip(self.models, self.shares, strict=True)
        ]
        found = np.column_stack(columns).astype(np.float64)
        return np.asarray(found / found.sum(axis=1, keepdims=True))


def _binary(words: Any, holds: Truths, splits: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Any:
    """Learn whether a label holds, or return None where a training part lacks one of both answers."""
    if not splits or any(holds[train].all() or not holds[train].any() for train, _ in splits):
        return None
    model = LogisticRegression(C=STRENGTH, solver="liblinear", class_weight="balanced")
    return CalibratedClassifierCV(model, method="sigmoid", cv=splits, ensemble=False).fit(words, holds)


def rank(
    training: pd.DataFrame, candidates: pd.DataFrame, outcomes: Sequence[str], *, seed: int
) -> pd.DataFrame:
    """Rank candidates by the probability that they are what is looked for.

    Args:
        training: one row a rated text: text, project, and for each outcome the label ("" is not known).
        candidates: record_id, text.
        outcomes: column of `training` and, after `=`, the label looked for, as in
            `scope=attention_specific`; without `=`, the most probable label is named and does not change the
            order. An outcome of which training holds one label only says nothing and is left out.
        seed: of the folds of the calibration.

    Returns:
        One row a candidate, the most probable first, ties by record_id: record_id, rank (from 1), score
        (product of the probabilities of what is looked for), and for each outcome its probability, or
        `<outcome>` and `<outcome>_probability`.
    """
    words = Words.of(training["text"])
    weighed = words.weigh(candidates["text"])
    ranked = pd.DataFrame({"record_id": candidates["record_id"].to_numpy(), "score": 1.0})
    for outcome in outcomes:
        column, _, wanted = outcome.partition("=")
        known = training[training[column] != ""]
        if known[column].nunique() < 2:
            continue
        learnt = Classifier.of(words.weigh(known["text"]), known[column], known["project"], seed)
        probabilities = learnt.probabilities(weighed)
        if wanted:
            ranked[outcome] = probabilities[:, learnt.labels.index(wanted)]
            ranked["score"] *= ranked[outcome]
        else:
            ranked[column] = np.array(learnt.labels)[probabilities.argmax(axis=1)]
            ranked[f"{column}_probability"] = probabilities.max(axis=1)
    ranked = ranked.sort_values(["score", "record_id"], ascending=[False, True], ignore_index=True)
    ranked.insert(1, "rank", np.arange(1, len(ranked) + 1))
    return ranked
