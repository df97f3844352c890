"""Verdicts follow from the rule, the tolerance and the population that the claims file states."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attention_faults.errors import InputError
from attention_faults.taxonomy import claims, heuristics, prevalence
from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC, Codebook

PUBLISHED = Path(__file__).parents[2] / "data" / "published" / "claims.csv"


@pytest.fixture(scope="module")
def published() -> pd.DataFrame:
    return claims.load(PUBLISHED)


def ours(**values: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(values, orient="index", columns=["value", "low", "high"])


def verdict(published: pd.DataFrame, claim: str, measured: pd.DataFrame, population: str) -> str:
    return claims.judge(published, measured, population).set_index("id").loc[claim, "verdict"]


def test_every_claim_names_its_source_trust_and_tolerance(published: pd.DataFrame) -> None:
    assert (published[["statement", "source", "tolerance_reason"]] != "").all(axis=None)
    assert published["id"].is_unique
    licensed = (published["on_authors_data"] == "compare") & (published["on_independent_data"] == "compare")
    assert (published.loc[~licensed, "reason"] != "").all()


def test_the_only_secondary_figure_is_the_localisation_improvement(published: pd.DataFrame) -> None:
    assert published.loc[published["trust"] == "secondary", "id"].tolist() == ["localisation_improvement"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.33, "reproduced"),
        (0.28, "reproduced"),
        (0.38, "reproduced"),
        (0.279, "not reproduced"),
        (0.381, "not reproduced"),
    ],
)
def test_within_is_a_closed_range_around_the_published_value(
    published: pd.DataFrame, value: float, expected: str
) -> None:
    assert (
        verdict(published, "heuristic_coverage", ours(heuristic_coverage=(value, 0, 1)), "independent")
        == expected
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.236, "reproduced"),
        (0.30, "reproduced"),
        (0.381, "reproduced"),
        (0.235, "not reproduced"),
        (0.39, "not reproduced"),
    ],
)
def test_a_published_range_includes_its_ends(published: pd.DataFrame, value: float, expected: str) -> None:
    assert (
        verdict(published, "localisation_improvement", ours(relative_improvement=(value, 0, 1)), "authors")
        == expected
    )


@pytest.mark.parametrize(
    ("low", "expected"), [(0.51, "reproduced"), (0.50, "not reproduced"), (0.40, "not reproduced")]
)
def test_above_needs_the_whole_interval_above(published: pd.DataFrame, low: float, expected: str) -> None:
    measured = ours(attention_specific_share=(0.6, low, 0.7))
    assert verdict(published, "attention_specific_majority", measured, "authors") == expected


def test_sample_sizes_of_an_independent_dataset_are_not_comparable(published: pd.DataFrame) -> None:
    judged = claims.judge(published, ours(records=(555, 0, 0)), "independent").set_index("id")
    assert judged.loc["fault_count", "verdict"] == "not comparable"
    assert judged.loc["fault_count", "reason"] == "the size of a sample is no property of the faults"


def test_names_that_were_taken_over_are_by_construction(published: pd.DataFrame) -> None:
    measured = ours(attention_specific_categories=(7, 7, 7))
    assert verdict(published, "category_count", measured, "independent") == "by construction"
    assert verdict(published, "category_count", measured, "authors") == "reproduced"


def test_a_quantity_the_dataset_does_not_hold_is_not_comparable(published: pd.DataFrame) -> None:
    judged = claims.judge(published, ours(records=(555, 0, 0)), "authors").set_index("id")
    assert judged.loc["framework_count", ["verdict", "reason"]].tolist() == [
        "not comparable",
        "the dataset does not hold what this needs",
    ]


def measured(records: pd.DataFrame, book: Codebook, **changes: float) -> pd.DataFrame:
    draws = {"min_antecedent": 5, "permutations": 19, "grid_permutations": 19, "folds": 10}
    thresholds = heuristics.Thresholds(**heuristics.PROTOCOL | draws | changes)
    options = {"draws": 100, "level": 0.95, "seed": 1}
    summary = heuristics.derive(records, thresholds, **options).summary
    return claims.measure(records, prevalence.measure(records, book, **options), summary, None)


def test_the_primary_analysis_is_set_beside_the_paper(
    published: pd.DataFrame, records: pd.DataFrame, book: Codebook
) -> None:
    found = measured(records, book)
    assert found.loc["heuristics", "value"] == 1
    assert found.loc["heuristic_coverage", "value"] == 5 / 254
    assert verdict(published, "heuristic_coverage", found, "independent") == "not reproduced"


@pytest.mark.parametrize("changes", [{"min_confidence": 0.05, "rules": 12}, {"min_support": 2}])
def test_thresholds_other_than_the_protocols_are_not_comparable(
    published: pd.DataFrame, records: pd.DataFrame, book: Codebook, changes: dict[str, float]
) -> None:
    found = measured(records, book, **changes)
    judged = claims.judge(published, found, "independent").set_index("id")
    for claim in ("heuristic_count", "heuristic_coverage"):
        assert judged.loc[claim, "verdict"] == "not comparable"
        assert "the thresholds are not those of the protocol" in judged.loc[claim, "reason"]
        assert np.isnan(judged.loc[claim, "ours"])


def test_without_attention_specific_faults_heuristics_are_not_comparable(
    published: pd.DataFrame, records: pd.DataFrame, book: Codebook
) -> None:
    generic = records[records["scope"] != ATTENTION_SPECIFIC].reset_index(drop=True)
    found = measured(generic, book)
    assert found.loc["attention_specific_share", "value"] == 0
    assert verdict(published, "heuristic_coverage", found, "authors") == "not comparable"
    assert verdict(published, "heuristic_count", found, "authors") == "not comparable"


def test_a_blank_framework_is_none(records: pd.DataFrame, book: Codebook) -> None:
    few = records.head(40)
    named = few["framework"].where(few.index >= 3, "").where(few.index != 4, None)
    kept = few["framework"][[3, *range(5, 40)]].nunique()
    assert measured(few.assign(framework=named), book).loc["frameworks", "value"] == kept
    assert "frameworks" not in measured(few.assign(framework=""), book).index


def test_bad_claims_are_all_reported(tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    lines = PUBLISHED.read_text().splitlines()
    path.write_text(
        "\n".join(
            [
                lines[0],
                lines[1].replace("primary", "rumour"),
                lines[2].replace(",within,96,", ",roughly,many,"),
            ]
        )
    )
    with pytest.raises(InputError) as caught:
        claims.load(path)
    assert len(caught.value.problems) == 3
    assert f"{path}:2: column `trust`: `rumour`" in str(caught.value)
    assert f"{path}:3: column `value`: `many` is not a number" in str(caught.value)
