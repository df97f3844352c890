"""A released dataset: records, ratings, provenance and codebook, described for people and for machines."""

import hashlib
import json
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import frictionless
import mlcroissant
import pandas as pd
import yaml

from attention_faults.errors import InputError
from attention_faults.labelling import adjudication, datasheet, metadata
from attention_faults.labelling.migration import to_rate_again
from attention_faults.labelling.progress import DONE, NOT_NEEDED, Progress
from attention_faults.labelling.protocol import Protocol, Release
from attention_faults.reporting import tables
from attention_faults.taxonomy.codebook import Codebook

CHECKSUMS = "checksums.sha256"
_THREAD = ["record_id", "source", "url", "project", "created"]


@dataclass(frozen=True)
class Content:
    """What is released.

    Attributes:
        about: what the dataset says of itself.
        title: of the dataset.
        raters: name -> who that is.
        records: one row a record, text: its labels are the final ones.
        ratings: every rating, long form, in the labels with which it was given.
        provenance: as `adjudication.provenance` returns it, of these records.
        agreement: as `agreement.measure` returns it, of the ratings.
        files: name -> file that is copied as it is: codebooks, migrations, protocol.
        book: codebook of the final labels.
    """

    about: Release
    title: str
    raters: dict[str, str]
    records: pd.DataFrame
    ratings: pd.DataFrame
    provenance: pd.DataFrame
    agreement: pd.DataFrame
    files: dict[str, Path]
    book: Codebook


class Description(Release):
    """What a dataset with ratings says of itself, beside its column map."""

    title: str
    raters: dict[str, str]


def of_dataset(
    described: Description,
    records: pd.DataFrame,
    ratings: pd.DataFrame,
    agreement: pd.DataFrame,
    files: dict[str, Path],
    book: Codebook,
) -> Content:
    """Derive the release of a dataset from its own ratings, whatever labels its records say.

    Args:
        described: what it says of itself.
        records: as `dataset.read` returns them.
        ratings: as `adjudication.load` returns them.
        agreement: as `agreement.measure` returns it.
        files: name -> file that is copied as it is.
        book: codebook of the labels.

    Raises:
        InputError: if a label of a record is unresolved.
    """
    provenance = adjudication.provenance(ratings)
    labels = provenance.pivot(index="record_id", columns="facet", values="label")
    labels = labels.reindex(records["record_id"]).fillna("")
    unresolved = labels.stack()[lambda label: label == ""].index
    if len(unresolved):
        raise InputError(f"record `{record}`: `{facet}` is unresolved" for record, facet in unresolved)
    texts = records.astype("str").mask(records.isna(), "")
    derived = texts.assign(**{str(name): labels[name].to_numpy() for name in labels if name in texts})
    return Content(
        described, described.title, described.raters, derived, ratings, provenance, agreement, files, book
    )


def of_study(
    protocol: Protocol,
    candidates: pd.DataFrame,
    phases: Sequence[Progress],
    ratings: pd.DataFrame,
    provenance: pd.DataFrame,
    agreement: pd.DataFrame,
) -> Content:
    """Collect the release of a finished study: the records that all phases kept, without thread text.

    Raises:
        InputError: if a phase is not done, or a label is unresolved or must be rated again.
    """
    problems = [
        f"phase `{phase.name}` is not done ({phase.state}): {len(phase.missing)} ratings are missing, "
        f"{phase.disputes['record_id'].nunique()} records are disputed"
        for phase in phases
        if phase.state not in (DONE, NOT_NEEDED)
    ]
    if problems:
        raise InputError(problems)
    labels = provenance.pivot(index="record_id", columns="facet", values="label").fillna("")
    labels = labels.reindex(columns=[name for name in protocol.book.columns if name in labels])
    for phase in protocol.phases.values():
        for question, kept in phase.keeps.items():
            labels = labels[labels[question].isin(kept)]
    ours = provenance[provenance["record_id"].isin(labels.index)]
    undecided = (ours["label"] == "") | to_rate_again(ours["label"])
    if undecided.any():
        raise InputError(
            f"record `{record}`: `{facet}` is `{label}`, expected a decided label that no migration split"
            for record, facet, label in ours.loc[undecided, ["record_id", "facet", "label"]].to_numpy()
        )
    threads = candidates.set_index("record_id", drop=False).loc[labels.index, _THREAD]
    decided = ours.groupby("record_id")["decided"].agg(_least).reindex(labels.index)
    records = threads.join(labels).assign(decided=decided).reset_index(drop=True)
    return Content(
        about=protocol.release,
        title=protocol.title,
        raters={**protocol.raters},
        records=records,
        ratings=ratings,
        provenance=ours.reset_index(drop=True),
        agreement=agreement,
        files=_files(protocol),
        book=protocol.book,
    )


def _files(protocol: Protocol) -> dict[str, Path]:
    files = {"study.yaml": protocol.file, "codebook.yaml": protocol.codebook_files[-1]}
    earlier = zip(protocol.books, protocol.codebook_files[:-1], strict=False)
    files |= {f"codebook-{version}.yaml": path for version, path in earlier}
    return files | {path.name: path for path in protocol.migration_files}


def _least(decided: pd.Series) -> str:
    """Return the least certain way in which a label of a record was decided."""
    ways = set(decided)
    return next(way for way in ("unresolved", "rated_once", "adjudicated", "agreed") if way in ways)


def write(content: Content, folder: Path) -> None:
    """Write a release; nothing stays when it does not pass the validators of its own metadata.

    `records` (CSV and Parquet), `ratings.csv`, `labels.csv` (how each label came about, and by whom), the
    copied files, `datasheet.md`, `schema.yaml` and `datasets.csv` (so that this project reads the records),
    `datapackage.json` (Frictionless), `croissant.json` (MLCommons) and `checksums.sha256`.

    Raises:
        InputError: with what `mlcroissant` or `frictionless` find wrong.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(content, folder)
        _check(folder)
    except BaseException:
        shutil.rmtree(folder)
        raise


def _check(folder: Path) -> None:
    problems = validate(folder)
    if problems:
        raise InputError(problems)


def validate(folder: Path) -> list[str]:
    """Return what the validators of Croissant and Frictionless, and the checksums, find wrong."""
    problems = []
    try:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of what it is built on
            mlcroissant.Dataset(str(folder / "croissant.json"))
    except mlcroissant.ValidationError as error:
        problems += [f"{folder}/croissant.json: {line}" for line in str(error).splitlines()]
    report = frictionless.validate(str(folder / "datapackage.json"))
    for *place, message in report.flatten(["name", "rowNumber", "fieldName", "message"]):
        problems.append(f"{folder}/datapackage.json: {' '.join(str(x) for x in place if x)}: {message}")
    for line in (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines():
        expected, name = line.split("  ", 1)
        if _sha256(folder / name) != expected:
            problems.append(f"{folder}/{name}: the file differs from its checksum")
    return problems


def _write(content: Content, folder: Path) -> None:
    tables.write_csv(content.records, folder / "records.csv")
    content.records.to_parquet(folder / "records.parquet", index=False)
    tables.write_csv(content.ratings, folder / "ratings.csv")
    tables.write_csv(content.provenance, folder / "labels.csv")
    for name, source in content.files.items():
        shutil.copyfile(source, folder / name)
    sheet = datasheet.text(
        content.about, content.title, content.raters, content.records, content.ratings,
        content.provenance, content.agreement,
    )  # fmt: skip
    (folder / "datasheet.md").write_text(sheet, encoding="utf-8")
    _write_registration(content, folder)
    described = {
        "records": (content.records, "One row a fault with its final labels.", ["record_id"]),
        "ratings": (content.ratings, "Every rating, as it was given.", ["record_id", "phase", "round"]),
        "labels": (content.provenance, "How each final label came about.", ["record_id", "facet"]),
    }
    resources = [
        metadata.Resource(name, text, frame, key, _sha256(folder / f"{name}.csv"))
        for name, (frame, text, key) in described.items()
    ]
    parquet = ("records.parquet", _sha256(folder / "records.parquet"))
    for name, described_by in (
        ("datapackage.json", metadata.data_package(content.about, content.title, resources, content.book)),
        (
            "croissant.json",
            metadata.croissant(content.about, content.title, content.raters, resources, parquet),
        ),
    ):
        text = json.dumps(described_by, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    lines = [f"{_sha256(path)}  {path.name}\n" for path in sorted(folder.iterdir()) if path.name != CHECKSUMS]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def _write_registration(content: Content, folder: Path) -> None:
    """Write the column map and the register row with which this project reads the records."""
    columns: dict[str, dict[str, bool]] = {str(name): {} for name in content.records}
    schema = {
        "title": content.title,
        "note": content.about.summary,
        "limits": content.about.limits,
        "columns": columns,
    }
    text = yaml.safe_dump(schema, sort_keys=False, allow_unicode=True, width=110)
    (folder / "schema.yaml").write_text(text, encoding="utf-8")
    row = {
        "name": content.about.name,
        "version": content.about.version,
        "path": "records.csv",
        "sha256": _sha256(folder / "records.csv"),
        "licence": content.about.licence,
        "population": "independent",
        "synthetic": "yes" if content.about.synthetic else "no",
        "schema": "schema.yaml",
        "codebook": "codebook.yaml",
        "ratings": "",
    }
    tables.write_csv(pd.DataFrame([row]), folder / "datasets.csv")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
