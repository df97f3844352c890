"""Runs of the curvature study that are kept with the project: what was found, by which code, on what."""

import json
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from attention_faults.reporting import provenance, tables

LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy", "snakemake", "torch", "transformers")
THIS = "this study"


def keep(
    found: Mapping[str, Path],
    timings: Iterable[Path],
    configuration: dict[str, Any],
    protocol: Path,
    folder: Path,
) -> None:
    """Copy the tables of a run into a folder, with a `provenance.json` that says how they came about.

    Args:
        found: tables by name.
        timings: Snakemake's measurements of the jobs that trained and measured.
        configuration: of the study.
        protocol: that fixed the analysis.
        folder: to write to.
    """
    for name, path in found.items():
        tables.write_csv(tables.read(path), folder / f"{name}.csv")
    seconds = sum(float(pd.read_csv(path, sep="\t")["s"].sum()) for path in timings)
    state = provenance.state(configuration, protocol)
    versions = {name: state["versions"][name] for name in LIBRARIES}
    about = {"device": device(), "cores": os.cpu_count(), "seconds_of_jobs": round(seconds)}
    provenance.write_json({**state, **about, "versions": versions}, folder / "provenance.json")


def device() -> str:
    """Name the GPU, or else the processor."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {platform.machine()}"


def beside(verdict: pd.DataFrame, folders: Iterable[Path]) -> pd.DataFrame:
    """Set the primary and secondary comparisons of kept runs beside those of this study.

    Args:
        verdict: of this study, as from `localisation.verdict.judge`.
        folders: of kept runs.

    Returns:
        One row a run and comparison: run, commit, device, seconds_of_jobs, then the columns of the verdict.
    """
    parts = [verdict.assign(run=THIS)]
    for folder in sorted(folders):
        about = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        told = {name: about[name] for name in ("commit", "device", "seconds_of_jobs")}
        parts.append(tables.read(folder / "verdict.csv").assign(run=folder.name, **told))
    table = pd.concat(parts, ignore_index=True)
    table = table[table["role"].isin(["primary", "secondary"])]
    first = ["run", "commit", "device", "seconds_of_jobs"]
    return table.reindex(columns=[*first, *verdict.columns]).reset_index(drop=True)
