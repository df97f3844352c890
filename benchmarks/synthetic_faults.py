"""Write a SYNTHETIC fault dataset of any size, in the shape of the embedded one.

Usage: python benchmarks/synthetic_faults.py ROWS FILE.csv

Labels are drawn from skewed shares, symptoms lean on root causes, projects are of very different sizes.
Nothing in it was observed.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from attention_faults.taxonomy import codebook

ROOT = Path(__file__).parents[1]
PROJECTS = 20_000
CHUNK = 250_000


def synthetic_faults(rows: int, seed: int, first: int = 0) -> pd.DataFrame:
    """Draw `rows` synthetic fault records, numbered from `first`."""
    book = codebook.load(ROOT / "data/codebook.yaml")
    generator = np.random.default_rng([seed, first])
    shares = np.random.default_rng(seed)
    causes = np.array(book.labels("root_cause"))
    cause = generator.choice(len(causes), rows, p=shares.dirichlet(np.full(len(causes), 2.0)))
    category = np.array([book.category_of[name] for name in causes])[cause]
    leaning = shares.dirichlet(np.full(len(book.labels("symptom")), 0.3), size=len(causes)).cumsum(axis=1)
    symptom = (generator.random((rows, 1)) > leaning[cause]).sum(axis=1).clip(max=leaning.shape[1] - 1)
    project = (PROJECTS * generator.random(rows) ** 3).astype(int)
    number = np.arange(first, first + rows).astype(str)
    labels = {
        facet: np.array(book.labels(facet))[
            generator.choice(
                len(book.labels(facet)), rows, p=shares.dirichlet(np.full(len(book.labels(facet)), 2.0))
            )
        ]
        for facet in ("trigger", "visibility", "stage")
    }
    text = pd.Series(number).radd("SYNTHETIC: not an observed fault, number ")
    return pd.DataFrame(
        {
            "record_id": pd.Series(number).radd("synthetic-"),
            "source": "github",
            "url": pd.Series(number).radd("https://synthetic.invalid/issues/"),
            "project": pd.Series(project.astype(str)).radd("synthetic/project-"),
            "framework": np.array(["pytorch", "transformers", "jax", "other"])[
                generator.integers(0, 4, rows)
            ],
            "kind": "issue",
            "number": number,
            "created": np.datetime_as_string(np.datetime64("2018-01-01") + generator.integers(0, 3000, rows)),
            "state": "closed",
            "observed": text,
            "cause": text,
            "fix": "",
            "scope": pd.Series(category).map(book.scope_of),
            "category": category,
            "root_cause": causes[cause],
            "symptom": np.array(book.labels("symptom"))[symptom],
            **labels,
            "secondary_symptom": "",
            "evidence": "high",
            "decided": "agreed",
            "stratum": np.array(["one", "two"])[generator.integers(0, 2, rows)],
            "query_names_attention": np.array(["yes", "no"])[generator.integers(0, 2, rows)],
            "query": "synthetic",
        }
    )


def main() -> None:
    """Write the file chunk by chunk."""
    rows, path = int(sys.argv[1]), Path(sys.argv[2])
    for first in range(0, rows, CHUNK):
        chunk = synthetic_faults(min(CHUNK, rows - first), seed=1, first=first)
        chunk.to_csv(path, mode="w" if first == 0 else "a", header=first == 0, index=False)


if __name__ == "__main__":
    main()
