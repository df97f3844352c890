"""Figures of the verdict, from synthetic evidence with planted faults."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh
from support.evidence import made_up

from attention_faults.localisation import cost, evaluation
from attention_faults.reporting import figures
from attention_faults.reporting.figures.localisation import best_for_their_cost, named

NOTE = "Synthetic runs, made for a test. " * 6
CATEGORIES = ["attention_score", "attention_masking", "kv_cache", "a_rather_long_name_of_a_category"]


@pytest.fixture(scope="module")
def study():
    """Frames of five models, as the rules make them: cost, localisation, by_group."""
    evidences = [made_up(f"model{i}", seed=i, shift=i / 2, faults=4, seeds=2) for i in range(5)]
    runs = pd.concat(map(evaluation.measure, evidences), ignore_index=True)
    redrawn = [evaluation.redraw(evidence, draws=20, seed=1) for evidence in evidences]
    runs["category"] = runs["operator"].map(lambda name: CATEGORIES[int(name[-1])])
    return {
        "mrr_by_family": evaluation.with_intervals(evaluation.summarise(runs, ["model"]), redrawn, 0.95),
        "category_by_family": pd.concat(
            [evaluation.by(runs, "category"), evaluation.by(runs, "severity")], ignore_index=True
        ),
        "cost_accuracy": cost.beside_accuracy(evidences, redrawn),
    }


@pytest.fixture(params=["mrr_by_family", "cost_accuracy", "category_by_family"])
def name(request):
    return request.param


def by_blocks(table):
    return table[(table["regime"] == "with reference") & (table["granularity"] == "block")]


def tick_labels(axis):
    return [label.get_text().strip().replace("\n", " ") for label in axis.get_ticklabels()]


def mesh_of(axes):
    return next(x for x in axes.collections if isinstance(x, QuadMesh))


def points(axes):
    """Places of markers, as (x, y), rounded."""
    pairs = [
        line.get_xydata()
        for line in axes.lines
        if line.get_linestyle() == "None" and line.get_marker() != "|"
    ]
    return {tuple(pair) for pair in np.round(np.concatenate(pairs), 6).tolist()}


def test_text_is_legible_and_holds_the_note(study, name, problems, words):
    figure = getattr(figures, name)(study[name], NOTE)
    assert problems(figure) == []
    assert NOTE.strip() in words(figure)


def test_equal_tables_give_equal_bytes(study, name, tmp_path):
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        figures.save(getattr(figures, name)(study[name], NOTE), tmp_path / folder / name)
    first, second = (
        [path.read_bytes() for path in sorted((tmp_path / x).iterdir())] for x in ("first", "second")
    )
    assert len(first) == 3
    assert first == second


def test_study_without_a_block_at_fault_says_so(study, name, words):
    assert "No faulty run has a block at fault." in words(getattr(figures, name)(study[name].head(0), ""))


def test_every_ranker_has_its_mrr_in_the_panel_of_its_model(study):
    table = by_blocks(study["mrr_by_family"])
    figure = figures.mrr_by_family(study["mrr_by_family"], "")
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == [
        f"model{i}\n4 faults, 8 runs" for i in range(5)
    ]
    rows = tick_labels(panels[0].yaxis)
    for model, axes in zip(table["model"].unique(), panels, strict=True):
        part = table[table["model"] == model]
        expected = {
            (round(mrr, 6), rows.index(named(ranker)))
            for ranker, mrr in zip(part["ranker"], part["mrr"], strict=True)
        }
        assert points(axes) == expected
        chance = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
        assert chance == [part["chance_mrr"].iloc[0]]


def test_aggregates_stand_first_and_metrics_under_their_family(study):
    rows = tick_labels(figures.mrr_by_family(study["mrr_by_family"], "").axes[0].yaxis)
    assert rows[:5] == [
        "aggregates",
        "Hessian aggregate",
        "gradient aggregate",
        "equal-cost aggregate",
        "gradient",
    ]
    assert rows.index("trivial") < rows.index("weight norm")
    assert rows.index("Hessian") < rows.index("Hessian trace") < rows.index("interaction")


def test_what_costs_nothing_is_drawn_at_zero(study):
    table = study["cost_accuracy"]
    axes = next(
        x for x in figures.cost_accuracy(table, "").axes if x.get_title(loc="left").startswith("model0")
    )
    part = table[table["model"] == "model0"]
    assert {(c, round(m, 6)) for c, m in zip(part["cost"], part["mrr"], strict=True)} == points(axes)
    assert axes.get_xlim()[0] < 0
    assert 0 in axes.get_xticks()


def test_steps_join_the_best_for_their_cost(words):
    table = pd.DataFrame(
        [
            ("a", "random", "trivial", 0, 0.3),
            ("a", "weight_norm", "trivial", 0, 0.5),
            ("a", "gradient_norm", "gradient", 1, 0.4),
            ("a", "gradient_variance", "gradient", 65, 0.6),
            ("a", "batches_max", "gradient_equal_cost", 65, 0.55),
            ("a", "hessian_trace", "hessian", 400, 0.9),
            ("a", "hessian_aggregate", "hessian", 800, 0.7),
        ],
        columns=["model", "ranker", "family", "cost", "mrr"],
    )
    assert list(best_for_their_cost(table)["ranker"]) == ["weight_norm", "gradient_variance", "hessian_trace"]
    figure = figures.cost_accuracy(table, "")
    steps = next(line for line in figure.axes[1].lines if line.get_drawstyle() == "steps-post")
    assert steps.get_xydata().tolist() == [[0, 0.5], [65, 0.6], [400, 0.9], [1600, 0.9]]
    text = words(figure)
    assert all(named(ranker) in text for ranker in ("weight_norm", "gradient_norm", "hessian_aggregate"))
    assert "batches max" not in text  # neither best nor an aggregate


def test_ranker_without_a_known_cost_is_left_out(study):
    table = study["cost_accuracy"].assign(cost=np.nan)
    assert "No faulty run" in figures.cost_accuracy(table, "").axes[0].texts[0].get_text()


def test_cells_hold_the_mrr_beyond_chance_of_each_category(study):
    table = by_blocks(study["category_by_family"])
    axes = figures.category_by_family(study["category_by_family"], "").axes[0]
    columns = tick_labels(axes.xaxis)
    rows = tick_labels(axes.yaxis)
    counts = table.groupby("label")["units"].first()
    assert rows == [f"{name.replace('_', ' ')} ({counts[name]} faults)" for name in CATEGORIES]
    values = table.set_index(["label", "ranker"])["mrr_above_chance"]
    drawn = mesh_of(axes).get_array()
    at = columns.index("weight change"), columns.index("Hessian aggregate")
    for row, category in enumerate(CATEGORIES):
        assert drawn[row, at[0]] == pytest.approx(values[category, "weight_change"])
        assert drawn[row, at[1]] == pytest.approx(values[category, "hessian_aggregate"])


def test_what_is_worse_than_chance_is_hatched_and_the_best_of_a_row_framed(study):
    table = study["category_by_family"]
    table = table.assign(
        mrr_above_chance=table["mrr_above_chance"].where(table["ranker"] != "weight_norm", -0.5)
    )
    axes = figures.category_by_family(table, "").axes[0]
    drawn = mesh_of(axes).get_array()
    hatched = {(int(x.get_y()), int(x.get_x())) for x in axes.patches if x.get_hatch()}
    assert hatched == set(zip(*np.nonzero(drawn < 0), strict=True))
    assert len(hatched) >= len(CATEGORIES)
    framed = {
        (int(x.get_y()), int(x.get_x())) for x in axes.patches if x.get_linewidth() and not x.get_hatch()
    }
    assert framed >= {(row, int(drawn[row].argmax())) for row in range(len(drawn))}
