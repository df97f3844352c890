"""The page on what was found: every number on it comes from a run that is kept with the project."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from attention_faults.files import replacing
from attention_faults.reporting import tables

HEAD = """# Findings

Made by the rule `write_findings` from `data/reference_runs/`; do not edit. What is measured, and what would
count as yes or no, was fixed before: [protocol.md](protocol.md). MRR is the mean reciprocal rank of the first
block at fault, 1 for a ranker that always names one first. All models of these runs are small and trained on
SYNTHETIC tasks; metrics, faults and measures are our choice, since the abstract names none: this tests its
claim in our setting, and refutes nothing that it found in its own.
"""
MEANING = {
    "yes": "The Hessian aggregate beats the gradient norm, the gradient aggregate and the trivial baselines.",
    "no": "The Hessian aggregate is worse than gradient norm, gradient aggregate or best trivial baseline: "
    "the interval of at least one of these differences lies below zero.",
    "not shown": "No difference is large enough to tell whether the Hessian helps.",
}
RANKERS = [
    "hessian_aggregate",
    "gradient_aggregate",
    "gradient_norm",
    "weight_norm",
    "weight_change",
    "random",
]


def write(path: Path, folders: Sequence[Path]) -> None:
    """Write the page as Markdown.

    Args:
        path: to write to.
        folders: of kept runs, as from `reference_runs.keep`.
    """
    parts = [HEAD]
    for folder in sorted(folders):
        parts += _run(folder)
    with replacing(path) as temporary:
        temporary.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _run(folder: Path) -> list[str]:
    about = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    found = {file.stem: tables.read(file) for file in folder.glob("*.csv")}
    runs = found["plan"].iloc[-1]
    hours = about["seconds_of_jobs"] / 3600
    made = (
        f"{runs['runs']} runs in {runs['series']} series; commit `{about['commit'][:10]}`; {hours:.1f} hours "
        f"of jobs on {about['device']}."
    )
    return [
        f"## {folder.name}",
        "",
        made,
        "",
        *_answer(found["verdict"]),
        *_models(found["localisation"]),
        *_categories(found["localisation_by_group"]),
        *_beyond(found),
    ]


def _answer(verdict: pd.DataFrame) -> list[str]:
    first = verdict.iloc[0]
    lines = [f"**Do Hessian metrics locate faults better than gradients? {first['verdict']}.**"]
    if first["verdict"] in MEANING:
        lines += [MEANING[first["verdict"]], ""]
    rows = verdict[verdict["role"].isin(["primary", "secondary"])].dropna(subset="difference")
    row: Any  # columns of the row are attributes
    for row in rows.itertuples():
        shown = "better" if row.low > 0 else "worse" if row.high < 0 else "no difference shown"
        lines.append(f"- Against {row.comparator.replace('_', ' ')}: {shown}.")
    lines += ["", "| Hessian aggregate against | units | MRR | theirs | difference | p | p (Holm) |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows.itertuples():
        cells = [
            row.comparator.replace("_", " "),
            f"{row.units:.0f}",
            f"{row.hessian_mrr:.3f}",
            f"{row.comparator_mrr:.3f}",
            _interval(row.difference, row.low, row.high),
            f"{row.p:.3f}",
            "" if pd.isna(row.p_holm) else f"{row.p_holm:.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if pd.notna(first["relative"]):
        change = _interval(
            100 * first["relative"], 100 * first["relative_low"], 100 * first["relative_high"], 1
        )
        lines += [
            "",
            f"Against the gradient norm MRR changes by {change} per cent; a secondary source of the paper",
        ]
        lines.append("speaks of 23.6 to 38.1 per cent of an accuracy that it does not define.")
    return [*lines, ""]


def _models(localisation: pd.DataFrame) -> list[str]:
    rows = localisation[(localisation["granularity"] == "block") & localisation["ranker"].isin(RANKERS)]
    table = rows.pivot_table(index=["model", "regime"], columns="ranker", values="mrr", sort=False)[RANKERS]
    return ["By model (random is chance):", "", *_table(table, ["model", "regime"]), ""]


def _categories(by_group: pd.DataFrame) -> list[str]:
    rows = by_group[
        (by_group["by"] == "category")
        & (by_group["granularity"] == "block")
        & (by_group["regime"] == "with reference")
        & by_group["ranker"].isin(RANKERS)
    ]
    table = rows.pivot_table(index=["label", "units"], columns="ranker", values="mrr", sort=False)[RANKERS]
    gain = (table["hessian_aggregate"] - table["gradient_norm"]).droplevel("units").sort_values()
    helped, hurt = (
        ", ".join(f"{name} ({value:+.2f})" for name, value in part.items()) or "none"
        for part in (gain[gain > 0].iloc[::-1], gain[gain < 0])
    )
    return [
        "By category of fault, all models, with reference (exploratory; few units each):",
        "",
        *_table(table, ["category", "units"]),
        "",
        f"Above the gradient norm in: {helped}. Below it in: {hurt}.",
        "",
    ]


def _beyond(found: dict[str, pd.DataFrame]) -> list[str]:
    lines = []
    detection = found["detection"].set_index("ranker")
    able = detection.loc[[name for name in RANKERS if name in detection.index]].dropna(subset="auroc")
    if len(able):
        named = (
            f"{str(name).replace('_', ' ')} {_interval(row['auroc'], row['low'], row['high'])}"
            for name, row in able.iterrows()
        )
        lines.append(f"- Is a model faulty at all? AUROC against clean models: {', '.join(named)}.")
    for kind, rows in found["generalisation"].groupby("left_out", sort=False):
        pairs = zip(rows["metrics"], rows["mrr"], strict=True)
        learnt = ", ".join(f"{name} {value:.2f}" for name, value in pairs)
        chance = rows["chance_mrr"].iloc[0]
        lines.append(
            f"- A ranker learnt without the {kind} it is tried on: MRR {learnt}; chance {chance:.2f}."
        )
    spread = found["robustness"]["difference"]
    lines.append(
        f"- One choice changed at a time ({len(spread) - 1} rows): the difference from the gradient norm is "
        f"between {spread.min():+.3f} and {spread.max():+.3f}."
    )
    control = found["negative_control"]["at_chance"].astype(str) == "True"
    lines.append(
        f"- Blocks at fault drawn at random: {control.sum()} of {len(control)} rankers are at chance."
    )
    return [*lines, ""]


def _interval(value: float, low: float, high: float, digits: int = 3) -> str:
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _table(frame: pd.DataFrame, index: list[str]) -> list[str]:
    names = [*index, *(name.replace("_", " ") for name in frame.columns)]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for key, row in frame.iterrows():
        keys = key if isinstance(key, tuple) else (key,)
        lines.append(f"| {' | '.join([*map(str, keys), *(f'{value:.3f}' for value in row)])} |")
    return lines
