"""How well the clean models do on real tasks.

Usage: python benchmarks/real_tasks.py acm ACM3025.mat [SEEDS]               (default: 5 seeds)
       python benchmarks/real_tasks.py reviews movie_reviews.zip [SEEDS]

Recipes were chosen on the validation papers of ACM and on other splits of the reviews. Beside `han` stands
a linear classifier on the same split and the same words: TF-IDF of words and pairs of words, logistic
regression.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

from attention_faults.subjects.graph_han import GraphHan
from attention_faults.subjects.han import Han
from attention_faults.subjects.subject import Batch, Recipe, Subject, Task
from attention_faults.subjects.training import Plan, train

GRAPH_HAN = GraphHan(heads=8, size=8, semantic=128, dropout=0.6)
GRAPH_HAN_RECIPE = Recipe(epochs=12, batch_size=150, learning_rate=0.005, weight_decay=0.001)
HAN = Han(embedding=50, hidden=25, sentences=40, words=40)
HAN_RECIPE = Recipe(epochs=4, batch_size=32, learning_rate=0.003)


def measure(subject: Subject, task: Task, recipe: Recipe, seed: int) -> dict[str, float]:
    """Train a clean model and return its scores on the test samples."""
    started = time.perf_counter()
    model = subject.build(task, seed)
    run = train(model, replace(Plan.of(subject, task, seed), recipe=recipe))
    if run.outcome != "finished":
        sys.exit(run.message)
    seconds = time.perf_counter() - started
    with torch.no_grad():
        predicted = subject.outputs(model.eval(), task.test).argmax(dim=1)
    return {"seed": seed, **scores(task.test["label"], predicted), "seconds": seconds}


def scores(label: torch.Tensor, predicted: torch.Tensor) -> dict[str, float]:
    return {f"{average}_f1": f1_score(label, predicted, average=average) for average in ("micro", "macro")}


def linear(task: Task, seed: int) -> dict[str, float]:
    """Fit the linear classifier on the same word ids."""
    started = time.perf_counter()
    classifier = make_pipeline(
        TfidfVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        LogisticRegression(C=10, max_iter=1000),
    )
    classifier.fit(as_text(task.train), task.train["label"])
    predicted = torch.from_numpy(classifier.predict(as_text(task.test)))
    seconds = time.perf_counter() - started
    return {"seed": seed, **scores(task.test["label"], predicted), "seconds": seconds}


def as_text(batch: Batch) -> list[str]:
    return [
        " ".join(map(str, words[mask].tolist()))
        for words, mask in zip(batch["words"], batch["mask"], strict=True)
    ]


def main() -> None:
    """Print one row a seed, then means and standard deviations."""
    name, path = sys.argv[1], Path(sys.argv[2])
    seeds = range(int(sys.argv[3]) if len(sys.argv) > 3 else 5)
    torch.set_num_threads(1)
    rows = []
    if name == "acm":
        acm = GRAPH_HAN.real_task(path)
        for seed in seeds:
            rows.append({"model": "graph_han", **measure(GRAPH_HAN, acm, GRAPH_HAN_RECIPE, seed)})
            print(rows[-1], flush=True)
    else:
        for seed in seeds:
            reviews = HAN.real_task(path, seed)
            rows.append({"model": "han", **measure(HAN, reviews, HAN_RECIPE, seed)})
            rows.append({"model": "linear", **linear(reviews, seed)})
            print(*rows[-2:], sep="\n", flush=True)
    table = pd.DataFrame(rows).drop(columns="seed").groupby("model").agg(["mean", "std"])
    print(table.round(4).to_string())


if __name__ == "__main__":
    main()
