"""How long triage takes: candidates ranked by a model of the embedded dataset.

Usage: python benchmarks/triage.py [CANDIDATES]       (default: 100000)

The candidates are SYNTHETIC: words of the embedded descriptions in random order, 200 a thread.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from attention_faults.labelling import triage

ROOT = Path(__file__).parents[1]
WORDS = 200


def main() -> None:
    """Print seconds and peak memory."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    records = pd.read_csv(ROOT / "data/faults/github_2026/records.csv", dtype=str, keep_default_na=False)
    texts = triage.texts(records["observed"], records["cause"])
    words = np.array(" ".join(texts).split())
    generator = np.random.default_rng(1)
    bodies = [" ".join(words[generator.integers(len(words), size=WORDS)]) for _ in range(number)]
    candidates = pd.DataFrame({"record_id": np.arange(number).astype(str), "text": bodies})
    outcomes = ["scope=attention_specific", "category"]
    started = time.perf_counter()
    ranked = triage.rank(records.assign(text=texts), candidates, outcomes, seed=1)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(ranked):,} synthetic candidates ranked in {seconds:.1f} s, peak memory {peak:,.0f} MiB")


if __name__ == "__main__":
    main()
