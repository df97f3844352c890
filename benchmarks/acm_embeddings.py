"""Score `graph_han` on ACM in the way of the published figures, beside its own classifier.

Usage: python benchmarks/acm_embeddings.py [FOLDER]     (default: results/curvature, after a run of
       `snakemake curvature --configfile config/real.yaml`; ATTENTION_FAULTS_DATA as there)

The published 0.892 micro-F1 and 0.894 macro-F1 are those of a nearest-neighbour classifier (k = 5) of the
test papers' embeddings that is given the labels of a fifth of them, the mean of ten random splits.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from attention_faults.faults.campaign import data_path, subject_of
from attention_faults.faults.execution import read_state
from attention_faults.study import Model

ROOT = Path(__file__).parents[1]
NAME = "graph_han_acm"


def scores(label: Any, predicted: Any) -> list[float]:
    """Return micro and macro F1."""
    return [float(f1_score(label, predicted, average=average)) for average in ("micro", "macro")]


def of_neighbours(embeddings: Any, label: Any) -> list[float]:
    """Return micro and macro F1 of nearest neighbours, the mean of ten splits."""
    found = []
    for split in range(10):
        known, asked, known_label, asked_label = train_test_split(
            embeddings, label, train_size=0.2, random_state=split
        )
        predicted = KNeighborsClassifier(5).fit(known, known_label).predict(asked)
        found.append(scores(asked_label, predicted))
    return [float(mean) for mean in np.mean(found, axis=0)]


@torch.no_grad()
def main() -> None:
    """Print both scores of every seed, then their means."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "results/curvature")
    model = Model(**yaml.safe_load((ROOT / "config/real.yaml").read_text())["models"][NAME])
    subject: Any = subject_of(NAME, model)
    task = subject.real_task(data_path(str(model.data)), 0)
    nodes, label = task.test["node"], task.test["label"].numpy()
    rows = []
    for checkpoint in sorted(folder.glob(f"runs/{NAME}/reference/checkpoints/*/end.safetensors")):
        network = subject.build(task, 0)
        network.load_state_dict(read_state(checkpoint))
        network.eval()
        layers = [layer(network.features) for _, layer in network.layers()]
        embeddings = network.semantic(torch.stack(layers, dim=1))[nodes]
        own = scores(label, network.head(embeddings).argmax(dim=1).numpy())
        rows.append([*own, *of_neighbours(embeddings.numpy(), label)])
        print(checkpoint.parent.name, np.round(rows[-1], 4), flush=True)
    print("micro and macro F1 of the classifier, then of nearest neighbours:")
    print("mean", np.mean(rows, axis=0).round(4), "sd", np.std(rows, axis=0, ddof=1).round(4))


if __name__ == "__main__":
    main()
