"""Measure whether the embedded tasks are learnt, in how many seconds, and whether they need attention.

Usage: python benchmarks/embedded_tasks.py [SEEDS]               (default: 3 seeds)

Trains every model clean, and again with uniform attention in all of its attentions, on one thread. All data
are synthetic.
"""

import sys
import time

import pandas as pd
import torch

from attention_faults.faults.campaign import subject_of
from attention_faults.faults.fault import EVERYWHERE, Fault, injected
from attention_faults.study import Model
from attention_faults.subjects.training import Plan, train

SUBJECTS = ("han", "graph_han", "cnn3d", "distilbert", "decoder")
UNIFORM = Fault("uniform_attention_dispatched", EVERYWHERE, 1.0)


def measure(name: str, seed: int) -> dict[str, object]:
    """Train one model with and without attention."""
    subject = subject_of(name, Model(subject=name))
    plan = Plan.of(subject, subject.task(seed), seed)
    clean, uniform = (subject.build(plan.task, seed) for _ in range(2))
    started = time.perf_counter()
    accuracy = train(clean, plan).scores[-1].accuracy
    seconds = time.perf_counter() - started
    with injected(UNIFORM, uniform, plan):
        without = train(uniform, plan).scores[-1].accuracy
    return {"model": name, "seed": seed, "clean": accuracy, "uniform": without, "seconds": seconds}


def main() -> None:
    """Print a row a run, then the means and least values."""
    torch.set_num_threads(1)
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
    rows = [measure(name, seed) for name in SUBJECTS for seed in seeds]
    table = pd.DataFrame(rows)
    table["points lost"] = 100 * (table["clean"] - table["uniform"])
    print(table.round(3).to_string(index=False))
    print(
        table.drop(columns="seed")
        .groupby("model", sort=False)
        .agg(["mean", "min", "max"])
        .round(3)
        .to_string()
    )


if __name__ == "__main__":
    main()
