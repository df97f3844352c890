"""Final labels from independent ratings."""

from pathlib import Path

import pandas as pd

from attention_faults.errors import InputError, nearest
from attention_faults.taxonomy.agreement import ADJUDICATION, facets
from attention_faults.taxonomy.codebook import Codebook
from attention_faults.taxonomy.reading import read_table

KEYS = ["record_id", "phase", "round"]


def load(path: Path, book: Codebook) -> pd.DataFrame:
    """Read ratings in long form: record_id, phase, round, rater, one column a facet ("" is "not rated").

    Raises:
        InputError: with every missing column, unknown label, and second rating of a record, phase and round.
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
    for facet in facets(ratings):
        valid = ["", *book.labels(facet)]
        wrong = ~ratings[facet].isin(valid).to_numpy(bool)
        for line, value in zip(lines[wrong], ratings.loc[wrong, facet], strict=True):
            hint = nearest(value, valid)
            problems.append(f"{path}:{line}: column `{facet}`: `{value}` is not in the codebook{hint}")
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
    asked = facets(ratings)
    order = {phase: position for position, phase in enumerate(ratings["phase"].unique())}
    ratings = ratings.assign(position=ratings["phase"].map(order))
    records = pd.DataFrame(index=pd.Index(ratings["record_id"].unique(), name="record_id"))
    for facet in asked:
        rated = ratings[ratings[facet] != ""]
        last = rated[rated["position"] == rated.groupby("record_id")["position"].transform("max")]
        decided = last[last["round"] == ADJUDICATION].groupby("record_id")[facet].last()
        labels = (
            last[last["round"] != ADJUDICATION].groupby("record_id")[facet].agg(["nunique", "first", "size"])
        )
        agreed = labels.loc[(labels["nunique"] == 1) & (labels["size"] > 1), "first"]
        records[facet] = decided.combine_first(agreed).reindex(records.index).fillna("")
        records[f"{facet}_decided"] = "unresolved"
        records.loc[records.index.isin(agreed.index), f"{facet}_decided"] = "agreed"
        records.loc[records.index.isin(decided.index), f"{facet}_decided"] = "adjudicated"
    return records.reset_index()


def compare(adjudicated: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Count, for each facet, how labels were decided and where they differ from those of the records.

    Args:
        adjudicated: result of `adjudicate`.
        records: fault records with their published labels.

    Returns:
        One row a facet: facet, records, agreed, adjudicated, unresolved, unrated (records without a rating),
        different (records whose published label is another).
    """
    published = records.set_index("record_id")
    derived = adjudicated.set_index("record_id").reindex(published.index)
    rows = []
    for facet in [name for name in adjudicated.columns if name in published]:
        decided = derived[f"{facet}_decided"].value_counts()
        rows.append(
            {
                "facet": facet,
                "records": len(published),
                **{how: int(decided.get(how, 0)) for how in ("agreed", "adjudicated", "unresolved")},
                "unrated": int(derived[facet].isna().sum()),
                "different": int(
                    (derived[facet].fillna("") != published[facet].astype("str").fillna("")).sum()
                ),
            }
        )
    return pd.DataFrame(rows)
