"""Machine-readable descriptions of a released dataset: Frictionless Data Package and MLCommons Croissant.

Data Package: https://datapackage.org/profiles/1.0/. Croissant: https://docs.mlcommons.org/croissant/docs/croissant-spec.html,
written with the library of its authors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import mlcroissant as mlc
import pandas as pd

from attention_faults.labelling.protocol import Release
from attention_faults.taxonomy.codebook import Codebook


@dataclass(frozen=True)
class Resource:
    """A table of a release: `<name>.csv`."""

    name: str
    description: str
    frame: pd.DataFrame
    key: list[str]
    sha256: str


def data_package(about: Release, title: str, resources: Sequence[Resource], book: Codebook) -> dict[str, Any]:
    """Return the descriptor of a Data Package; labels of records must be those of the codebook."""
    return {
        "profile": "tabular-data-package",
        "name": about.name.replace("_", "-"),
        "title": title,
        "description": about.summary,
        "version": about.version,
        "created": f"{about.published}T00:00:00Z",
        "homepage": about.url,
        "licenses": [
            {"name": about.licence.replace(" ", "-"), "title": about.licence, "path": about.licence_url}
        ],
        "contributors": [{"title": creator, "role": "author"} for creator in about.creators],
        "resources": [_resource(one, book) for one in resources],
    }


def _resource(one: Resource, book: Codebook) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "fields": [_field(one, str(name), book) for name in one.frame],
        "primaryKey": one.key,
    }
    if one.name == "labels":
        reference = {"resource": "records", "fields": ["record_id"]}
        schema["foreignKeys"] = [{"fields": ["record_id"], "reference": reference}]
    return {
        "profile": "tabular-data-resource",
        "name": one.name,
        "path": f"{one.name}.csv",
        "description": one.description,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "hash": f"sha256:{one.sha256}",
        "schema": schema,
    }


def _field(one: Resource, name: str, book: Codebook) -> dict[str, Any]:
    constraints: dict[str, Any] = {"required": True} if name in one.key else {}
    if one.name == "records" and name in book.columns:
        constraints = {"required": True, "enum": book.labels(name)}
    field = {"name": name, "type": "string", "description": _description(name)}
    return field | ({"constraints": constraints} if constraints else {})


def _description(name: str) -> str:
    known = {
        "record_id": "Name of the record: the first 10 hexadecimal digits of the SHA-256 of its URL.",
        "url": "Address of the thread.",
        "project": "Project in which the fault was reported.",
        "decided": "How the label (in records: the least certain one) was decided.",
        "phase": "Phase of the study.",
        "round": "first, second or adjudication.",
        "rater": "Who rated.",
        "by": "Who rated or adjudicated.",
    }
    return known.get(name, f"{name.replace('_', ' ').capitalize()}.")


def croissant(
    about: Release,
    title: str,
    raters: Mapping[str, str],
    resources: Sequence[Resource],
    parquet: tuple[str, str],
) -> dict[str, Any]:
    """Return Croissant metadata, with its responsible-AI fields on collection, annotation and limits.

    Args:
        about: what the dataset says of itself.
        title: of the dataset.
        raters: name -> who that is.
        resources: its tables.
        parquet: name and checksum of the Parquet twin of the records.
    """
    files = [_file(f"{one.name}.csv", "text/csv", one.sha256) for one in resources]
    files.append(_file(parquet[0], "application/vnd.apache.parquet", parquet[1]))
    described = mlc.Metadata(
        name=about.name,
        description=f"{title}. {about.summary}",
        version=about.version,
        url=about.url,
        license=[about.licence_url],
        creators=[mlc.Organization(name=creator) for creator in about.creators],
        date_published=datetime.fromisoformat(about.published),
        cite_as=f"{', '.join(about.creators)}: {title}, version {about.version} ({about.published}).",
        distribution=files,
        record_sets=[_record_set(one) for one in resources],
        data_collection=" ".join(about.collected),
        data_annotation_protocol=["Independent ratings, agreement by phase, adjudication; see datasheet.md."],
        annotator_demographics=[f"{name}: {who}" for name, who in raters.items()],
        data_limitations=about.limits,
    )
    content: dict[str, Any] = described.to_json()
    return content


def _file(name: str, kind: str, sha256: str) -> mlc.FileObject:
    return mlc.FileObject(id=name, name=name, content_url=name, encoding_formats=[kind], sha256=sha256)


def _record_set(one: Resource) -> mlc.RecordSet:
    fields = [
        mlc.Field(
            id=f"{one.name}/{name}",
            name=name,
            description=_description(str(name)),
            data_types=[mlc.DataType.TEXT],
            source=mlc.Source(file_object=f"{one.name}.csv", extract=mlc.Extract(column=name)),
        )
        for name in one.frame
    ]
    key = [f"{one.name}/{name}" for name in one.key]
    return mlc.RecordSet(id=one.name, name=one.name, description=one.description, key=key, fields=fields)
