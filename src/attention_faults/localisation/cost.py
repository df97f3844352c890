"""What each ranker costs, beside what it finds."""

from collections.abc import Sequence

import pandas as pd

from attention_faults.localisation.evaluation import Redrawn
from attention_faults.localisation.evidence import Evidence
from attention_faults.localisation.rankers import HESSIAN, Ranker, rankers


def cost(ranker: Ranker, evidence: Evidence) -> float:
    """Cost of a ranker for one model, in gradients: metrics of one family share what they spend.

    The Hessian aggregate needs the whole profile, any other what its dearest member needs.
    """
    if ranker == HESSIAN:
        spent = evidence.runs["hessian_cost"]
        return float(spent[spent > 0].mean())
    return max((evidence.costs[name] for name in ranker.members), default=0.0)


def beside_accuracy(evidences: Sequence[Evidence], redrawn: Sequence[Redrawn]) -> pd.DataFrame:
    """Set the cost of every ranker beside its mean reciprocal rank.

    Returns:
        One row a model and ranker: model, ranker, family, cost (in gradients of the batch), mrr.
    """
    found = {part.model: part for part in redrawn}
    rows = [
        (
            evidence.model,
            ranker.name,
            ranker.family,
            cost(ranker, evidence),
            found[evidence.model].mean(ranker.name),
        )
        for evidence in evidences
        if evidence.model in found
        for ranker in rankers(evidence.values)
    ]
    return pd.DataFrame(rows, columns=["model", "ranker", "family", "cost", "mrr"])
