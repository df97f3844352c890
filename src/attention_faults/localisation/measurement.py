"""Measuring all runs of a series: every metric of every block, at the checkpoints of training."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from attention_faults.curvature import (
    BUDGETS,
    CurvatureError,
    EmpiricalFisher,
    GaussNewton,
    Objective,
    Profile,
    batch_gradient_profile,
    curvature_profile,
    gradient_profile,
    profile_operator,
)
from attention_faults.curvature.operators import Blocks
from attention_faults.faults.campaign import FAULTY, Series
from attention_faults.faults.execution import Machine, read_state
from attention_faults.faults.fault import Fault, injected
from attention_faults.files import replacing
from attention_faults.localisation.metric import Measured, catalogue
from attention_faults.study import Measuring
from attention_faults.subjects.subject import Batch, Subject, Task
from attention_faults.subjects.training import CRASHED, CRASHES, STAGES, Plan, State

COLUMNS = {
    "seed": "int64",
    "stage": "str",
    "metric": "str",
    "block": "str",
    "partner": "str",
    "estimate": "float64",
    "stderr": "float64",
    "cost": "float64",
}
MEASURED, UNCHECKED, UNMEASURED = "measured", "curvature refused", "not measurable"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Profiled:
    """What was measured of a series.

    Attributes:
        table: a row for each seed, stage, metric, block and partner (empty but for interactions): estimate,
            stderr, and cost, of the metric for all blocks, in gradients.
        outcomes: a row for each seed and stage: outcome (`measured`; `curvature refused`, where the loss has
            failed the checks and curvature is undefined; `not measurable`; `crashed` in training), its
            message, and the cost of the Hessian profile in gradients.
    """

    table: pd.DataFrame
    outcomes: pd.DataFrame


def measure_series(
    series: Series,
    subject: Subject,
    task: Task,
    machine: Machine,
    how: Measuring,
    *,
    stages: Sequence[str],
    training: Mapping[str, Any],
    checkpoints: Path,
    seed: int,
) -> Profiled:
    """Measure all runs of a series.

    Args:
        series: as it was trained.
        subject: its model.
        task: its data.
        machine: where; its type of numbers is replaced by that of `how`.
        how: batch, products, precision, operators.
        stages: `start`, `middle`, `end`.
        training: what `execution.execute` wrote as summary.
        checkpoints: folder that `execution.execute` wrote.
        seed: of the batch, which is the same for all runs of a model, and of the probes.
    """
    machine = Machine(machine.device, how.dtype, machine.threads)
    torch.set_num_threads(machine.threads)
    task = machine.hold(task)
    batches = list(_batches(task.train, how.batch, seed))
    outcomes = {run["seed"]: run["outcome"] for run in training["runs"]}
    parts, rows = [], []
    for run_seed in series.seeds:
        for stage in stages:
            row: dict[str, Any] = {"seed": run_seed, "stage": stage, "message": "", "hessian_cost": 0}
            if outcomes[run_seed] == CRASHED:
                rows.append({**row, "outcome": CRASHED})
                continue
            with _restored(series, subject, task, machine, run_seed) as model:
                try:
                    states = {s: read_state(checkpoints / str(run_seed) / f"{s}.safetensors") for s in STAGES}
                    measured, refusal = _measure(subject, model, batches, states, stage, how, seed)
                except CRASHES as error:
                    message = f"{type(error).__name__}: {error}"
                    rows.append({**row, "outcome": UNMEASURED, "message": message})
                    continue
            parts.append(_tabulate(measured, run_seed, stage))
            row["hessian_cost"] = measured.hessian.work.gradients if measured.hessian else 0
            rows.append({**row, "outcome": UNCHECKED if refusal else MEASURED, "message": refusal})
            log.info("seed %d, %s: %s", run_seed, stage, rows[-1]["outcome"])
    return Profiled(pd.concat(parts, ignore_index=True) if parts else _empty(), pd.DataFrame(rows))


def profile_run(
    series: Series,
    subject: Subject,
    task: Task,
    machine: Machine,
    how: Measuring,
    *,
    run_seed: int,
    checkpoint: Path,
    seed: int,
) -> Profile:
    """Profile the Hessian of one run again, for what a table of metrics does not hold.

    Raises:
        CurvatureError: if the loss fails the checks.
    """
    machine = Machine(machine.device, how.dtype, machine.threads)
    torch.set_num_threads(machine.threads)
    task = machine.hold(task)
    batch = next(_batches(task.train, how.batch, seed))
    with _restored(series, subject, task, machine, run_seed) as model:
        model.load_state_dict(read_state(checkpoint))
        return _curvature("hessian", _objective(subject, model, batch), subject.blocks(model), how, seed)


def write(profiled: Profiled, table: Path, outcomes: Path) -> None:
    """Write both frames as Parquet."""
    for frame, path in ((profiled.table, table), (profiled.outcomes, outcomes)):
        with replacing(path) as temporary:
            frame.to_parquet(temporary, index=False)


def _batches(data: Batch, size: int, seed: int) -> Iterator[Batch]:
    """Cut shuffled samples into batches of one size; what is left over is dropped, unless it is all."""
    order = torch.randperm(len(data["label"]), generator=torch.Generator().manual_seed(seed))
    for rows in torch.split(order, size):
        if len(rows) == size or len(order) < size:
            yield {name: tensor[rows] for name, tensor in data.items()}


@contextmanager
def _restored(
    series: Series, subject: Subject, task: Task, machine: Machine, seed: int
) -> Iterator[nn.Module]:
    """Build the model of a run again, with its fault in place."""
    model = subject.build(task, seed).to(machine.torch_device, machine.torch_dtype)
    fault = Fault(series.operator, series.place, series.severity)
    faulty = series.kind == FAULTY
    with injected(fault, model, Plan.of(subject, task, seed)) if faulty else nullcontext():
        yield model.eval().requires_grad_(requires_grad=True)


def _measure(
    subject: Subject,
    model: nn.Module,
    batches: list[Batch],
    states: Mapping[str, State],
    stage: str,
    how: Measuring,
    seed: int,
) -> tuple[Measured, str]:
    """Measure a model at a checkpoint; with it goes why its curvature was refused, if it was."""
    blocks = subject.blocks(model)
    flat = {}
    for name in STAGES[: STAGES.index(stage) + 1]:
        model.load_state_dict(states[name])
        flat[name] = {block: _flat(parameters) for block, parameters in blocks.items()}
    batch = batches[0]
    objective = _objective(subject, model, batch)
    found: dict[str, Profile] = {}
    refusal = ""
    try:
        for operator in how.operators:
            found[operator] = _curvature(operator, objective, blocks, how, seed)
    except CurvatureError as error:
        refusal = str(error)
    affordable = found["hessian"].work.gradients if "hessian" in found else len(batches)
    many = batches[: max(affordable, 1)]
    before = STAGES.index(stage) - 1
    measured = Measured(
        subject,
        model,
        batch,
        blocks,
        weights=flat[stage],
        before=flat[STAGES[before]] if before >= 0 else None,
        start=flat[STAGES[0]],
        gradient=gradient_profile(objective, blocks),
        batches=batch_gradient_profile([partial(subject.loss, model, part) for part in many], blocks),
        hessian=found.get("hessian"),
        gauss_newton=found.get("gauss_newton"),
        fisher=found.get("fisher"),
    )
    return measured, refusal


def _objective(subject: Subject, model: nn.Module, batch: Batch) -> Objective:
    return Objective(
        lambda: subject.outputs(model, batch), lambda outputs: subject.sample_losses(outputs, batch)
    )


def _curvature(operator: str, objective: Objective, blocks: Blocks, how: Measuring, seed: int) -> Profile:
    budget, generator = BUDGETS[how.budget], torch.Generator().manual_seed(seed)
    match operator:
        case "hessian":
            return curvature_profile(objective.loss, blocks, budget, seed=seed)
        case "gauss_newton":
            return profile_operator(GaussNewton(objective, blocks), budget, generator)
        case _:
            return profile_operator(EmpiricalFisher(objective, blocks), budget, generator)


def _flat(parameters: Sequence[nn.Parameter]) -> Tensor:
    return torch.cat([parameter.detach().double().flatten() for parameter in parameters])


def _tabulate(measured: Measured, seed: int, stage: str) -> pd.DataFrame:
    parts = []
    for metric in catalogue().values():
        found = metric.compute(measured)
        if found is not None:
            parts.append(found.assign(metric=metric.name))
    table = pd.concat(parts, ignore_index=True).assign(seed=seed, stage=stage)
    return table[list(COLUMNS)].astype(COLUMNS)


def _empty() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
