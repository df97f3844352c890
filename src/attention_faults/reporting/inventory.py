"""The inventory: for each published claim, which rule, script and file hold our value."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from attention_faults.files import replacing

HEAD = """# Inventory

Made by the rule `write_inventory`; do not edit. Each published claim, and what measures it.

"""


@dataclass(frozen=True)
class Rule:
    """A rule of the workflow with its script and the files it writes (`{dataset}` unfilled)."""

    name: str
    script: str
    outputs: tuple[str, ...]


def write(path: Path, claims: pd.DataFrame, rules: Iterable[Rule]) -> None:
    """Write the inventory as Markdown: the claims, then every rule with all that it writes."""
    rules = list(rules)
    lines = ["| claim | published | rule | script | file |", "|---|---|---|---|---|"]
    claim: Any  # columns of the row are attributes
    for claim in claims[claims["file"] != ""].itertuples():
        file = f"results/{{dataset}}/{claim.file}"
        rule = next((rule for rule in rules if file in rule.outputs), None)
        if rule is None:
            raise ValueError(f"claim `{claim.id}`: no rule writes {file}")
        upper = "" if pd.isna(claim.value_high) else f" to {claim.value_high:g}"
        lines.append(
            f"| {claim.statement} | {claim.value:g}{upper} | `{rule.name}` | `{rule.script}` | `{file}` |"
        )
    lines += ["", "## Every rule", "", "| rule | script | files |", "|---|---|---|"]
    for rule in rules:
        files = "<br>".join(f"`{output}`" for output in rule.outputs)
        lines.append(f"| `{rule.name}` | `{rule.script}` | {files} |")
    with replacing(path) as temporary:
        temporary.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
