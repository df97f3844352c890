"""Synthetic studies with other vocabularies, and what every figure must satisfy."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

from attention_faults.reporting import figures
from attention_faults.taxonomy.codebook import Category, Codebook

NOTE = "Synthetic records, made for a test. " * 6


@dataclass(frozen=True)
class Study:
    """A codebook, records with it, and frames as the taxonomy modules make them."""

    book: Codebook
    records: pd.DataFrame
    prevalence: pd.DataFrame
    cells: pd.DataFrame
    frameworks: pd.DataFrame
    grid: pd.DataFrame
    summary: pd.DataFrame
    agreement: pd.DataFrame
    confusion: pd.DataFrame
    comparison: pd.DataFrame


def make_codebook(categories: int, causes: int, symptoms: int, name: Callable[[str, int], str]) -> Codebook:
    return Codebook(
        version="1",
        scopes={"attention_specific": "", "generic": ""},
        categories={
            name("category", i): Category(
                "generic" if i % 3 == 2 else "attention_specific",
                "",
                {name("cause", i * causes + j): "" for j in range(causes)},
            )
            for i in range(categories)
        },
        facets={"symptom": {name("symptom", i): "" for i in range(symptoms)}},
        rules=[],
    )


def make_records(book: Codebook, size: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    causes = list(book.category_of)
    # the last cause and the last symptom never occur
    weights = np.append(1 / np.arange(1, len(causes)), 0)
    cause = rng.choice(causes, size, p=weights / weights.sum())
    symptoms = book.labels("symptom")
    frame = pd.DataFrame({"root_cause": cause, "symptom": rng.choice(symptoms[:-1], size)})
    frame["category"] = frame["root_cause"].map(book.category_of)
    frame["scope"] = frame["category"].map({name: x.scope for name, x in book.categories.items()})
    frame["framework"] = [f"framework_{min(x, 30)}" for x in rng.geometric(0.1, size)]
    return book.categorise(frame)


def make_prevalence(records: pd.DataFrame) -> pd.DataFrame:
    def shares(population: str, frame: pd.DataFrame, facet: str, labels: list[str]) -> pd.DataFrame:
        count = frame[facet].value_counts().reindex(labels).to_numpy()
        share = count / len(frame)
        return pd.DataFrame(
            {
                "population": population,
                "facet": facet,
                "label": labels,
                "count": count,
                "n": len(frame),
                "share": share,
                "clustered_low": share * 0.7,
                "clustered_high": np.minimum(share * 1.3 + 0.01, 1),
                "clustered_method": np.where(count < 20, "wilson_effective_n", "bootstrap"),
            }
        )

    specific = records[records["scope"] == "attention_specific"]
    return pd.concat(
        [
            *(
                shares("all", records, facet, list(records[facet].cat.categories))
                for facet in ("scope", "category", "root_cause", "symptom")
            ),
            *(
                shares("attention_specific", specific, facet, list(specific[facet].unique()))
                for facet in ("category", "root_cause")
            ),
        ],
        ignore_index=True,
    )


def make_cells(records: pd.DataFrame, facet: str, outcome: str) -> pd.DataFrame:
    table = pd.crosstab(records[facet], records[outcome])
    n = table.to_numpy().sum()
    row, column = table.sum(axis=1).to_numpy()[:, None] / n, table.sum(axis=0).to_numpy()[None, :] / n
    residual = (table / n - row * column) / np.sqrt(row * column * (1 - row) * (1 - column) / n)
    cells = pd.DataFrame({"support": table.stack(), "adjusted_residual": residual.stack()}).reset_index()
    cells = cells.rename(columns={facet: "facet_label", outcome: "outcome_label"})
    p = np.exp(-cells["adjusted_residual"].abs())
    return cells.assign(facet=facet, outcome=outcome, n=n, p_bh=p).astype(
        {"facet_label": str, "outcome_label": str}
    )


def make_heuristics() -> tuple[pd.DataFrame, pd.DataFrame]:
    analyses = {
        "primary": ("symptom", "root_cause"),
        **{
            f"{facets} -> {consequent}": (facets, consequent)
            for facets in ("symptom", "symptom/trigger", "symptom/trigger/visibility/stage")
            for consequent in ("category", "root_cause")
        },
    }
    grid = pd.DataFrame(
        [
            {
                "analysis": analysis,
                "min_confidence": confidence,
                "rules": rules,
                "coverage": 0.04 * rules + confidence / 100,
                "null_mean": 0.02 * rules,
                "null_p95": 0.03 * rules,
                "out_of_sample_coverage": 0.025 * rules,
            }
            for analysis in analyses
            for confidence in (0.0, 0.3, 0.6)
            for rules in range(1, 11)
        ]
    )
    summary = pd.DataFrame(
        [
            {
                "analysis": analysis,
                "antecedents": antecedents,
                "consequent": consequent,
                "min_confidence": 0.3,
                "rules": 4,
                "rules_found": 4,
                "coverage": 0.163,
                "coverage_low": 0.1,
                "coverage_high": 0.2,
                "null_mean": 0.08,
                "p": 0.0123,
                "out_of_sample_coverage": 0.1,
                "out_of_sample_low": 0.05,
                "out_of_sample_high": 0.15,
            }
            for analysis, (antecedents, consequent) in analyses.items()
        ]
    )
    return grid, summary


def make_agreement(facets: list[str]) -> pd.DataFrame:
    rows = [
        {
            "phase": phase,
            "facet": facet,
            "measure": measure,
            "value": value,
            "low": value - 0.1,
            "high": value + 0.05,
        }
        for phase in ("pilot", "full_manual_analysis")
        for facet in facets
        for measure, value in (
            ("percent_agreement", 0.9),
            ("cohen_kappa", -0.1),
            ("krippendorff_alpha", np.nan if facet == facets[0] else 0.7),
            ("fleiss_kappa", np.nan if facet == facets[0] else 0.6),
        )
    ]
    return pd.DataFrame(rows).assign(records=1234)


def make_confusion(records: pd.DataFrame) -> pd.DataFrame:
    second = np.where(np.arange(len(records)) % 5, records["root_cause"], records["root_cause"][::-1])
    pairs = pd.DataFrame({"first": records["root_cause"].astype(str), "second": second})
    counts = pairs.groupby(["first", "second"]).size().reset_index(name="count")
    return counts.assign(phase="pilot", facet="root_cause")


def make_study(book: Codebook, size: int, datasets: list[str]) -> Study:
    records = make_records(book, size)
    prevalence = make_prevalence(records)
    grid, summary = make_heuristics()
    frameworks = records.groupby(["framework", "category"], observed=True).size().reset_index(name="count")
    return Study(
        book,
        records,
        prevalence,
        make_cells(records, "symptom", "root_cause"),
        frameworks,
        grid,
        summary,
        make_agreement(["scope", "category", *book.labels("symptom")[:3]]),
        make_confusion(records),
        pd.concat([prevalence.assign(dataset=name) for name in datasets], ignore_index=True),
    )


def short(kind: str, number: int) -> str:
    return f"{kind[0]}{number}"


def long(kind: str, number: int) -> str:
    return f"a_rather_long_name_of_{kind}_{number}_$with$_more_words_<than>_usual"


STUDIES = {
    "small": lambda: make_study(make_codebook(3, 1, 3, short), 60, ["mine"]),
    "large": lambda: make_study(make_codebook(20, 3, 60, long), 4000, [long("dataset", i) for i in range(9)]),
}


DRAWINGS: dict[str, Callable[[Study], Figure]] = {
    "taxonomy_tree": lambda x: figures.taxonomy_tree(x.prevalence, x.book, NOTE),
    "label_bars": lambda x: figures.label_bars(x.prevalence, "root_cause", NOTE),
    "association_heatmap": lambda x: figures.association_heatmap(
        x.cells, "symptom", "root_cause", NOTE, groups=x.book.category_of
    ),
    "alluvial": lambda x: figures.alluvial(x.records, "symptom", "category", NOTE),
    "framework_stack": lambda x: figures.framework_stack(x.frameworks, NOTE),
    "heuristics_coverage": lambda x: figures.heuristics_coverage(x.grid, x.summary, 0.33, NOTE),
    "agreement_dots": lambda x: figures.agreement_dots(x.agreement, NOTE),
    "confusion_heatmap": lambda x: figures.confusion_heatmap(x.confusion, "root_cause", "pilot", NOTE),
    "dataset_comparison": lambda x: figures.dataset_comparison(x.comparison, NOTE),
}


@pytest.fixture(scope="session")
def small() -> Study:
    return STUDIES["small"]()


@pytest.fixture(scope="session")
def large() -> Study:
    return STUDIES["large"]()


@pytest.fixture(scope="session", params=STUDIES)
def study(request: pytest.FixtureRequest) -> Study:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session", params=DRAWINGS)
def draw(request: pytest.FixtureRequest) -> Callable[[Study], Figure]:
    return DRAWINGS[request.param]


@pytest.fixture(scope="session")
def problems() -> Callable[[Figure], list[str]]:
    return legibility_problems


@pytest.fixture(scope="session")
def words() -> Callable[[Figure], str]:
    return all_text


def all_text(figure: Figure) -> str:
    """All text of a figure, with single spaces."""
    return " ".join(" ".join(text.get_text() for text in figure.findobj(Text)).split())


def legibility_problems(figure: Figure) -> list[str]:
    """Texts that leave the figure, are below 7 points, or touch another text."""
    figure.draw_without_rendering()
    spare = set().union(
        *(_spare_tick_labels(axis) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis))
    )
    texts = [x for x in figure.findobj(Text) if x.get_visible() and x.get_text().strip() and x not in spare]
    names = [text.get_text() for text in texts]
    x0, y0, x1, y1 = np.array([text.get_window_extent().extents for text in texts]).T
    outside = (x0 < -1) | (y0 < -1) | (x1 > figure.bbox.x1 + 1) | (y1 > figure.bbox.y1 + 1)
    small = np.array([text.get_fontsize() for text in texts]) < 7
    common_width = np.minimum.outer(x1, x1) - np.maximum.outer(x0, x0)
    common_height = np.minimum.outer(y1, y1) - np.maximum.outer(y0, y0)
    pairs = np.argwhere(np.triu((common_width > 1) & (common_height > 1), k=1))
    return [
        *(f"outside: {names[i]!r}" for i in np.flatnonzero(outside)),
        *(f"small: {names[i]!r}" for i in np.flatnonzero(small)),
        *(f"touching: {names[i]!r}, {names[j]!r}" for i, j in pairs),
    ]


def _spare_tick_labels(axis: Axis) -> set[Text]:
    """Labels that matplotlib keeps beyond the limits of an axis, and never draws."""
    drawn = axis._update_ticks() if axis.axes.axison else []
    ticks = set(axis.get_major_ticks()) - set(drawn)
    return {label for tick in ticks for label in (tick.label1, tick.label2)}
