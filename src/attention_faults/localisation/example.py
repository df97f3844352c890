"""One faulty run in detail, beside the clean run of its seed."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from attention_faults.curvature import Profile
from attention_faults.curvature.density import SpectralDensity
from attention_faults.errors import InputError
from attention_faults.faults.campaign import MATCHED
from attention_faults.localisation.evidence import Evidence, with_reference
from attention_faults.localisation.metric import catalogue

POINTS = 200  # of a density curve
SMOOTHING = 0.02  # of the range of eigenvalues
CLEAN, FAULTY = "clean", "faulty"


def find(evidence: Evidence, series: str) -> tuple[int, int]:
    """Return the rows of the first run of a series, and of the clean run of its seed.

    Raises:
        InputError: if no run of the series could be measured.
    """
    runs = evidence.runs
    faulty = runs[runs["series"] == series]
    if faulty.empty:
        raise InputError(
            f"configuration: key `localisation.example`: no run of `{series}` of `{evidence.model}` could be "
            "measured; choose another"
        )
    row = int(faulty.index[0])
    clean = runs[(runs["kind"] == MATCHED) & (runs["seed"] == runs.loc[row, "seed"])]
    return row, int(clean.index[0])


def scores(evidence: Evidence, row: int) -> pd.DataFrame:
    """List the distance of every block from the reference by every metric that a fault can change.

    Returns:
        Columns model, fault, seed, block, at_fault, metric, family, score.
    """
    parts = []
    for name, found in with_reference(evidence, evidence.reference(), [row]).items():
        metric = catalogue()[name]
        if metric.scale != "constant":
            parts.append(_blocks(evidence, row).assign(metric=name, family=metric.family, score=found[0, 0]))
    return pd.concat(parts, ignore_index=True)


def interactions(evidence: Evidence, rows: Mapping[str, int]) -> pd.DataFrame:
    """List the normalised interactions of two runs.

    Args:
        evidence: of the model.
        rows: of the run of each state, `faulty` and `clean`.

    Returns:
        Columns model, fault, seed, block, at_fault, state, partner, interaction.
    """
    parts = [
        _blocks(evidence, rows[FAULTY]).assign(state=state, partner=partner, interaction=values)
        for state, row in rows.items()
        for partner, values in zip(evidence.blocks, evidence.values["interaction_change"][row].T, strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def densities(evidence: Evidence, row: int, profiles: Mapping[str, Profile]) -> pd.DataFrame:
    """Trace the spectral densities of all blocks, clean and faulty on the same points.

    Args:
        evidence: of the model.
        row: of the faulty run.
        profiles: of each state.

    Returns:
        Columns model, fault, seed, block, at_fault, state, eigenvalue, density.
    """
    parts = []
    for _, about in _blocks(evidence, row).iterrows():
        curves = {state: profile.densities[about["block"]] for state, profile in profiles.items()}
        points, width = _points(list(curves.values()))
        parts += [
            pd.DataFrame(
                {**about, "state": state, "eigenvalue": points, "density": curve.curve(points, width)}
            )
            for state, curve in curves.items()
        ]
    return pd.concat(parts, ignore_index=True)


def _blocks(evidence: Evidence, row: int) -> pd.DataFrame:
    run = evidence.runs.loc[row]
    fault = f"{run['operator']}, {run['place'] or 'training'}, {run['severity']:g}"
    return pd.DataFrame(
        {
            "model": evidence.model,
            "fault": fault,
            "seed": run["seed"],
            "block": evidence.blocks,
            "at_fault": evidence.truth[row],
        }
    )


def _points(curves: list[SpectralDensity]) -> tuple[np.ndarray, float]:
    """Return points that cover all eigenvalues, and how far to smooth."""
    values = np.concatenate([run.values for curve in curves for run in curve.runs])
    low, high = float(values.min()), float(values.max())
    width = SMOOTHING * (high - low) or 1.0
    return np.linspace(low - 3 * width, high + 3 * width, POINTS), width
