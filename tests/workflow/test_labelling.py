"""The targets of a labelling study, from tasks to release, as a team would run them."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from support.labelling import Running, write_candidates, write_study
from support.project import snakemake

from attention_faults.labelling import release

pytestmark = pytest.mark.xdist_group("workflow")


def run(project: Path, *targets: str) -> None:
    finished = snakemake(project, *targets, "--configfile", "test.yaml", "study.yaml", "--cores", "2")
    assert finished.returncode == 0, finished.stdout[-5000:]


def answer(_: str, __: str, url: str, question: str) -> str:
    number = int(url.rsplit("/", 1)[1])
    cause = "fill_value" if number % 2 else "step"
    return {
        "relevance": "no_fault" if number % 5 == 0 else "fault",
        "root_cause": cause,
        "category": {"fill_value": "masks", "step": "training"}[cause],
        "symptom": "crash",
    }[question]


def test_a_study_goes_from_tasks_to_release_and_triage(project: Path) -> None:
    folder = project / "study"
    pool = {"pool": "pool.csv", "batch": 20, "control": 0.1, "fault": {"relevance": "fault"}}
    asks = ["relevance", "root_cause", "category", "symptom"]
    main = {"asks": asks, "minimum_kappa": 0.6, "sample": 60, "keeps": {"relevance": ["fault"]}}
    file = write_study(folder, phases={"main": main}, triage=pool)
    write_candidates(folder / "pool.csv", 100, first=300)
    (project / "study.yaml").write_text(yaml.safe_dump({"labelling": "study/study.yaml"}))
    home = project / "results/labelling"

    run(project, "label_tasks")
    running = Running(file)
    for name in ("ana.xlsx", "ben.json"):
        running.answer(home / "tasks/main" / name, answer)
    run(project, "label_status", "label_triage", f"{home.relative_to(project)}/release")

    states = pd.read_csv(home / "tables/label_status.csv")
    assert states[["state", "rated", "missing"]].to_numpy().tolist() == [["done", 120, 0]]
    assert "SYNTHETIC DATA" in (home / "status.html").read_text()
    assert release.validate(home / "release") == []
    rated = running.phases()["main"].records
    urls = running.candidates.set_index("record_id")["url"][rated]
    released = pd.read_csv(home / "release/records.csv", dtype=str)
    assert set(released["url"]) == {url for url in urls if int(url.rsplit("/", 1)[1]) % 5}
    ranking = pd.read_csv(home / "triage/ranking.csv")
    assert ranking["rank"].tolist() == list(range(1, 101))
    assert {"fault=fault", "scope=attention_specific"} < set(ranking)
    evaluation = pd.read_csv(home / "triage/evaluation.csv")
    assert set(evaluation["outcome"]) == {"fault"}
    assert set(evaluation["n"]) == {60}
