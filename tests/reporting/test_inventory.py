"""The inventory leads from each claim to the rule, script and file that measure it."""

from pathlib import Path

import pandas as pd
import pytest

from attention_faults.reporting import inventory

RULES = [inventory.Rule("measure", "scripts/measure.py", ("results/{dataset}/tables/a.csv", "x"))]


def claims(file: str) -> pd.DataFrame:
    rows = [
        {"id": "one", "statement": "one holds", "value": 0.236, "value_high": 0.381, "file": file},
        {"id": "two", "statement": "two is of another study", "value": 1.0, "value_high": None, "file": ""},
    ]
    return pd.DataFrame(rows)


def test_claim_leads_to_rule_script_and_file(tmp_path: Path) -> None:
    inventory.write(tmp_path / "inventory.md", claims("tables/a.csv"), RULES)
    text = (tmp_path / "inventory.md").read_text()
    expected = (
        "| one holds | 0.236 to 0.381 | `measure` | `scripts/measure.py` | `results/{dataset}/tables/a.csv` |"
    )
    assert expected in text
    assert "two is of another study" not in text


def test_claim_that_no_rule_measures_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="claim `one`: no rule writes"):
        inventory.write(tmp_path / "inventory.md", claims("tables/b.csv"), RULES)
    assert list(tmp_path.iterdir()) == []
