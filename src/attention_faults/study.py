"""The configuration of a study."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from attention_faults import settings
from attention_faults.mining.criteria import Criteria, Sample
from attention_faults.mining.queries import Mining
from attention_faults.settings import Settings

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Runs = Annotated[int, Field(ge=1, le=1000)]
MAIN, END = "main", "end"  # the variant of measuring, and the stage of training, that the verdict is of
FOLDER_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class Interval(Settings):
    """Confidence level, and draws of the project-clustered bootstrap."""

    level: Annotated[float, Field(gt=0, lt=1)]
    draws: Annotated[int, Field(ge=100)]


class Association(Settings):
    """Which labels the facets are tested against, and draws of the permutation test."""

    outcomes: Annotated[list[Literal["scope", "category", "root_cause"]], Field(min_length=1)]
    permutations: Annotated[int, Field(ge=99)]
    power: Annotated[float, Field(gt=0, lt=1)]


class Heuristics(Settings):
    """Thresholds of rule mining, and draws of its permutation nulls."""

    min_support: Count
    min_confidence: Share
    rules: Count
    min_antecedent: Count
    permutations: Annotated[int, Field(ge=19)]
    grid_permutations: Annotated[int, Field(ge=19)]
    folds: Annotated[int, Field(ge=2)]


class Suggestion(Settings):
    """Weight of the prior, in faults, and folds of the evaluation."""

    prior_weight: Annotated[float, Field(gt=0)]
    folds: Annotated[int, Field(ge=2)]


class Triage(Settings):
    """Folds of the evaluation, the share of records looked at first, and the recall at which to stop."""

    folds: Annotated[int, Field(ge=2)]
    first: Annotated[float, Field(gt=0, lt=1)]
    recall: Annotated[float, Field(gt=0, lt=1)]


class Saturation(Settings):
    """Random orders of the records, over which the accumulation curve is averaged."""

    orders: Annotated[int, Field(ge=10)]


class FaultChoice(Settings):
    """Faults of a model: an operator of the catalogue; places and severities left out stand for all."""

    operator: str
    places: Annotated[list[str], Field(min_length=1)] | None = None
    severities: Annotated[list[float], Field(min_length=1)] | None = None


class Model(Settings):
    """A model under study: a subject, its options, its real data if it has any, and how it is broken.

    Faults are listed, or `all`, or `each`: every operator once, its places and severities taken in turn.
    """

    subject: str
    options: dict[str, Any] = Field(default={})
    data: str | None = None
    faults: Literal["all", "each"] | list[FaultChoice] = Field(default=[])


class Curvature(Settings):
    """Which models are trained, with how many seeds of each kind, and where."""

    models: Annotated[list[str], Field(min_length=1)]
    reference: Runs
    negatives: Annotated[int, Field(ge=0, le=1000)]
    seeds: Annotated[int, Field(ge=1, le=20)]  # an exact test tries all 2^seeds flips of signs
    device: Literal["cpu", "cuda", "auto"]
    dtype: Literal["float32", "float64"]
    threads: Count


class Measuring(Settings):
    """How runs are measured: samples of the loss, products for each block, precision, and which curvature."""

    batch: Annotated[int, Field(ge=2)] = 64
    budget: Literal["economy", "standard", "full"] = "economy"
    dtype: Literal["float32", "float64"] = "float32"
    operators: list[Literal["hessian", "gauss_newton", "fisher"]] = Field(default=["hessian"])


class Profiling(Settings):
    """At which checkpoints runs are measured, and how: the variant `main`, and others beside it."""

    stages: Annotated[list[Literal["start", "middle", "end"]], Field(min_length=1)]
    variants: dict[Annotated[str, Field(pattern=FOLDER_NAME)], Measuring]

    @field_validator("stages")
    @classmethod
    def _has_end(cls, stages: list[str]) -> list[str]:
        if END not in stages:
            raise ValueError(f"there must be the stage `{END}`, which the verdict is of")
        return stages

    @field_validator("variants")
    @classmethod
    def _has_main(cls, variants: dict[str, Measuring]) -> dict[str, Measuring]:
        if MAIN not in variants:
            raise ValueError(f"there must be a variant `{MAIN}`, which the verdict is of")
        return variants


class Example(Settings):
    """The faulty run that is shown in detail: a model, and a fault of it by the name of its folder."""

    model: str
    series: str


class Localisation(Settings):
    """Draws of bootstrap and sign-flip test, and the series that is shown (None: the first faulty)."""

    draws: Annotated[int, Field(ge=100)]
    permutations: Annotated[int, Field(ge=99)]
    example: Example | None


class Study(Settings):
    """One study: its datasets, models, seed and thresholds."""

    registers: Annotated[list[Path], Field(min_length=1)]
    datasets: Annotated[list[str], Field(min_length=1)]
    claims: Path
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    interval: Interval
    association: Association
    heuristics: Heuristics
    suggestion: Suggestion
    labelling: Path  # study file of the labelling study (docs/labelling.md)
    triage: Triage
    saturation: Saturation
    models: dict[Annotated[str, Field(pattern=FOLDER_NAME)], Model]
    curvature: Curvature
    profiling: Profiling
    localisation: Localisation
    mining: Mining
    screening: Criteria
    sampling: Sample


def load(configuration: object) -> Study:
    """Check a configuration.

    Raises:
        InputError: with every key that is unknown, missing or of the wrong kind.
    """
    return settings.parse(Study, configuration, "configuration")
