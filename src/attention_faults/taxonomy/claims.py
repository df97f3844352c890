"""Published claims beside our own values, with a verdict by a rule that is kept as data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attention_faults.errors import InputError
from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC
from attention_faults.taxonomy.reading import read_table
from attention_faults.taxonomy.register import Population

# why a quantity was not measured, where the reason is not the dataset alone
NOT_MEASURED = dict.fromkeys(
    ["heuristics", "heuristic_coverage"],
    "there is no primary analysis: the thresholds are not those of the protocol, "
    "or the dataset has no attention-specific fault with a symptom",
) | dict.fromkeys(
    ["hessian_minus_gradient", "relative_improvement"],
    "there is no verdict: the study lacks one of the models of the paper, or faults of it that have a place",
)

NUMBERS = ["value", "value_high", "tolerance"]
VALID = {
    "study": ["taxonomy", "curvature"],
    "rule": ["within", "above"],
    "on_authors_data": ["compare", "not comparable", "by construction"],
    "on_independent_data": ["compare", "not comparable", "by construction"],
    "trust": ["primary", "secondary"],
}


def load(path: Path) -> pd.DataFrame:
    """Read the published claims.

    Returns:
        One row a claim: id, study, statement, quantity (the name of our measurement), rule (`within`: from
        value - tolerance to value_high + tolerance; `above`: value and its whole interval above), value,
        value_high (of a range, else empty), tolerance and its reason, what may be done on the authors' own
        data and on independent data (`compare`, `not comparable`, `by construction`) and the reason where it
        is not `compare`, file that holds our value, source, trust.

    Raises:
        InputError: with every bad cell.
    """
    table = read_table(path)
    claims = table.frame.copy()
    problems = []

    def report(name: str, wrong: pd.Series, message: str) -> None:
        for line, value in zip(table.lines[wrong.to_numpy(bool)], claims.loc[wrong, name], strict=True):
            problems.append(f"{path}:{line}: column `{name}`: `{value}` {message}")

    for name, valid in VALID.items():
        report(name, ~claims[name].isin(valid), f"is not one of {', '.join(valid)}")
    for name in NUMBERS:
        numbers = pd.to_numeric(claims[name], errors="coerce")
        report(name, numbers.isna() & ((claims[name] != "") | (name != "value_high")), "is not a number")
        claims[name] = numbers
    if problems:
        raise InputError(problems)
    return claims


def measure(
    records: pd.DataFrame,
    prevalence: pd.DataFrame,
    heuristics: pd.DataFrame,
    agreement: pd.DataFrame | None,
) -> pd.DataFrame:
    """Collect our values of the quantities that the taxonomy claims speak of.

    Args:
        records: fault records.
        prevalence: result of `prevalence.measure`.
        heuristics: summary of `heuristics.derive`; its row `primary`, and no other, is set beside the paper.
        agreement: result of `agreement.measure`, where the dataset has ratings.

    Returns:
        Indexed by quantity: value, low, high (95% interval; missing for counts). A quantity that the dataset
        cannot show is left out.
    """
    specific = records[records["scope"] == ATTENTION_SPECIFIC]
    everyone = prevalence["population"] == "all"
    share = prevalence[
        everyone & (prevalence["facet"] == "scope") & (prevalence["label"] == ATTENTION_SPECIFIC)
    ]
    primary = heuristics[heuristics["analysis"] == "primary"]
    counts = {
        "records": len(records),
        "projects": records["project"].nunique(),
        "attention_specific_categories": specific["category"].nunique(),
        "attention_specific_root_causes": specific["root_cause"].nunique(),
    }
    if "framework" in records:
        named = records["framework"].where(records["framework"] != "").nunique()
        counts |= {"frameworks": named} if named else {}
    if agreement is not None:
        counts["phases"] = agreement["phase"].nunique()
    estimates = {
        "attention_specific_share": share[["share", "clustered_low", "clustered_high"]].iloc[0].tolist(),
    }
    if len(primary):
        counts["heuristics"] = primary["rules_found"].iloc[0]
        coverage = ["coverage", "coverage_low", "coverage_high"]
        estimates["heuristic_coverage"] = primary[coverage].iloc[0].tolist()
    rows = {name: [float(count), None, None] for name, count in counts.items()} | estimates
    return pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high"], dtype=float)


def judge(claims: pd.DataFrame, ours: pd.DataFrame, population: Population) -> pd.DataFrame:
    """Set each claim beside our value.

    Args:
        claims: result of `load`.
        ours: result of `measure`, indexed by quantity.
        population: whether the dataset is the authors' or an independent one.

    Returns:
        One row a claim: id, statement, published, published_high, tolerance, ours, low, high, verdict
        (`reproduced`, `not reproduced`, `not comparable`, `by construction`), reason, trust, source.
    """
    rows = []
    claim: Any  # columns of the row are attributes
    for claim in claims.itertuples():
        has_value = claim.quantity in ours.index
        value, low, high = ours.loc[claim.quantity].tolist() if has_value else [np.nan] * 3
        licence = claim.on_authors_data if population == "authors" else claim.on_independent_data
        if licence != "compare":
            verdict, reason = licence, claim.reason
        elif not has_value:
            verdict = "not comparable"
            reason = NOT_MEASURED.get(claim.quantity, "the dataset does not hold what this needs")
        else:
            holds = RULES[claim.rule](claim, value, low)
            verdict, reason = "reproduced" if holds else "not reproduced", claim.tolerance_reason
        rows.append(
            {
                "id": claim.id,
                "statement": claim.statement,
                "published": claim.value,
                "published_high": claim.value_high,
                "tolerance": claim.tolerance,
                "ours": value,
                "low": low,
                "high": high,
                "verdict": verdict,
                "reason": reason,
                "trust": claim.trust,
                "source": claim.source,
            }
        )
    return pd.DataFrame(rows)


def _within(claim: Any, value: float, _low: float) -> bool:
    upper = claim.value if pd.isna(claim.value_high) else claim.value_high
    return bool(claim.value - claim.tolerance <= value <= upper + claim.tolerance)


def _above(claim: Any, value: float, low: float) -> bool:
    return bool(min(value, low) > claim.value)


RULES: dict[str, Callable[[Any, float, float], bool]] = {"within": _within, "above": _above}
