import json

import pandas as pd
from support.evidence import made_up
from support.project import ROOT

from attention_faults.localisation import evaluation, verdict
from attention_faults.reporting import reference_runs, tables

PROTOCOL = ROOT / "docs/protocol.md"


def judged(models):
    redrawn = [evaluation.redraw(made_up(name, shift=2.0), draws=100, seed=1) for name in models]
    return verdict.judge(redrawn, permutations=99, level=0.95, seed=1)


def kept(folder, table):
    path = folder / "verdict.csv"
    tables.write_csv(table, path)
    timing = folder / "job.tsv"
    timing.write_text("s\th:m:s\n1800.4\t0:30:00\n")
    home = folder / "kept"
    reference_runs.keep({"verdict": path}, [timing, timing], {"seed": 1}, PROTOCOL, home)
    return home


def test_a_kept_run_says_what_made_it(tmp_path):
    table = judged(verdict.PRIMARY)
    home = kept(tmp_path, table)
    about = json.loads((home / "provenance.json").read_text())
    assert about["seconds_of_jobs"] == 3601
    assert about["versions"]["torch"]
    assert len(about["protocol_sha256"]) == 64
    pd.testing.assert_frame_equal(tables.read(home / "verdict.csv"), tables.read(tmp_path / "verdict.csv"))


def test_a_kept_run_stands_beside_a_study_with_a_verdict_and_one_without(tmp_path):
    home = kept(tmp_path, judged(verdict.PRIMARY))
    beside = reference_runs.beside(judged(["han"]), [home])
    assert beside["run"].tolist() == [reference_runs.THIS, *["kept"] * 4]
    assert beside["verdict"].iloc[0].startswith("none: the study lacks")
    assert beside["seconds_of_jobs"].tolist()[1:] == [3601] * 4
