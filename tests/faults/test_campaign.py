"""What the configuration says is what is run, and every mistake in it has one clear error."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.real_data import ACM, needs

from attention_faults.errors import InputError
from attention_faults.faults import campaign
from attention_faults.faults.operator import catalogue
from attention_faults.study import Curvature, Example, FaultChoice, Model

STUDY = Curvature(
    models=["small"], reference=3, negatives=2, seeds=4, device="cpu", dtype="float32", threads=1
)
SMALL = {"heads": 2, "width": 8, "feed_forward": 8, "train_size": 20, "test_size": 10}


def models(**settings):
    return {"small": Model(**{"subject": "distilbert", "options": SMALL, **settings})}


def chosen(*choices):
    return models(faults=[FaultChoice(**choice) for choice in choices])


SCALE = {"operator": "wrong_scale", "places": ["layer0"], "severities": [3.0]}


def test_seeds_of_clean_kinds_and_mutants_are_disjoint_but_for_the_matched():
    series = campaign.plan(chosen(SCALE), STUDY, seed=7)
    seeds = {one.kind: set(one.seeds) for one in series}
    assert {kind: len(found) for kind, found in seeds.items()} == {
        "reference": 3, "negative": 2, "matched": 4, "faulty": 4
    }  # fmt: skip
    assert seeds["matched"] == seeds["faulty"]
    assert len(seeds["reference"] | seeds["negative"] | seeds["matched"]) == 9


def test_folders_are_named_after_operator_place_and_severity():
    faults = [SCALE, {"operator": "labels_wrong", "places": [""], "severities": [0.2]}]
    names = [series.name for series in campaign.plan(chosen(*faults), STUDY, seed=0)]
    assert names == [
        "reference", "negatives", "matched", "wrong_scale-layer0-3", "labels_wrong-training-0.2"
    ]  # fmt: skip


def test_model_without_faults_has_no_matched_runs():
    assert [series.name for series in campaign.plan(models(), STUDY, seed=0)] == ["reference", "negatives"]


def test_what_a_choice_leaves_open_stands_for_all():
    series = campaign.plan(chosen({"operator": "wrong_scale"}), STUDY, seed=0)[3:]
    severities = catalogue()["wrong_scale"].severities
    assert [(one.place, one.severity) for one in series] == [
        (place, severity) for place in ("layer0", "layer1") for severity in severities
    ]


def test_each_fault_is_every_operator_once_at_places_in_turn():
    every = [s for s in campaign.plan(models(faults="all"), STUDY, seed=0) if s.kind == campaign.FAULTY]
    each = [s for s in campaign.plan(models(faults="each"), STUDY, seed=0) if s.kind == campaign.FAULTY]
    assert [s.operator for s in each] == list(dict.fromkeys(s.operator for s in every))
    assert {s.name for s in each} < {s.name for s in every}
    assert len({s.place for s in each}) > 1


def test_an_example_must_be_a_faulty_series_of_the_study():
    planned = campaign.plan(models(faults=[{"operator": "mask_dropped"}]), STUDY, seed=0)
    faulty = next(series.name for series in planned if series.kind == campaign.FAULTY)
    campaign.check_example(Example(model="small", series=faulty), planned)
    with pytest.raises(
        InputError, match=f"`small/{faulty}x` is no faulty series.*did you mean `small/{faulty}`"
    ):
        campaign.check_example(Example(model="small", series=f"{faulty}x"), planned)


def test_all_faults_are_every_operator_at_every_place():
    series = campaign.plan(models(faults="all"), STUDY, seed=0)
    operators = {one.operator for one in series}
    assert {"wrong_scale", "positions_restart", "labels_wrong", "feed_forward_dropped"} <= operators
    assert not operators & {"self_loops_lost", "cache_updated_twice"}
    assert len({one.name for one in series}) == len(series)


def test_explicit_choices_are_planned_without_loading_torch():
    code = (
        "import sys\n"
        "from attention_faults.faults import campaign\n"
        "from attention_faults import study\n"
        "import yaml\n"
        "settings = study.load(yaml.safe_load(open('config.yaml')))\n"
        "assert campaign.plan(settings.models, settings.curvature, 0)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (chosen({"operator": "wrong_scal"}), "no fault operator `wrong_scal`; did you mean `wrong_scale`?"),
        (chosen(SCALE, SCALE), "is chosen twice"),
        ({}, "there is no model `small`"),
    ],
)
def test_mistakes_that_leave_no_plan_are_named(settings, message):
    with pytest.raises(InputError, match=re.escape(message)):
        campaign.plan(settings, STUDY, seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (chosen({**SCALE, "operator": "wrong_scal"}), "no fault operator `wrong_scal`; did you mean"),
        (
            chosen({**SCALE, "places": ["layer7"]}),
            "does not apply at `layer7`; it applies at `layer0`, `layer1`",
        ),
        (chosen({**SCALE, "severities": [7]}), "has the severities (0.1, 3.0, 16.0), not 7.0"),
        (models(subject="bert"), "key `models.small.subject`: there is no subject `bert`"),
        (models(subject="attention"), "key `models.small.subject`: there is no subject `attention`"),
        (models(options={"head": 2}), "key `models.small.options.head`: Unexpected keyword"),
        (models(options={"heads": "two"}), "options.heads`: Input should be a valid integer"),
        (models(options={"heads": 0}), "options.heads`: Input should be greater than or equal to 1"),
        (models(options={"heads": 3}), "options`: `width` must be a multiple of `heads`"),
        (models(options={"recipe": {"epoch": 3}}), "options.recipe.epoch"),
        (models(options={"recipe": {"epochs": 0, "batch_size": 1, "learning_rate": 1}}), "recipe.epochs"),
        (models(subject="cnn3d", options={"size": 6}), "`size` must be that of a digit, 8, or more"),
        (models(subject="decoder", options={"pairs": 7}), "`pairs` must be at most `keys`"),
        (models(subject="han", options={"words": 1}), "`sentences` and `words` must be 2 or more"),
        (
            models(subject="graph_han", options={"communities": 10}),
            "`communities` must be a multiple of four",
        ),
        (models(data="nowhere.zip"), "nowhere.zip: cannot be read"),
    ],
)
def test_mistakes_in_models_and_faults_are_named_before_anything_is_trained(settings, message):
    planned = campaign.plan(settings, STUDY, seed=0)
    with pytest.raises(InputError, match=re.escape(message)):
        campaign.check(settings, planned, seed=0)


def test_all_mistakes_are_reported_at_once():
    settings = chosen({**SCALE, "places": ["a"]}, {**SCALE, "severities": [7]})
    settings["other"] = models(subject="bert")["small"]
    with pytest.raises(InputError) as caught:
        campaign.check(settings, campaign.plan(settings, STUDY, seed=0), seed=0)
    assert len(caught.value.problems) == 3


def test_what_can_be_run_passes_and_is_counted():
    settings = chosen(SCALE)
    planned = campaign.plan(settings, STUDY, seed=0)
    campaign.check(settings, planned, seed=0)
    counts = campaign.counts(planned).set_index("kind")
    assert counts["runs"].to_dict() == {"reference": 3, "negative": 2, "matched": 4, "faulty": 4, "all": 13}


@needs(ACM)
def test_open_choices_look_at_the_real_data():
    settings = {
        "acm": Model(subject="graph_han", data=str(ACM), faults=[FaultChoice(operator="self_loops_lost")])
    }
    study = STUDY.model_copy(update={"models": ["acm"]})
    places = [series.place for series in campaign.plan(settings, study, seed=0) if series.operator]
    assert places == ["pap", "plp"]


def test_options_are_those_of_the_subject():
    subject = campaign.subject_of("small", models()["small"])
    assert (subject.heads, subject.recipe.epochs) == (2, 3)


@pytest.mark.parametrize(
    ("folder", "path", "found"), [(None, "a/b", "a/b"), ("/data", "a/b", "/data/a/b"), ("/data", "/a", "/a")]
)
def test_relative_data_lie_below_the_data_folder(monkeypatch, folder, path, found):
    monkeypatch.delenv("ATTENTION_FAULTS_DATA", raising=False)
    if folder:
        monkeypatch.setenv("ATTENTION_FAULTS_DATA", folder)
    assert campaign.data_path(path) == Path(found)
