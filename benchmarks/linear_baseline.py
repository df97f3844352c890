"""Measure how well a linear classifier does on the texts of the real tasks, on the same split and words.

Usage: python benchmarks/linear_baseline.py                     (ATTENTION_FAULTS_DATA as in the study)

TF-IDF of words and pairs of words, logistic regression.
"""

from pathlib import Path

import yaml
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from attention_faults.faults.campaign import data_path, subject_of
from attention_faults.study import Model
from attention_faults.subjects.subject import Batch

ROOT = Path(__file__).parents[1]
WORDS = {"han": ("words", "mask"), "distilbert": ("input_ids", "attention_mask")}


def as_text(batch: Batch, words: str, mask: str) -> list[str]:
    """Write word ids as words."""
    return [
        " ".join(map(str, ids[real].tolist())) for ids, real in zip(batch[words], batch[mask], strict=True)
    ]


def main() -> None:
    """Print the accuracy for each model that reads texts."""
    seed = yaml.safe_load((ROOT / "config.yaml").read_text())["seed"]
    for name, settings in yaml.safe_load((ROOT / "config/real.yaml").read_text())["models"].items():
        model = Model(**settings)
        if model.data is None or model.subject not in WORDS:
            continue
        task = subject_of(name, model).real_task(data_path(model.data), seed)
        train, test = (as_text(batch, *WORDS[model.subject]) for batch in (task.train, task.test))
        classifier = make_pipeline(
            TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), min_df=2, sublinear_tf=True),
            LogisticRegression(C=10, max_iter=1000),
        )
        classifier.fit(train, task.train["label"])
        accuracy = classifier.score(test, task.test["label"])
        print(f"{name}: accuracy {accuracy:.3f} on {len(test)} test samples")


if __name__ == "__main__":
    main()
