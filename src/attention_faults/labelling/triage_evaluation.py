"""Does triage help? Project-grouped cross-validation against a majority and a keyword baseline."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attention_faults.labelling import ranking_quality
from attention_faults.labelling.ranking_quality import MEASURES
from attention_faults.labelling.triage import Classifier, Words
from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC, Codebook
from attention_faults.taxonomy.folds import project_folds
from attention_faults.taxonomy.resampling import percentile_interval

Floats = NDArray[np.float64]

# what a search for faults of attention would ask for; fixed before it was evaluated
KEYWORDS = re.compile(
    r"attention|attn|mask|head|query|\bkeys?\b|qkv|softmax|rope\b|rotary|position|kv.?cache|flash|sdpa|causal",
    re.IGNORECASE,
)
TOPS = (1, 3)
_WORD = re.compile(r"[a-z]{4,}")


def evaluate(
    records: pd.DataFrame,
    texts: Mapping[str, pd.Series],
    book: Codebook,
    *,
    folds: int,
    first: float,
    recall: float,
    draws: int,
    level: float,
    seed: int,
) -> pd.DataFrame:
    """Rank records of unseen projects, attention-specific ones first, and name their categories.

    Each record is scored by a model that saw no record of its project (words, weights and calibration
    included). `majority` knows the training shares alone: it ranks at random, and names the most frequent
    category. `keywords` counts the distinct words of a fixed list for the ranking, and for the category those
    of the codebook's own wording.

    Args:
        records: a row for each fault, with project, scope and category.
        texts: what is read, by name: (records,).
        book: codebook of the records.
        folds: of the cross-validation.
        first: share of the ranking over which the lift is measured.
        recall: of the attention-specific faults, for the work it takes.
        draws: bootstrap samples of projects.
        level: of the intervals.
        seed: of folds and bootstrap.

    Returns:
        A row for each text, outcome, measure and method: reads, outcome, measure, method (`model`,
        `keywords`, `majority`), value, low, high; best (what a perfect ranking has); over_keywords,
        over_keywords_low, over_keywords_high (difference of the model to the keywords; other rows are
        empty); n. Measures of the scope are those of `ranking_quality` and `brier` (mean squared error of the
        probability); of the category top_1 and top_3 (share of records whose category is among the first
        named).
    """
    fold = project_folds(records["project"], folds, seed)
    weights = ranking_quality.project_weights(records["project"], draws=draws, seed=seed)
    weights = np.vstack([np.ones(len(records)), weights])  # the first row is the sample itself
    tables = []
    for reads, text in texts.items():
        for outcome, measured in (
            ("scope", _of_scope(records, text, fold, weights, first, recall, seed)),
            ("category", _of_category(records, text, fold, weights, book, seed)),
        ):
            tables += [
                _rows(by_method, best, level).assign(reads=reads, outcome=outcome, measure=measure)
                for measure, (by_method, best) in measured.items()
            ]
    columns = ["reads", "outcome", "measure", "method", "value", "low", "high", "best"]
    columns += ["over_keywords", "over_keywords_low", "over_keywords_high"]
    return pd.concat(tables, ignore_index=True)[columns].assign(n=len(records))


def held_out(
    text: pd.Series, labels: pd.Series, projects: pd.Series, fold: NDArray[np.int64], seed: int
) -> pd.DataFrame:
    """Return the probability of each label (column) of each record, by models of the other folds."""
    names = sorted(labels.unique())
    found = pd.DataFrame(np.nan, index=range(len(text)), columns=names)
    for number in range(int(fold.max()) + 1):
        train, test = fold != number, fold == number
        words = Words.of(text[train])
        model = Classifier.of(words.weigh(text[train]), labels[train], projects[train], seed)
        found.loc[test, model.labels] = model.probabilities(words.weigh(text[test]))
    return found.fillna(0)


Measured = dict[
    str, tuple[dict[str, Floats], float]
]  # measure -> values by method (1 + draws,), and the best


def _of_scope(
    records: pd.DataFrame,
    text: pd.Series,
    fold: NDArray[np.int64],
    weights: Floats,
    first: float,
    recall: float,
    seed: int,
) -> Measured:
    labels = records["scope"].astype("str")
    holds = (labels == ATTENTION_SPECIFIC).to_numpy(bool)
    model = held_out(text, labels, records["project"], fold, seed)[ATTENTION_SPECIFIC].to_numpy()
    share = _training_share(holds, fold)
    keywords = text.map(lambda words: len({hit.lower() for hit in KEYWORDS.findall(words)})).to_numpy(float)
    # shares of the training folds differ, which is no ranking of the records
    scores = {"model": model, "keywords": keywords, "majority": np.zeros(len(records))}
    quality = {
        method: ranking_quality.measure(score, holds, weights, first=first, recall=recall)
        for method, score in scores.items()
    }
    perfect = ranking_quality.measure(holds.astype(float), holds, weights[:1], first=first, recall=recall)[0]
    found: Measured = {
        name: ({method: values[:, n] for method, values in quality.items()}, float(perfect[n]))
        for n, name in enumerate(MEASURES)
    }
    errors = {"model": (model - holds) ** 2, "majority": (share - holds) ** 2}
    found["brier"] = ({method: _mean(error, weights) for method, error in errors.items()}, 0.0)
    return found


def _training_share(holds: NDArray[np.bool_], fold: NDArray[np.int64]) -> Floats:
    return np.array([holds[fold != number].mean() for number in fold])


def _of_category(
    records: pd.DataFrame,
    text: pd.Series,
    fold: NDArray[np.int64],
    weights: Floats,
    book: Codebook,
    seed: int,
) -> Measured:
    labels = records["category"].astype("str")
    model = held_out(text, labels, records["project"], fold, seed)
    names = [str(name) for name in model]
    right = labels.map({name: n for n, name in enumerate(names)}).to_numpy()
    frequency = np.vstack([[(labels[fold != k] == name).mean() for name in names] for k in fold])
    vocabulary = {name: _vocabulary(str(name), book) for name in names}
    overlap = np.array(
        [[len(vocabulary[n] & set(_WORD.findall(words.lower()))) for n in names] for words in text]
    )
    # ties go to the more frequent category
    scores = {"model": model.to_numpy(), "keywords": overlap + frequency, "majority": frequency}
    ranks = {
        method: (score > score[np.arange(len(right)), right][:, None]).sum(axis=1)
        for method, score in scores.items()
    }
    return {
        f"top_{top}": ({m: _mean((rank < top).astype(float), weights) for m, rank in ranks.items()}, 1.0)
        for top in TOPS
    }


def _vocabulary(category: str, book: Codebook) -> set[str]:
    """Words that the codebook uses of a category and of no more than two others."""
    wording = {
        name: f"{name} {entry.definition} {' '.join([*entry.root_causes, *entry.root_causes.values()])}"
        for name, entry in book.categories.items()
    }
    words = {name: set(_WORD.findall(text.lower().replace("_", " "))) for name, text in wording.items()}
    return {word for word in words[category] if sum(word in others for others in words.values()) <= 3}


def _mean(values: Floats, weights: Floats) -> Floats:
    return np.asarray(weights @ values / weights.sum(axis=1))


def _rows(by_method: dict[str, Floats], best: float, level: float) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for method, values in by_method.items():
        low, high = percentile_interval(values[1:, None], level)
        row = {"method": method, "value": values[0], "low": low[0], "high": high[0], "best": best}
        if method == "model" and "keywords" in by_method:
            difference = values - by_method["keywords"]
            low, high = percentile_interval(difference[1:, None], level)
            row |= {
                "over_keywords": difference[0],
                "over_keywords_low": low[0],
                "over_keywords_high": high[0],
            }
        rows.append(row)
    columns = ["over_keywords", "over_keywords_low", "over_keywords_high"]
    return pd.DataFrame(rows).reindex(columns=["method", "value", "low", "high", "best", *columns])
