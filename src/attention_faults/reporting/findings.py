"""The page on what was found: every number on it comes from a run that is kept with the project."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attention_faults.faults import operator
from attention_faults.files import replacing
from attention_faults.localisation.rankers import GRADIENT, GRADIENT_NORM
from attention_faults.reporting import tables

HEAD = """# Findings

Made by the rule `write_findings` from `data/reference_runs/`; do not edit. What is measured, and what would
count as yes or no, was fixed before: [protocol.md](protocol.md). MRR is the mean reciprocal rank of the first
block at fault, 1 for a ranker that always names one first; a figure in square brackets is a 95% interval.
Metrics, faults and measures are our choice, since the abstract names none: this tests its claim in our
setting, and refutes nothing that it found in its own.
"""
MEANING = {
    "yes": "The Hessian aggregate beats the gradient norm, the gradient aggregate and the trivial baselines.",
    "no": "The Hessian aggregate is worse than the gradient norm or the gradient aggregate: the interval of "
    "a difference lies below zero.",
    "not shown": "The Hessian aggregate is neither shown to beat all of gradient norm, gradient aggregate "
    "and best trivial baseline, nor to be worse than a gradient. That is no proof that they are equal.",
}
LEVEL = 0.05
SHOWN_OPERATORS = 5
MODERATORS = {
    "gradient_change": "a larger gradient of the whole model",
    "curvature_change": "a larger curvature of the whole model",
    "accuracy_drop": "a larger drop of accuracy",
    "parameters_at_fault": "more parameters at fault",
    "blocks_at_fault": "more blocks at fault",
}
RANKERS = [
    "hessian_aggregate",
    "gradient_aggregate",
    "gradient_norm",
    "weight_norm",
    "weight_change",
    "random",
]


@dataclass(frozen=True)
class _Run:
    """A kept run: its name, what is known of it, and its tables."""

    name: str
    about: dict[str, Any]
    found: dict[str, pd.DataFrame]

    @property
    def size(self) -> int:
        """How many models it trained."""
        return int(self.found["plan"]["runs"].iloc[-1])


def write(path: Path, folders: Sequence[Path]) -> None:
    """Write the page as Markdown: all runs beside each other, the largest at length, the others in short.

    Args:
        path: to write to.
        folders: of kept runs, as from `reference_runs.keep`.
    """
    runs = sorted(map(_read, folders), key=lambda run: (-run.size, run.name))
    parts = [HEAD, *_beside(runs), *_at_length(runs[0])]
    for run in runs[1:]:
        parts += _in_short(run)
    with replacing(path) as temporary:
        temporary.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _read(folder: Path) -> _Run:
    about = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    return _Run(folder.name, about, {file.stem: tables.read(file) for file in folder.glob("*.csv")})


def _beside(runs: Sequence[_Run]) -> list[str]:
    lines = [
        "## All runs",
        "",
        "| run | runs | Hessian aggregate minus gradient norm | minus gradient aggregate | verdict |",
        "|---|---|---|---|---|",
    ]
    for run in runs:
        verdict = run.found["verdict"]
        first = verdict[verdict["role"].isin(["primary", "secondary"])].set_index("comparator")
        both = first.reindex([GRADIENT_NORM.name, GRADIENT.name])[["difference", "low", "high"]]
        differences = ["" if pd.isna(row[0]) else _interval(*row) for row in both.to_numpy(float)]
        cells = [run.name, str(run.size), *differences, str(verdict["verdict"].iloc[0])]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _at_length(run: _Run) -> list[str]:
    found = run.found
    return [
        *_in_short(run),
        *_models(found["localisation"]),
        *_categories(found["localisation_by_group"]),
        *_operators(found["gains"], found["moderators"]),
        *_beyond(found),
    ]


def _in_short(run: _Run) -> list[str]:
    about, found = run.about, run.found
    series = found["plan"]["series"].iloc[-1]
    hours = about["seconds_of_jobs"] / 3600
    made = (
        f"{run.size} runs in {series} series; commit `{about['commit'][:10]}`; {hours:.1f} hours "
        f"of jobs on {about['device']}."
    )
    study = about["configuration"]
    synthetic = [name for name in study["curvature"]["models"] if not study["models"][name]["data"]]
    if synthetic:
        made += f" SYNTHETIC tasks and small models: {', '.join(synthetic)}."
    answer = _answer(found["verdict"], found["cost_accuracy"])
    return [f"## {run.name}", "", made, "", *answer, *_choices(found["robustness"])]


def _answer(verdict: pd.DataFrame, cost: pd.DataFrame) -> list[str]:
    first = verdict.iloc[0]
    lines = [f"**Do Hessian metrics locate faults better than gradients? {first['verdict']}.**"]
    if first["verdict"] in MEANING:
        lines += [MEANING[first["verdict"]], ""]
    rows = verdict[verdict["role"].isin(["primary", "secondary"])].dropna(subset="difference")
    row: Any  # columns of the row are attributes
    for row in rows.itertuples():
        lines.append(f"- Against {row.comparator.replace('_', ' ')}: {_shown(row)}.")
    lines += ["", "| Hessian aggregate against | units | MRR | theirs | difference | p | p (Holm) |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in rows.itertuples():
        cells = [
            row.comparator.replace("_", " "),
            f"{row.units:.0f}",
            f"{row.hessian_mrr:.3f}",
            f"{row.comparator_mrr:.3f}",
            _interval(row.difference, row.low, row.high),
            _p(row.p),
            "" if pd.isna(row.p_holm) else _p(row.p_holm),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    costs = cost.pivot_table(index="model", columns="ranker", values="cost", sort=False)
    if "equal_cost_aggregate" in costs:
        share = costs["equal_cost_aggregate"] / costs["hessian_aggregate"]
        lines += [
            "",
            f"Equal cost stops at all training samples: it spends {share.min():.0%} to {share.max():.0%}.",
        ]
    without = verdict[
        verdict["scope"].str.startswith("without ") & (verdict["comparator"] == "gradient_norm")
    ]["difference"]
    if len(without):
        lines.append(
            "Without one of the three models the difference from the gradient norm is "
            f"{without.min():+.3f} to {without.max():+.3f}."
        )
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


def _shown(row: Any) -> str:
    """Say what an interval and the test together show."""
    if row.low <= 0 <= row.high:
        return "no difference shown"
    side = "better" if row.low > 0 else "worse"
    p, corrected = (row.p, "") if pd.isna(row.p_holm) else (row.p_holm, ", Holm")
    agreed = "" if p <= LEVEL else " by its interval, but not by the test"
    return f"{side}{agreed} (p {_p(p)}{corrected})"


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
    return [
        "By category of fault, all models, with reference (exploratory; few units each, no intervals):",
        "",
        *_table(table, ["category", "units"]),
        "",
    ]


def _operators(gains: pd.DataFrame, moderators: pd.DataFrame) -> list[str]:
    """Name the faults that curvature finds better and worse than the gradient norm, and what goes with it."""
    changes = ["gradient_change", "curvature_change"]
    found = gains.groupby("operator").agg(
        units=("gain", "size"), gain=("gain", "mean"), **{name: (name, "mean") for name in changes}
    )
    found = found.dropna(subset="gain").sort_values("gain", ascending=False, kind="stable")
    head = (
        f"For which faults does curvature help? The {SHOWN_OPERATORS} with the largest gain over the "
        f"gradient norm, and the {SHOWN_OPERATORS} with the largest loss, of {len(found)} (exploratory: the "
        "ends of a sorted list are partly luck). Gradient and curvature of the whole model are given as "
        "multiples of a clean one's."
    )
    lines = [
        head,
        "",
        "| fault | units | Hessian aggregate minus gradient norm | gradient | curvature | what it does |",
        "|---|---|---|---|---|---|",
    ]
    if len(found) > 2 * SHOWN_OPERATORS:
        found = pd.concat([found.head(SHOWN_OPERATORS), found.tail(SHOWN_OPERATORS)])
    meaning = {name: entry.mechanism for name, entry in operator.catalogue().items()}
    row: Any  # columns of the row are attributes
    for row in found.itertuples():
        cells = [
            row.Index,
            str(row.units),
            f"{row.gain:+.3f}",
            _times(row.gradient_change),
            _times(row.curvature_change),
            meaning.get(row.Index, ""),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Why? What the gain goes with over the faults, within models (rank correlation; exploratory):",
        "",
        "| goes with | units | rho | p (Holm) |",
        "|---|---|---|---|",
    ]
    for row in moderators.dropna(subset="rho").itertuples():
        cells = [MODERATORS[row.moderator], str(row.units), _interval(row.rho, row.low, row.high, 2)]
        lines.append(f"| {' | '.join([*cells, _p(row.p_holm)])} |")
    return [*lines, ""]


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
        learnt = ", ".join(
            f"{row['metrics']} {_interval(row['mrr'], row['low'], row['high'], 2)}"
            for _, row in rows.iterrows()
        )
        chance = rows["chance_mrr"].iloc[0]
        lines.append(
            f"- A ranker learnt without the {kind} it is tried on: MRR {learnt}; chance {chance:.2f}."
        )
    control = found["negative_control"]["at_chance"].astype(str) == "True"
    lines.append(
        f"- Blocks at fault drawn at random: {control.sum()} of {len(control)} rankers are at chance."
    )
    return [*lines, ""]


def _choices(choices: pd.DataFrame) -> list[str]:
    """Tell how far the differences move when one choice of the protocol is changed."""
    lines = ["Does that hang on a choice? With one changed at a time,", ""]
    for comparator, rows in choices.groupby(choices["comparator"].str.partition(":")[0], sort=False):
        spread = rows["difference"].drop_duplicates()
        against = str(comparator).replace("_", " ")
        lines.append(
            f"- the difference from {against} is between {spread.min():+.3f} and {spread.max():+.3f} "
            f"({len(spread)} distinct rows);"
        )
    each = choices.drop_duplicates(["choice", "value"])
    answers = each["verdict"].value_counts()
    lines += [f"- verdicts are {', '.join(f'{name} {n}' for name, n in answers.items())}.", ""]
    shown = each.loc[~each["choice"].str.startswith("left out"), ["choice", "value"]]
    rows = shown.merge(choices[choices["comparator"].isin([GRADIENT_NORM.name, GRADIENT.name])])
    lines += ["| choice | Hessian aggregate against | MRR | theirs | difference |", "|---|---|---|---|---|"]
    row: Any  # columns of the row are attributes
    for row in rows.itertuples():
        cells = [
            f"{row.choice}: {row.value}",
            row.comparator.replace("_", " "),
            f"{row.hessian_mrr:.3f}",
            f"{row.comparator_mrr:.3f}",
            _interval(row.difference, row.low, row.high),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _times(logarithm: float) -> str:
    return "undefined" if np.isnan(logarithm) else f"{np.exp(logarithm):.2g}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.0005 else "< 0.001"


def _interval(value: float, low: float, high: float, digits: int = 3) -> str:
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _table(frame: pd.DataFrame, index: list[str]) -> list[str]:
    names = [*index, *(name.replace("_", " ") for name in frame.columns)]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for key, row in frame.iterrows():
        keys = key if isinstance(key, tuple) else (key,)
        lines.append(f"| {' | '.join([*map(str, keys), *(f'{value:.3f}' for value in row)])} |")
    return lines
