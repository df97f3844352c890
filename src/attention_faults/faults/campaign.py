"""Which runs a curvature study consists of, as the configuration says: clean ones and mutants of each model.

This module loads no model unless a choice of faults leaves something open: the workflow plans with it.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from attention_faults.errors import InputError, nearest, shown
from attention_faults.study import Curvature, Example, FaultChoice, Model

if TYPE_CHECKING:
    from torch import nn

    from attention_faults.subjects.subject import Subject, Task

REFERENCE, NEGATIVE, MATCHED, FAULTY = "reference", "negative", "matched", "faulty"
DATA_FOLDER = "ATTENTION_FAULTS_DATA"
SEEDS_APART = 1000  # between the seeds of two kinds of runs: more than any kind has
NOWHERE = "training"  # how a folder calls the place of a fault that has none


@dataclass(frozen=True)
class Series:
    """Runs that differ in their seed alone.

    Attributes:
        model: name in the configuration.
        name: of its folder.
        kind: `reference`: clean runs that say what is normal; `negative`: other clean runs, mildly re-tuned,
            on which false alarms are counted; `matched`: clean runs with the seeds of the mutants; `faulty`.
        seeds: of weights, order and dropout; those of the first three kinds are disjoint.
        operator: id in the catalogue of faults; empty for clean runs, and so is the place.
        place: where it applies; empty for a fault of the training process.
        severity: how hard.
    """

    model: str
    name: str
    kind: str
    seeds: tuple[int, ...]
    operator: str = ""
    place: str = ""
    severity: float = 1.0


def plan(models: Mapping[str, Model], study: Curvature, seed: int) -> list[Series]:
    """List all series of a study; `check` says whether they can be run.

    Args:
        models: the models that the configuration defines.
        study: which of them, with how many seeds.
        seed: of the study; those of the runs follow from it.

    Raises:
        InputError: if a model is unknown, or a fault is chosen twice.
    """
    unknown = [name for name in study.models if name not in models]
    if unknown:
        raise InputError(
            f"configuration: key `curvature.models`: there is no model `{shown(name)}`{nearest(name, models)}"
            for name in unknown
        )
    return [series for name in study.models for series in _of_model(name, models[name], study, seed)]


def _of_model(name: str, model: Model, study: Curvature, seed: int) -> Iterator[Series]:
    def seeds(kind: int, count: int) -> tuple[int, ...]:
        return tuple(seed + SEEDS_APART * kind + i for i in range(count))

    yield Series(name, REFERENCE, REFERENCE, seeds(0, study.reference))
    if study.negatives:
        yield Series(name, "negatives", NEGATIVE, seeds(1, study.negatives))
    faults = list(_faults(name, model, seed))
    if len(set(faults)) < len(faults):
        twice = next(fault for fault in faults if faults.count(fault) > 1)
        raise InputError(f"configuration: key `models.{name}.faults`: {twice} is chosen twice")
    if faults:
        yield Series(name, MATCHED, MATCHED, seeds(2, study.seeds))
    for operator, place, severity in faults:
        folder = f"{operator}-{place or NOWHERE}-{severity:g}"
        yield Series(name, folder, FAULTY, seeds(2, study.seeds), operator, place, severity)


def _faults(name: str, model: Model, seed: int) -> Iterator[tuple[str, str, float]]:
    if model.faults == "each":
        yield from _each(name, model, seed)
        return
    choices = [FaultChoice(operator="all")] if model.faults == "all" else model.faults
    for choice in choices:
        if choice.places is not None and choice.severities is not None and choice.operator != "all":
            yield from ((choice.operator, p, s) for p in choice.places for s in choice.severities)
        else:
            yield from _open(name, model, choice, seed)


def _each(name: str, model: Model, seed: int) -> Iterator[tuple[str, str, float]]:
    """Take every operator that applies once; the next one takes the next of its places and severities."""
    possible: dict[str, list[tuple[str, float]]] = {}
    for operator, place, severity in _open(name, model, FaultChoice(operator="all"), seed):
        possible.setdefault(operator, []).append((place, severity))
    for turn, (operator, spots) in enumerate(possible.items()):
        yield operator, *spots[turn % len(spots)]


def _open(name: str, model: Model, choice: FaultChoice, seed: int) -> Iterator[tuple[str, str, float]]:
    """Fill in what a choice leaves open, which takes the model and the catalogue."""
    from attention_faults.faults import fault, operator  # noqa: PLC0415 - they load torch

    catalogue = operator.catalogue()
    if choice.operator != "all" and choice.operator not in catalogue:
        raise InputError(f"configuration: key `models.{name}.faults`: {fault.unknown(choice.operator)}")
    subject, network = network_of(name, model, seed)
    chosen: Iterable[Any] = catalogue.values() if choice.operator == "all" else [catalogue[choice.operator]]
    for entry in chosen:
        for place in choice.places or fault.places(entry, subject, network):
            for severity in choice.severities or entry.severities:
                yield entry.id, place, severity


def check(models: Mapping[str, Model], planned: Iterable[Series], seed: int) -> None:
    """Make sure that every model can be built, and that every fault applies where it is wanted.

    Raises:
        InputError: with all that is wrong.
    """
    from attention_faults.faults import fault  # noqa: PLC0415 - it loads torch

    problems: list[str] = []
    faulty = [series for series in planned if series.kind == FAULTY]
    for name, model in models.items():
        try:
            subject, network = network_of(name, model, seed)
        except InputError as error:
            problems += error.problems
            continue
        for series in faulty:
            if series.model == name:
                wanted = fault.Fault(series.operator, series.place, series.severity)
                try:
                    fault.find(wanted, subject, network)
                except InputError as error:
                    problems += [f"configuration: key `models.{name}.faults`: {p}" for p in error.problems]
    if problems:
        raise InputError(problems)


def check_example(example: Example, planned: Iterable[Series]) -> None:
    """Make sure that the faulty run to be shown is in the study.

    Raises:
        InputError: if it is not.
    """
    faulty = [f"{series.model}/{series.name}" for series in planned if series.kind == FAULTY]
    wanted = f"{example.model}/{example.series}"
    if wanted not in faulty:
        raise InputError(
            f"configuration: key `localisation.example`: `{shown(wanted)}` is no faulty series of this study"
            f"{nearest(wanted, faulty)}"
        )


def counts(planned: Iterable[Series]) -> pd.DataFrame:
    """Count runs: one row a model and kind, and the sum."""
    rows = [(series.model, series.kind, 1, len(series.seeds)) for series in planned]
    table = pd.DataFrame(rows, columns=["model", "kind", "series", "runs"])
    table = table.groupby(["model", "kind"], sort=False, as_index=False).sum()
    total = pd.DataFrame([("all", "all", table["series"].sum(), table["runs"].sum())], columns=table.columns)
    return pd.concat([table, total], ignore_index=True)


def data_path(path: str) -> Path:
    """Find real data: a relative path is below the folder that ATTENTION_FAULTS_DATA names, if any."""
    return Path(os.environ.get(DATA_FOLDER, "")) / path


def subject_of(name: str, model: Model) -> "Subject":
    """Make the subject that the configuration describes.

    Raises:
        InputError: if there is no such subject, or an option is unknown or of the wrong kind.
    """
    from attention_faults.subjects.subject import Subject  # noqa: PLC0415 - it loads torch

    try:
        kind = Subject.named(model.subject)
    except InputError as error:
        raise InputError(f"configuration: key `models.{name}.subject`: {error.problems[0]}") from None
    try:
        subject: Subject = TypeAdapter(kind).validate_python(model.options)
    except ValidationError as error:
        raise InputError(
            f"configuration: key `{'.'.join(['models', name, 'options', *map(str, problem['loc'])])}`: "
            f"{problem['msg'].removeprefix('Value error, ')}, found `{shown(problem['input'])}`"
            for problem in error.errors()
        ) from None
    return subject


def task_of(subject: "Subject", model: Model, seed: int) -> "Task":
    """Read the model's real data, or make the embedded task, which is synthetic."""
    return subject.real_task(data_path(model.data), seed) if model.data else subject.task(seed)


def network_of(name: str, model: Model, seed: int) -> tuple["Subject", "nn.Module"]:
    """Make a model's subject, and a network for its task."""
    subject = subject_of(name, model)
    return subject, subject.build(task_of(subject, model, seed), seed)
