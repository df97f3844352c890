"""Training a series of runs: what is written of each, and how it is read again."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save

from attention_faults.errors import InputError
from attention_faults.faults.campaign import FAULTY, NEGATIVE, Series
from attention_faults.faults.fault import Fault, Injection, check_effect, injected
from attention_faults.files import replacing
from attention_faults.subjects.outcome import CRASHED, FINISHED
from attention_faults.subjects.subject import Batch, Recipe, Subject, Task
from attention_faults.subjects.training import Plan, Run, Scores, State, train

SERIES = ["model", "synthetic", "kind", "operator", "place", "severity"]
EFFECT_SAMPLES = 64  # on which a fault must have an effect right after injection


@dataclass(frozen=True)
class Machine:
    """Where models are trained: `device` is `cpu`, `cuda`, or `auto` for a GPU where there is one."""

    device: str = "cpu"
    dtype: str = "float32"
    threads: int = 1

    @property
    def torch_device(self) -> torch.device:
        """The device, with `auto` resolved.

        Raises:
            InputError: if there is no GPU although one is demanded.
        """
        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise InputError(
                "configuration: key `curvature.device`: there is no GPU here; `auto` takes the CPU"
            )
        return torch.device("cuda" if self.device != "cpu" and available else "cpu")

    @property
    def torch_dtype(self) -> torch.dtype:
        """Type of weights and of real-valued data."""
        found: torch.dtype = getattr(torch, self.dtype)
        return found

    def hold(self, task: Task) -> Task:
        """Put the samples on the device; real numbers get the type of the weights."""

        def held(batch: Batch) -> Batch:
            return {
                name: tensor.to(self.torch_device, self.torch_dtype if tensor.is_floating_point() else None)
                for name, tensor in batch.items()
            }

        validation = None if task.validation is None else held(task.validation)
        return replace(task, train=held(task.train), test=held(task.test), validation=validation)


def retuned(recipe: Recipe, seed: int) -> Recipe:
    """Change a recipe mildly: the learning rate by a factor of 0.8 to 1.25."""
    factor = 1.25 ** np.random.default_rng(seed).uniform(-1, 1)
    return replace(recipe, learning_rate=recipe.learning_rate * factor)


def execute(
    series: Series,
    subject: Subject,
    task: Task,
    machine: Machine,
    *,
    summary: Path,
    checkpoints: Path,
) -> None:
    """Train all runs of a series.

    Args:
        series: clean or faulty.
        subject: its model.
        task: its data.
        machine: where.
        summary: JSON to write: the fault, the blocks at fault, and of each run its scores and outcome.
        checkpoints: folder to write to: `<seed>/<stage>.safetensors`.

    Raises:
        NoEffectError: if the fault changes nothing.
        RuntimeError: if a clean run crashes.
    """
    torch.set_num_threads(machine.threads)
    task = machine.hold(task)
    rows = []
    injection: Injection | None = None
    for seed in series.seeds:
        run, injection = _train(series, subject, task, machine, seed)
        if run.outcome == CRASHED and series.kind != FAULTY:
            raise RuntimeError(f"the clean run with seed {seed} crashed: {run.message}")
        for stage, state in run.checkpoints.items():
            _write_state(state, checkpoints / str(seed) / f"{stage}.safetensors")
        rows.append(
            {
                "seed": seed,
                "recipe": asdict(injection.plan.recipe),
                "outcome": run.outcome,
                "message": run.message,
                "scores": [scores._asdict() for scores in run.scores],
            }
        )
    truth = injection.truth if injection else frozenset()
    content = {
        **asdict(series),
        "synthetic": task.synthetic,
        "subject": {"name": subject.name, **asdict(subject)},
        "truth": sorted(truth),
        "runs": rows,
    }
    with replacing(summary) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _train(
    series: Series, subject: Subject, task: Task, machine: Machine, seed: int
) -> tuple[Run, Injection]:
    plan = Plan.of(subject, task, seed)
    if series.kind == NEGATIVE:
        plan = replace(plan, recipe=retuned(plan.recipe, seed))
    model = subject.build(task, seed).to(machine.torch_device, machine.torch_dtype)
    if series.kind != FAULTY:
        return train(model, plan), Injection(plan, frozenset())
    fault = Fault(series.operator, series.place, series.severity)
    check_effect(fault, model, plan, {name: tensor[:EFFECT_SAMPLES] for name, tensor in task.train.items()})
    with injected(fault, model, plan) as injection:
        return train(model, injection.plan), injection


def _write_state(state: State, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(save({name: value.contiguous() for name, value in state.items()}))


def read_state(path: Path) -> State:
    """Read a checkpoint, to be loaded by `load_state_dict`."""
    state: State = load_file(path)
    return state


def read_runs(summaries: Iterable[Path]) -> pd.DataFrame:
    """Read what `execute` wrote: one row a run, with the scores after its last epoch (missing if crashed)."""
    rows = []
    for path in summaries:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        series = {name: content[name] for name in SERIES}
        for run in content["runs"]:
            scores = run["scores"][-1] if run["outcome"] == FINISHED else {}
            outcome = {name: run[name] for name in ("seed", "outcome", "message")}
            rows.append({**series, **outcome, **{name: scores.get(name, np.nan) for name in Scores._fields}})
    return pd.DataFrame(rows)
