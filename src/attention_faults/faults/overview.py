"""The catalogue of faults as a table: what each breaks, and where in each model it can, or why it cannot."""

from collections.abc import Mapping

import pandas as pd
from torch import nn

from attention_faults.faults.fault import places
from attention_faults.faults.operator import Operator, catalogue
from attention_faults.subjects.subject import Subject

REQUIREMENTS = {
    "heads": "several heads",
    "value": "a value projection of its own",
    "source": "a step `source`",
    "cache": "a cache",
    "mask": "a mask that hides something",
    "earlier_queries": "earlier queries that count",
}


def catalogue_table(models: Mapping[str, tuple[Subject, nn.Module]]) -> pd.DataFrame:
    """Describe every operator.

    Args:
        models: subjects with a network each, by name.

    Returns:
        One row an operator, by category and root cause: its data, and a column for each model with the
        places where it applies, or why there is none.
    """
    rows = []
    for operator in catalogue().values():
        where = {
            name: ", ".join(filter(None, places(operator, subject, network))) or _why_not(operator)
            for name, (subject, network) in models.items()
        }
        rows.append(
            {
                "operator": operator.id,
                "category": operator.category,
                "root_cause": operator.root_cause,
                "mechanism": operator.mechanism,
                "severities": ", ".join(f"{severity:g}" for severity in operator.severities),
                "persists": operator.persists,
                "at_fault": operator.truth,
                **where,
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values(["category", "root_cause"], kind="stable", ignore_index=True)


def _why_not(operator: Operator) -> str:
    if operator.target == "training":
        return "(no place: the training process)"
    needs = []
    if operator.kinds:
        needs.append(f"attention of kind {' or '.join(operator.kinds)}")
    needs += [REQUIREMENTS[requirement] for requirement in operator.requires]
    if operator.target == "positions":
        needs.append("position embeddings")
    if operator.target == "feed_forward":
        needs.append("a feed-forward network")
    return f"(needs {', '.join(needs)})"
