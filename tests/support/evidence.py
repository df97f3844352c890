"""Evidence with planted faults, and without any: SYNTHETIC numbers in place of what a study measures."""

from dataclasses import replace

import numpy as np
import pandas as pd

from attention_faults.localisation.evidence import Evidence
from attention_faults.localisation.metric import catalogue

BLOCKS = tuple(f"layer{layer}.{role}" for layer in range(4) for role in ("query", "key", "value", "output"))
METRICS = [
    "gradient_norm",
    "gradient_max",
    "gradient_x_weight",
    "gradient_variance",
    "batches_norm",
    "batches_max",
    "batches_x_weight",
    "batches_variance",
    "hessian_trace",
    "hessian_frobenius",
    "hessian_largest",
    "hessian_negative_share",
    "interaction_sum",
    "interaction_change",
    "parameter_count",
    "weight_norm",
    "weight_change",
]


def made_up(
    model: str = "han",
    *,
    subject: str | None = None,
    seed: int = 0,
    references: int = 10,
    negatives: int = 5,
    faults: int = 6,
    seeds: int = 5,
    shift: float = 0.0,
    shifted: tuple[str, ...] = METRICS,
) -> Evidence:
    """Make evidence of a model whose values are log-normal, with faulty blocks shifted in some metrics.

    Args:
        shift: of the logarithm of a value of a block at fault, in standard deviations of its own.
        shifted: metrics that see the fault.
    """
    generator = np.random.default_rng(seed)
    rows = [
        {"kind": "reference", "operator": "", "place": "", "seed": number} for number in range(references)
    ]
    rows += [{"kind": "negative", "operator": "", "place": "", "seed": 100 + n} for n in range(negatives)]
    truth = [np.zeros(len(BLOCKS), dtype=bool) for _ in rows]
    for fault in range(faults):
        at_fault = np.zeros(len(BLOCKS), dtype=bool)
        at_fault[generator.choice(len(BLOCKS), 2, replace=False)] = True
        for number in range(seeds):
            about = {"operator": f"operator{fault % 4}", "place": f"place{fault}", "seed": 200 + number}
            rows.append({"kind": "faulty", **about})
            truth.append(at_fault)
    runs = pd.DataFrame(rows).assign(severity=1.0, outcome="measured", hessian_cost=700)
    runs["series"] = runs["kind"] + runs["operator"] + runs["place"]
    held = np.array(truth)
    sizes = np.repeat([32.0, 64.0, 128.0, 16.0], 4)
    values = {}
    for name in METRICS:
        partners = len(BLOCKS) if name == "interaction_change" else 1
        level = generator.normal(size=(1, len(BLOCKS), partners))
        noise = generator.normal(size=(len(runs), len(BLOCKS), partners)) * 0.1
        moved = 0.1 * shift * held[:, :, np.newaxis] * (name in shifted)
        values[name] = np.exp(level + noise + moved)
        if partners > 1:
            values[name][:, range(len(BLOCKS)), range(len(BLOCKS))] = np.nan
    values["parameter_count"] = np.broadcast_to(sizes[:, np.newaxis], (len(runs), len(BLOCKS), 1)).copy()
    costs = {
        name: {"gradient": 65.0, "hessian": 200.0}.get(catalogue()[name].family, 0.0) for name in METRICS
    }
    return Evidence(model, subject or model, BLOCKS, sizes, runs, held, values, costs)


def without(evidence: Evidence, metric: str, run: int) -> Evidence:
    """Make a metric of a run undefined in all blocks."""
    values = {name: array.copy() for name, array in evidence.values.items()}
    values[metric][run] = np.nan
    return replace(evidence, values=values)
