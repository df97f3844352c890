"""The datasheet of a released dataset (Gebru et al. 2021): how collected, by whom labelled, its limits."""

from collections.abc import Mapping

import pandas as pd

from attention_faults.labelling.protocol import Release
from attention_faults.taxonomy.agreement import ADJUDICATION

MEASURES = {"percent_agreement": "agreement", "cohen_kappa": "Cohen's kappa"}


def text(
    about: Release,
    title: str,
    raters: Mapping[str, str],
    records: pd.DataFrame,
    ratings: pd.DataFrame,
    provenance: pd.DataFrame,
    agreement: pd.DataFrame,
) -> str:
    """Return a datasheet as Markdown; every number in it is counted from the tables given."""
    projects = records["project"].nunique()
    parts = [
        f"# {title}",
        f"Version {about.version}, published {about.published}. {about.summary}",
        f"{len(records)} records of {projects} projects, {len(ratings)} ratings.",
        "## How it was collected",
        _listed(about.collected),
        "## By whom it was labelled",
        _table(_work_of(ratings, raters), ["rater", "who", "phase", "round", "ratings"]),
        "## Agreement of first and second rating",
        _table(_agreement(agreement), ["phase", "facet", "records", *MEASURES.values()]),
        "## How labels were decided",
        _table(_decisions(provenance), ["facet", "decided", "records"]),
        "## Labels",
        _table(_shares(records, provenance), ["facet", "label", "records"]),
        "## Limits",
        _listed(about.limits),
        "## Licence",
        f"{about.licence} ({about.licence_url}). By {', '.join(about.creators)}. {about.url}",
    ]
    return "\n\n".join(parts) + "\n"


def _listed(sentences: list[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _table(rows: pd.DataFrame, names: list[str]) -> str:
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(str(cell).replace("|", "\\|") for cell in row) for row in rows[names].to_numpy()]
    return "\n".join(f"| {line} |" for line in lines)


def _work_of(ratings: pd.DataFrame, raters: Mapping[str, str]) -> pd.DataFrame:
    counts = ratings.groupby(["rater", "phase", "round"], sort=False).size().reset_index(name="ratings")
    adjudicator = counts["round"] == ADJUDICATION
    who = counts["rater"].map(dict(raters)).fillna("")
    return counts.assign(who=who.where((who != "") | ~adjudicator, "decides disagreements"))


def _agreement(agreement: pd.DataFrame) -> pd.DataFrame:
    wide = agreement.pivot(index=["phase", "facet", "records"], columns="measure", values="value")
    order = agreement[["phase", "facet", "records"]].drop_duplicates()
    shown = wide.reindex(pd.MultiIndex.from_frame(order)).reindex(columns=list(MEASURES))
    cells = shown.map(lambda value: "undefined" if pd.isna(value) else f"{value:.3f}")
    return cells.rename(columns=MEASURES).reset_index()


def _decisions(provenance: pd.DataFrame) -> pd.DataFrame:
    counts: pd.Series = provenance.groupby(["facet", "decided"], sort=False).size()
    return pd.DataFrame(counts.rename("records").reset_index())


def _shares(records: pd.DataFrame, provenance: pd.DataFrame) -> pd.DataFrame:
    tables: list[pd.DataFrame] = []
    for facet in provenance["facet"].unique():
        counts = records[facet].value_counts().rename_axis("label").reset_index(name="records")
        tables.append(counts.assign(facet=facet))
    return pd.concat(tables, ignore_index=True)
