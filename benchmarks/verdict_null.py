"""What the verdict says where nothing differs: SYNTHETIC studies in which no metric sees any fault.

Run as `PYTHONPATH=tests python benchmarks/verdict_null.py`.
"""

from collections import Counter
from typing import Any

import numpy as np
from support.evidence import made_up  # type: ignore[import-not-found]

from attention_faults.localisation import evaluation, verdict

STUDIES, FAULTS = 60, 4


def main() -> None:
    """Print shares of verdicts, of the rule before, of significant tests and of intervals that hold 0."""
    answers: Counter[str] = Counter()
    with_trivial, significant, held = 0, Counter[str](), Counter[str]()
    for study in range(STUDIES):
        redrawn = []
        for number, model in enumerate(verdict.PRIMARY):
            evidence = made_up(model, seed=1000 * study + number, faults=FAULTS)
            part = evaluation.redraw(evidence, draws=400, seed=study)
            assert part is not None
            redrawn.append(part)
        table = verdict.judge(redrawn, permutations=999, level=0.95, seed=study)
        answers[table["verdict"].iloc[0]] += 1
        with_trivial += bool((table["high"].iloc[:3] < 0).any())
        row: Any  # columns of the row are attributes
        for row in table.iloc[:4].itertuples():
            comparator = str(row.comparator).partition(":")[0]
            significant[comparator] += bool(row.p <= verdict.LEVEL)
            held[comparator] += bool(row.low <= 0 <= row.high)
    print(f"{STUDIES} studies, {len(verdict.PRIMARY)} models x {FAULTS} faults, nothing sees a fault")
    for name, count in answers.items():
        print(f"verdict {name}: {count / STUDIES:.0%}")
    print(f"an interval of (a), (b) or (c) below zero, the rule for no before: {with_trivial / STUDIES:.0%}")
    for name, count in held.items():
        p = f"p <= {verdict.LEVEL} in {significant[name] / STUDIES:.0%}"
        print(f"against {name}: {p}, interval holds 0 in {count / STUDIES:.0%}")


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
