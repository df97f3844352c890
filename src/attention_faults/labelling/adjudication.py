"""Final labels from independent ratings."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attention_faults.errors import InputError, nearest
from attention_faults.taxonomy.agreement import ADJUDICATION, facets
from attention_faults.taxonomy.codebook import Codebook
from attention_faults.taxonomy.reading import read_table

KEYS = ["record_id", "phase", "round"]
ROUNDS = ["first", "second", "third", "fourth", ADJUDICATION]


def load(path: Path, book: Codebook, record_ids: Iterable[str]) -> pd.DataFrame:
    """Read ratings in long form: record_id, phase, round, rater, one column a facet ("" is "not rated").

    Raises:
        InputError: with every missing column, unknown record, round and label, and second rating of a record,
            phase and round.
    """
    table = read_table(path)
    ratings, lines = table.frame, table.lines
    missing = [name for name in [*KEYS, "rater"] if name not in ratings]
    unknown = [name for name in facets(ratings) if name not in book.columns]
    problems = [f"{path}:1: there is no column `{name}`" for name in missing]
    problems += [
        f"{path}:1: column `{name}` is not a facet of the codebook{nearest(name, book.columns)}"
        for name in unknown
    ]
    if problems:
        raise InputError(problems)
    again = ratings.duplicated(KEYS).to_numpy(bool)
    for line, (record, phase, turn) in zip(lines[again], ratings.loc[again, KEYS].to_numpy(), strict=True):
        where = f"phase `{phase}`, round `{turn}`"
        problems.append(f"{path}:{line}: record `{record}` already has a rating of {where}")
    reasons = {"record_id": "is no record of the dataset", "round": f"is not one of {', '.join(ROUNDS)}"}
    vocabularies = {"record_id": list(record_ids), "round": ROUNDS}
    vocabularies |= {facet: ["", *book.labels(facet)] for facet in facets(ratings)}
    for name, valid in vocabularies.items():
        wrong = ~ratings[name].isin(valid).to_numpy(bool)
        for line, value in zip(lines[wrong], ratings.loc[wrong, name], strict=True):
            message = reasons.get(name, "is not in the codebook")
            problems.append(f"{path}:{line}: column `{name}`: `{value}` {message}{nearest(value, valid)}")
    if problems:
        raise InputError(problems)
    return ratings


def adjudicate(ratings: pd.DataFrame) -> pd.DataFrame:
    """Derive the final label of each record and facet.

    The last phase in which a facet of a record was rated counts: its adjudication where there is one, else
    the label on which all its rounds agree, else none.

    Args:
        ratings: long form, one row a rating; phases in their order of appearance; "" is "not rated".

    Returns:
        One row a record: record_id, the label of each facet ("" where unresolved), and for each facet
        `<facet>_decided` (`agreed`, `adjudicated`, `unresolved`).
    """
    records = pd.DataFrame(index=pd.Index(ratings["record_id"].unique(), name="record_id"))
    for facet in facets(ratings):
        last = _last_phase(ratings, facet).reindex(records.index)
        records[facet] = last["final"].fillna("")
        records[f"{facet}_decided"] = "unresolved"
        records.loc[last["agreed"].notna(), f"{facet}_decided"] = "agreed"
        records.loc[last["adjudicated"].notna(), f"{facet}_decided"] = "adjudicated"
    return records.reset_index()


def provenance(ratings: pd.DataFrame, raters: pd.Series | None = None) -> pd.DataFrame:
    """Say of each final label how it came about, and by whom.

    The rule is that of `adjudicate`; beyond it, a label that one rater alone was asked for stands.

    Args:
        ratings: as `adjudicate` takes them.
        raters: number of raters that a record was assigned to, indexed by phase and record_id; at least two
            where it says nothing.

    Returns:
        One row a record and facet that was rated: record_id, facet, label ("" where unresolved), phase,
        decided (`agreed`, `adjudicated`, `rated_once`, `unresolved`), by (raters or adjudicator).
    """
    tables = []
    for facet in facets(ratings):
        if not (ratings[facet] != "").any():
            continue
        last = _last_phase(ratings, facet).rename_axis("record_id").reset_index()
        keys = pd.MultiIndex.from_frame(last[["phase", "record_id"]])
        alone = np.full(len(last), False) if raters is None else raters.reindex(keys).to_numpy() == 1
        once = last["sole"].where(alone)
        label = last["final"].combine_first(once).fillna("")
        decided = pd.Series("unresolved", index=last.index)
        decided[once.notna()] = "rated_once"
        decided[last["agreed"].notna()] = "agreed"
        decided[last["adjudicated"].notna()] = "adjudicated"
        by = last["adjudicator"].where(last["adjudicated"].notna(), last["raters"])
        tables.append(
            last[["record_id", "phase"]].assign(facet=facet, label=label, decided=decided, by=by.fillna(""))
        )
    columns = ["record_id", "facet", "label", "phase", "decided", "by"]
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables)[columns].sort_values("record_id", kind="stable").reset_index(drop=True)


def compare(ratings: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Count, for each facet, how labels were decided and where they differ from those of the records.

    As for `adjudicate`, the last phase in which the facet of a record was rated counts.

    Args:
        ratings: as `adjudicate` takes them.
        records: fault records with their published labels.

    Returns:
        One row a facet that both have: facet, records; raters_agreed and raters_differed (all of at least two
        ratings are one label, or not); overturned (the adjudicated label is not the one on which the raters
        agreed); unresolved (rated, without a final label); unrated (nobody rated the facet); different (the
        published label is not the final one).
    """
    published = records.set_index("record_id")
    rows = []
    for facet in [name for name in facets(ratings) if name in published]:
        last = _last_phase(ratings, facet)
        rated = published.index.isin(last.index)
        last = last.reindex(published.index)
        agreed, adjudicated, final = last["agreed"], last["adjudicated"], last["final"]
        truths: dict[str, Any] = {
            "raters_agreed": agreed.notna(),
            "raters_differed": last["labels"] > 1,
            "overturned": agreed.notna() & adjudicated.notna() & (agreed != adjudicated),
            "unresolved": rated & final.isna(),
            "unrated": ~rated,
            "different": final.fillna("") != published[facet].astype("str").fillna(""),
        }
        counts = {name: int(np.count_nonzero(truth)) for name, truth in truths.items()}
        rows.append({"facet": facet, "records": len(published), **counts})
    return pd.DataFrame(rows)


def _last_phase(ratings: pd.DataFrame, facet: str) -> pd.DataFrame:
    """Ratings of a facet in the last phase that rated it, one row a record with such a rating.

    Returns:
        Indexed by record_id: phase, labels (how many different ones the rounds gave), sole (the label of the
        only round), agreed (the one label of at least two rounds), raters (who gave them), adjudicated,
        adjudicator, final; missing where there is none.
    """
    order = {phase: position for position, phase in enumerate(ratings["phase"].unique())}
    rated = ratings[ratings[facet] != ""]
    position = rated["phase"].map(order)
    last = rated[position == position.groupby(rated["record_id"]).transform("max")]
    by_round = last[last["round"] != ADJUDICATION].groupby("record_id")
    rounds = by_round[facet].agg(["nunique", "first", "size"])
    adjudication = last[last["round"] == ADJUDICATION].groupby("record_id").last()
    table = last.drop_duplicates("record_id").set_index("record_id")[["phase"]]
    table["labels"] = rounds["nunique"]
    table["sole"] = rounds.loc[rounds["size"] == 1, "first"]
    table["agreed"] = rounds.loc[(rounds["nunique"] == 1) & (rounds["size"] > 1), "first"]
    table["raters"] = by_round["rater"].agg("; ".join)
    table["adjudicated"] = adjudication[facet]
    table["adjudicator"] = adjudication["rater"]
    return table.assign(final=table["adjudicated"].combine_first(table["agreed"]))
