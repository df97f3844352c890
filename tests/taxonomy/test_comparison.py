"""Datasets side by side keep every label, also those that one codebook does not know."""

import pandas as pd

from attention_faults.taxonomy import comparison


def prevalence(**shares: float) -> pd.DataFrame:
    rows = [
        {"population": "all", "facet": "scope", "label": label, "count": 10 * share, "share": share,
         "clustered_low": share / 2, "clustered_high": share}
        for label, share in shares.items()
    ]  # fmt: skip
    rows.append({**rows[0], "facet": "stage", "label": "training"})
    rows.append({**rows[0], "population": "attention_specific", "facet": "category", "label": "kv_cache"})
    return pd.DataFrame(rows)


def test_stack_keeps_what_is_compared_and_names_the_dataset() -> None:
    stacked = comparison.stack({"a": prevalence(x=0.3, y=0.7), "b": prevalence(x=0.5)})
    assert stacked["dataset"].tolist() == ["a", "a", "a", "b", "b"]
    assert set(stacked["facet"]) == {"scope", "category"}


def test_side_by_side_has_one_row_a_label_and_empty_cells_for_unknown_ones() -> None:
    table = comparison.side_by_side(
        comparison.stack({"a": prevalence(x=0.3, y=0.7), "b": prevalence(x=0.5, z=0.5)})
    )
    shares = table[table["facet"] == "scope"].set_index("label")[["a share", "b share"]]
    assert shares.loc["x"].tolist() == [0.3, 0.5]
    assert shares.loc["y", "a share"] == 0.7
    assert pd.isna(shares.loc["y", "b share"])
    assert pd.isna(shares.loc["z", "a share"])
    assert not table.duplicated(["population", "facet", "label"]).any()


def test_one_dataset_alone_is_its_own_comparison() -> None:
    table = comparison.side_by_side(comparison.stack({"a": prevalence(x=1.0)}))
    assert table["a count"].tolist() == [10, 10]
