import json
import math

import numpy as np
import pytest
import torch
from support.tiny import Tiny

from attention_faults.faults.campaign import FAULTY, REFERENCE, Series
from attention_faults.faults.execution import Machine, execute, read_state
from attention_faults.localisation import evidence, measurement
from attention_faults.localisation.metric import CATALOGUE, catalogue, metric, values
from attention_faults.study import Measuring

CLEAN = Series("tiny", "reference", REFERENCE, (1, 2, 3))
HOW = Measuring(batch=16)
STAGES = ("start", "middle", "end")


def trained(folder, series):
    subject = Tiny()
    execute(
        series,
        subject,
        subject.task(0),
        Machine(),
        summary=folder / series.name / "train.json",
        checkpoints=folder / series.name / "checkpoints",
    )
    return folder / series.name


def profiled(home, series, how=HOW, stages=("end",), training=None):
    subject = Tiny()
    return measurement.measure_series(
        series,
        subject,
        subject.task(0),
        Machine(),
        how,
        stages=stages,
        training=training or json.loads((home / "train.json").read_text()),
        checkpoints=home / "checkpoints",
        seed=0,
    )


@pytest.fixture(scope="module")
def homes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    place = next(site.layer for site in Tiny().sites(Tiny().build(Tiny().task(0), 0)))
    broken = Series("tiny", f"wrong_scale-{place}-3", FAULTY, (4,), "wrong_scale", place, 3.0)
    return {series.kind: (trained(folder, series), series) for series in (CLEAN, broken)}


@pytest.fixture(scope="module")
def found(homes):
    return {
        kind: profiled(
            home, series, Measuring(batch=16, operators=["hessian", "gauss_newton", "fisher"]), STAGES
        )
        for kind, (home, series) in homes.items()
    }


def test_every_metric_of_every_block_is_there(found):
    table = found[REFERENCE].table
    assert set(table["metric"]) == set(catalogue())
    blocks = set(Tiny().blocks(Tiny().build(Tiny().task(0), 0)))
    assert (table.groupby(["seed", "stage", "metric"])["block"].agg(set) == blocks).all()
    assert (found[REFERENCE].outcomes["outcome"] == measurement.MEASURED).all()


def test_two_checkpoints_are_needed_for_an_update(found):
    table = found[REFERENCE].table
    assert set(table.loc[table["metric"] == "update_to_weight", "stage"]) == {"middle", "end"}
    start = table[(table["metric"] == "weight_change") & (table["stage"] == "start")]
    assert (start["estimate"] == 0).all()


def dense(home, series, seed, stage="end"):
    """Gradient and Hessian of the batch by plain loops, from the checkpoint alone."""
    subject = Tiny()
    task = subject.task(0)
    model = subject.build(task, seed).eval()
    model.load_state_dict(read_state(home / "checkpoints" / str(seed) / f"{stage}.safetensors"))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))[:16]
    batch = {name: tensor[order] for name, tensor in task.train.items()}
    blocks = subject.blocks(model)
    parameters = [p for block in blocks.values() for p in block]
    gradient = torch.autograd.grad(subject.loss(model, batch), parameters, create_graph=True)
    flat = torch.cat([g.flatten() for g in gradient])
    rows = [
        torch.cat([h.flatten() for h in torch.autograd.grad(g, parameters, retain_graph=True)]) for g in flat
    ]
    sizes = [sum(p.numel() for p in block) for block in blocks.values()]
    return list(blocks), sizes, flat.detach(), torch.stack(rows)


def test_gradients_and_curvature_are_those_of_the_checkpoint(homes, found):
    home, series = homes[REFERENCE]
    names, sizes, gradient, hessian = dense(home, series, 2)
    table = found[REFERENCE].table
    rows = table[(table["seed"] == 2) & (table["stage"] == "end")].set_index(["metric", "block"])
    for name, part, where in zip(
        names, torch.split(gradient, sizes), torch.split(torch.arange(sum(sizes)), sizes), strict=True
    ):
        assert rows.loc[("gradient_norm", name), "estimate"].item() == pytest.approx(
            part.norm().item(), rel=1e-4
        )
        block = hessian[where][:, where]
        trace = rows.loc[("hessian_trace", name)]
        assert abs(trace["estimate"] - block.trace().item()) <= 5 * trace["stderr"] + 1e-4
        norm = rows.loc[("hessian_frobenius", name)]
        assert abs(norm["estimate"] - block.norm().item()) <= 5 * norm["stderr"] + 1e-4


def test_the_fault_is_in_place_while_a_run_is_measured(homes, found):
    home, series = homes[FAULTY]
    _, sizes, gradient, _ = dense(home, series, 4)  # without the fault
    clean = [part.norm().item() for part in torch.split(gradient, sizes)]
    table = found[FAULTY].table
    rows = table[(table["metric"] == "gradient_norm") & (table["stage"] == "end")]
    assert not np.allclose(rows["estimate"], clean, rtol=1e-2)


def test_the_same_bytes_twice(homes, tmp_path):
    home, series = homes[FAULTY]
    for name in ("a", "b"):
        measurement.write(profiled(home, series), tmp_path / name, tmp_path / f"{name}.outcomes")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a.outcomes").read_bytes() == (tmp_path / "b.outcomes").read_bytes()


def test_a_run_that_crashed_in_training_is_kept_as_a_result(homes):
    home, series = homes[FAULTY]
    crashed = {"runs": [{"seed": 4, "outcome": "crashed"}]}
    result = profiled(home, series, training=crashed)
    assert result.outcomes["outcome"].tolist() == ["crashed"]
    assert result.table.empty
    assert list(result.table) == list(measurement.COLUMNS)


def test_refused_curvature_leaves_gradients(homes):
    home, series = homes[FAULTY]

    class Rounded(Tiny):
        name = "rounded"

        def outputs(self, model, batch):
            return super().outputs(model, batch).half().float()

    subject = Rounded()
    result = measurement.measure_series(
        series,
        subject,
        subject.task(0),
        Machine(),
        HOW,
        stages=("end",),
        training=json.loads((home / "train.json").read_text()),
        checkpoints=home / "checkpoints",
        seed=0,
    )
    row = result.outcomes.iloc[0]
    assert row["outcome"] == measurement.UNCHECKED
    assert row["message"]
    assert "gradient_norm" in set(result.table["metric"])
    assert not {"hessian_trace", "interaction_sum"} & set(result.table["metric"])


def test_evidence_is_what_was_measured(homes, found, tmp_path):
    files = []
    for kind, (home, series) in homes.items():
        paths = evidence.Files(
            home / "train.json", tmp_path / f"{kind}.parquet", tmp_path / f"{kind}.outcomes"
        )
        measurement.write(found[kind], paths.profile, paths.outcomes)
        files.append(paths)
        assert series.kind == kind
    (read,) = evidence.read(files, "end")
    assert read.runs["seed"].tolist() == [1, 2, 3, 4]
    assert read.truth.sum(axis=1).tolist()[:3] == [0, 0, 0]
    assert read.truth[3].any()
    table = found[REFERENCE].table
    row = table[(table["metric"] == "hessian_trace") & (table["seed"] == 3) & (table["stage"] == "end")]
    np.testing.assert_array_equal(read.values["hessian_trace"][2, :, 0], row["estimate"])
    pairs = read.values["interaction_change"]
    assert pairs.shape == (4, len(read.blocks), len(read.blocks))
    assert np.isnan(pairs[:, 0, 0]).all()
    np.testing.assert_allclose(pairs, pairs.transpose(0, 2, 1), equal_nan=True)


def test_a_new_metric_is_one_function(homes):
    home, series = homes[FAULTY]
    try:

        @metric("mine", scale="positive")
        def largest_weight(run):
            """Largest weight."""
            return values({name: w.abs().max().item() for name, w in run.weights.items()}, cost=0)

        table = profiled(home, series).table
    finally:
        CATALOGUE.pop("largest_weight")
    assert table.loc[table["metric"] == "largest_weight", "estimate"].between(0, math.inf).all()


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="in the catalogue already"):
        metric("mine", scale="positive")(catalogue()["gradient_norm"].compute)
