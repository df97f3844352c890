"""The protocol of a labelling study, fixed beforehand: its phases, raters, codebooks and release."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from attention_faults import settings
from attention_faults.errors import InputError, nearest
from attention_faults.labelling import migration
from attention_faults.labelling.migration import Migration
from attention_faults.settings import Settings
from attention_faults.taxonomy import codebook
from attention_faults.taxonomy.codebook import Codebook

# names of raters and phases become names of files
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Count = Annotated[int, Field(ge=1)]


class Phase(Settings):
    """One phase: what is asked of which records, how many of them twice, and when the next phase opens."""

    asks: list[str] = Field(min_length=1, description="label columns of the codebook, or questions")
    minimum_kappa: float = Field(ge=-1, le=1, description="of every question; below it the next stays closed")
    double: float = Field(1, gt=0, le=1, description="share of records that two raters rate")
    sample: Count | None = Field(None, description="so many records drawn from the first candidates file")
    records: Literal["kept", "to_rate_again"] = Field(
        "kept", description="all that earlier phases kept, or only those whose label a migration split"
    )
    keeps: dict[str, list[str]] = Field({}, description="final labels with which a record goes on")
    codebook: str | None = Field(None, description="version of the codebook; the last one by default")
    repeats: str | None = Field(None, description="phase that this one repeats if it stayed below its kappa")


class Release(Settings):
    """What a released dataset says of itself."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    version: str = Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")
    description: str
    licence: str
    licence_url: str
    creators: list[str] = Field(min_length=1)
    url: str
    published: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    collected: list[str] = Field(min_length=1, description="how the records were found, in sentences")
    limits: list[str] = Field(min_length=1, description="what a reader of its numbers must know")
    synthetic: bool = False

    @property
    def summary(self) -> str:
        """The description, after a warning where the records are made up."""
        return f"SYNTHETIC DATA. {self.description}" if self.synthetic else self.description


class Triage(Settings):
    """From where, and in which order, the next candidates come to the raters."""

    pool: Path = Field(description="candidates that are not part of the study yet")
    batch: Count = Field(200, description="most probable candidates of a batch")
    control: float = Field(
        0.02, ge=0, lt=1, description="share of the pool rated whatever its rank, to estimate recall"
    )
    fault: dict[str, str] = Field(min_length=1, max_length=1, description="question: label of a real fault")


@dataclass(frozen=True)
class Protocol:
    """A labelling study.

    Attributes:
        file: from which it was read.
        candidates: files of threads; the first is what samples are drawn from, later ones only add records.
        columns: our name of a column of the candidates -> its name in the files.
        books: codebooks by version, oldest first, each with the study's own questions among its facets.
        codebook_files: from which they were read.
        migration_files: the file of the migrations, if there is one.
        migrations: from each codebook to the next.
        raters: name -> who that is (a person with what experience, or a program), as the datasheet says it.
        adjudicator: name of who decides disagreements; none of the raters.
        returned: folder of the files that raters return.
    """

    file: Path
    title: str
    seed: int
    candidates: tuple[Path, ...]
    columns: dict[str, str]
    books: dict[str, Codebook]
    codebook_files: tuple[Path, ...]
    migration_files: tuple[Path, ...]
    migrations: tuple[Migration, ...]
    raters: dict[str, str]
    adjudicator: str
    returned: Path
    phases: dict[str, Phase]
    release: Release
    triage: Triage | None

    @property
    def book(self) -> Codebook:
        """The codebook of the final labels."""
        return list(self.books.values())[-1]

    def book_of(self, phase: str) -> Codebook:
        """Return the codebook with which a phase is rated."""
        return self.books[self.phases[phase].codebook or self.book.version]

    def migrations_after(self, phase: str, until: Codebook) -> list[Migration]:
        """Return the migrations that lead from the codebook of a phase to a later one."""
        versions = list(self.books)
        start = versions.index(self.book_of(phase).version)
        return list(self.migrations[start : versions.index(until.version)])


class _File(Settings):
    """The keys of a study file."""

    title: str
    seed: int = Field(ge=0)
    candidates: list[Path] = Field(min_length=1)
    columns: dict[str, str] = Field({})
    codebooks: list[Path] = Field(min_length=1)
    migrations: Path | None = None
    questions: dict[str, dict[str, str]] = Field({}, description="own questions: label -> definition")
    raters: dict[_Name, str] = Field(min_length=2)
    adjudicator: _Name
    returned: Path
    phases: dict[_Name, Phase] = Field(min_length=1)
    release: Release
    triage: Triage | None = None


def load(path: Path) -> Protocol:
    """Read the study file of a labelling study; paths in it are relative to its own folder.

    Raises:
        InputError: with every problem, if the file, a codebook or a migration does not fit.
    """
    file = settings.read(_File, path)
    books = _books(file, path)
    steps = migration.load(path.parent / file.migrations) if file.migrations else []
    problems = [*_phase_problems(file, books), *_rater_problems(file)]
    problems += migration.problems(steps, list(books.values()))
    if problems:
        raise InputError(f"{path}: {problem}" for problem in problems)
    return Protocol(
        file=path,
        title=file.title,
        seed=file.seed,
        candidates=tuple(path.parent / each for each in file.candidates),
        columns=file.columns,
        books=books,
        codebook_files=tuple(path.parent / each for each in file.codebooks),
        migration_files=(path.parent / file.migrations,) if file.migrations else (),
        migrations=tuple(steps),
        raters=file.raters,
        adjudicator=file.adjudicator,
        returned=path.parent / file.returned,
        phases=file.phases,
        release=file.release,
        triage=file.triage and file.triage.model_copy(update={"pool": path.parent / file.triage.pool}),
    )


def _books(file: _File, path: Path) -> dict[str, Codebook]:
    books: dict[str, Codebook] = {}
    for place in file.codebooks:
        book = codebook.load(path.parent / place)
        if not book.version or book.version in books:
            raise InputError(
                f"{path}: codebook {place}: expected a version of its own, found `{book.version}`"
            )
        taken = sorted(set(file.questions) & set(book.columns))
        if taken:
            raise InputError(f"{path}: key `questions`: `{name}` is a column of {place}" for name in taken)
        books[book.version] = replace(book, facets={**book.facets, **file.questions})
    return books


def _phase_problems(file: _File, books: dict[str, Codebook]) -> Iterator[str]:
    versions, latest = list(books), 0
    for position, (name, phase) in enumerate(file.phases.items()):
        where = f"key `phases.{name}"
        version = phase.codebook or versions[-1]
        if version not in versions:
            yield f"{where}.codebook`: `{version}` is not one of {', '.join(versions)}"
            continue
        if versions.index(version) < latest:
            yield f"{where}.codebook`: `{version}` is older than that of the phase before"
        latest = max(latest, versions.index(version))
        earlier = list(file.phases)[:position]
        if phase.repeats is not None and phase.repeats not in earlier:
            hint = nearest(phase.repeats, earlier)
            yield f"{where}.repeats`: `{phase.repeats}` is no phase before it{hint}"
        for problem in _question_problems(phase, books[version]):
            yield f"{where}.{problem}"


def _question_problems(phase: Phase, book: Codebook) -> Iterator[str]:
    for asked in phase.asks:
        if asked not in book.columns:
            yield f"asks`: `{asked}` is no column of the codebook{nearest(asked, book.columns)}"
    for question, labels in phase.keeps.items():
        if question not in phase.asks:
            yield f"keeps`: `{question}` is not asked in this phase{nearest(question, phase.asks)}"
        elif question in book.columns:
            valid = book.labels(question)
            for label in (label for label in labels if label not in valid):
                yield f"keeps.{question}`: `{label}` is no label of it{nearest(label, valid)}"


def _rater_problems(file: _File) -> Iterator[str]:
    if file.adjudicator in file.raters:
        yield f"key `adjudicator`: `{file.adjudicator}` is one of the raters, expected somebody else"
