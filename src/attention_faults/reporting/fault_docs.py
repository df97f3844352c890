"""The page on faults: the catalogue, made from the code."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from attention_faults.files import replacing

HEAD = """# Faults

Made by the rule `write_fault_docs` from `src/attention_faults/faults`; do not edit. How to add an operator
or a model: [extending.md](extending.md).

A fault is an **operator** at a **place** of a model with a **severity**. It is injected as a context
manager that breaks one named place and mends it on exit, bit for bit where no optimiser step was taken.
Categories and root causes are those of the codebook (`data/codebook.yaml`); the operators, their severities
and where they apply are our own choice, since the studies name none.

What is **at fault** (the truth that a localisation method has to find): `comparison` is query and key of
the place (scores, masks), `output` its value and output projection (weights, merging of heads), `attention`
all four, `cache` key and value, `block` the block itself; a model that lacks those roles has all blocks of
that attention at fault. GPT-2 computes query, key and value by one matrix, the block `qkv`. Positions are
learnt embeddings here, so that their block is at fault, not query and key. `none` has no place and serves
detection only. An operator that does not *persist* changes the start of training only.

A configuration chooses faults by `operator`, and by `places` and `severities` where not all are wanted;
`faults: all` takes everything. The place `everywhere` is all places at once; the truth is then their union.
`results/curvature/tables/catalogue.csv` says for each model where an operator applies, or why it cannot.
"""


def write(path: Path, catalogue: pd.DataFrame, subjects: Iterable[str], not_shown: Mapping[str, str]) -> None:
    """Write the page as Markdown.

    Args:
        path: to write to.
        catalogue: as from `faults.overview.catalogue_table`.
        subjects: its columns of places.
        not_shown: root causes without an operator, and why.
    """
    subjects = list(subjects)
    lines = [HEAD, f"{len(catalogue)} operators.", ""]
    for category, part in catalogue.groupby("category", sort=False):
        lines += [
            f"## {category}",
            "",
            "| operator | root cause | what goes wrong | severities | persists | at fault | places |",
            "|---|---|---|---|---|---|---|",
        ]
        row: Any  # columns of the row are attributes
        for row in part.itertuples():
            lines.append(
                f"| `{row.operator}` | {row.root_cause} | {row.mechanism} | {row.severities} "
                f"| {'yes' if row.persists else 'no'} | {row.at_fault} | {_places(row, subjects)} |"
            )
        lines.append("")
    lines += ["## Root causes that no model here can show", ""]
    lines += [f"- `{cause}`: {reason}" for cause, reason in not_shown.items()]
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _places(row: Any, subjects: list[str]) -> str:
    where = {subject: getattr(row, subject) for subject in subjects}
    applies = [f"{subject}: {place}" for subject, place in where.items() if not place.startswith("(")]
    return "; ".join(applies) or "training"
