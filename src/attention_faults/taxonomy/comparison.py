"""All selected datasets side by side."""

from collections.abc import Mapping

import pandas as pd

COMPARED = {"all": ["scope", "symptom"], "attention_specific": ["category", "root_cause"]}


def stack(prevalences: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Put the shares of several datasets under one another.

    Args:
        prevalences: dataset name -> result of `prevalence.measure`.

    Returns:
        The rows that are compared, with `dataset` as first column.
    """
    frames = [
        part[part["facet"].isin(COMPARED[str(population)])].assign(dataset=name)
        for name, frame in prevalences.items()
        for population, part in frame.groupby("population", sort=False)
    ]
    stacked = pd.concat(frames, ignore_index=True)
    return stacked[["dataset", *(name for name in stacked.columns if name != "dataset")]]


def side_by_side(stacked: pd.DataFrame) -> pd.DataFrame:
    """Return one row a label and, for each dataset, its count, share and clustered interval.

    A label that the codebook of a dataset does not know has empty cells there.
    """
    keys = ["population", "facet", "label"]
    shown = {
        "count": "count",
        "share": "share",
        "clustered_low": "low",
        "clustered_high": "high",
    }
    order = stacked[keys].drop_duplicates()
    for name, frame in stacked.groupby("dataset", sort=False):
        columns = frame.set_index(keys)[list(shown)].rename(columns=shown).add_prefix(f"{name} ")
        order = order.merge(columns, how="left", left_on=keys, right_index=True)
    return order.reset_index(drop=True)
