import numpy as np
import pytest
from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle

from attention_faults.reporting import figures


def counts_of(study, facet):
    rows = study.prevalence[(study.prevalence["population"] == "all") & (study.prevalence["facet"] == facet)]
    return rows.set_index("label")["count"]


def test_every_node_is_named_with_its_count_and_share(study, words):
    text = words(figures.taxonomy_tree(study.prevalence, study.book, ""))
    n = len(study.records)
    assert f"all faults {n:,}" in text
    for facet in ("scope", "category"):
        for label, count in counts_of(study, facet).items():
            assert f"{label.replace('_', ' ')} {count:,} ({count / n:.1%})" in text
    for label, count in counts_of(study, "root_cause").items():
        assert f"{label.replace('_', ' ')} {count:,} ({count / n:.1%})" in text


def test_bars_are_proportional_to_counts(study):
    axes = figures.taxonomy_tree(study.prevalence, study.book, "").axes[0]
    lengths = [x.get_width() for x in axes.patches if isinstance(x, Rectangle)]
    ordered = [
        cause
        for scope in study.book.scopes
        for category in study.book.categories.values()
        for cause in category.root_causes
        if category.scope == scope
    ]
    counts = counts_of(study, "root_cause")[ordered].to_numpy()
    np.testing.assert_allclose(lengths, counts / counts.max() * max(lengths))


def test_every_node_but_the_root_has_a_branch_that_thickens_with_its_share(study):
    axes = figures.taxonomy_tree(study.prevalence, study.book, "").axes[0]
    widths = [x.get_linewidth() for x in axes.patches if isinstance(x, PathPatch)]
    counts = [
        *counts_of(study, "scope")[list(study.book.scopes)],
        *counts_of(study, "category")[
            [
                name
                for scope in study.book.scopes
                for name, x in study.book.categories.items()
                if x.scope == scope
            ]
        ],
        *counts_of(study, "root_cause")[list(study.book.category_of)],
    ]
    assert len(widths) == len(counts)
    assert sorted(widths) == pytest.approx(sorted(0.6 + 10 * count / len(study.records) for count in counts))


def test_boxes_do_not_overlap(study):
    axes = figures.taxonomy_tree(study.prevalence, study.book, "").axes[0]
    boxes = [x.get_bbox() for x in axes.patches if isinstance(x, FancyBboxPatch)]
    for number, a in enumerate(boxes):
        assert not any(a.overlaps(b) for b in boxes[:number])
