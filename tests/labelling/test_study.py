"""A scripted study of 2 raters and 300 SYNTHETIC candidates, through all phases, from files to a release."""

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import yaml
from support.labelling import AFTER, BEFORE, PHASES, Running, write_candidates, write_study

from attention_faults import settings
from attention_faults.labelling import adjudication, discussion, progress, release
from attention_faults.labelling.candidates import record_id
from attention_faults.labelling.progress import Progress
from attention_faults.taxonomy import agreement, codebook, dataset, register
from attention_faults.taxonomy.schema import Schema

CAUSES = {c: name for name, entry in BEFORE["categories"].items() for c in entry["root_causes"]}
SYMPTOMS = list(BEFORE["symptoms"])
# remainder modulo 13 on which ben differs, in each phase and question
PLANTED = {"relevance": 4, "sufficiency": 3, "root_cause": 7, "symptom": 9}


def number(url: str) -> int:
    return int(url.rsplit("/", 1)[1])


def truth(phase: str, url: str, question: str) -> str:
    n = number(url)
    cause = list(CAUSES)[(n // 7) % len(CAUSES)]
    if phase in ("taxonomy_development", "taxonomy_uniqueness"):
        parts = {
            "fill": "fill_value" if n % 2 else "fill_type",
            "mixed": "heads_mixed",
            "merged": "heads_mixed",
        }
        cause = parts.get(cause, cause)
        category = next(name for name, one in AFTER["categories"].items() if cause in one["root_causes"])
    else:
        category = CAUSES[cause]
    return {
        "relevance": "no_fault" if n % 6 == 0 else "fault",
        "sufficiency": "too_little" if n % 5 == 0 else "enough",
        "root_cause": cause,
        "category": category,
        "symptom": SYMPTOMS[n % 3],
    }[question]


def other(phase: str, question: str, label: str) -> str:
    """The label that ben gives in place of the right one."""
    pairs = {"fault": "no_fault", "no_fault": "fault", "enough": "too_little", "too_little": "enough"}
    if phase == "taxonomy_development":
        return "fill_type" if label == "fill_value" else "fill_value"
    if question == "root_cause":  # another cause of the same category
        within = [cause for cause, name in CAUSES.items() if name == CAUSES[label]]
        return within[1 - within.index(label)]
    return pairs.get(label) or SYMPTOMS[(SYMPTOMS.index(label) + 1) % 3]


def answer(phase: str, rater: str, url: str, question: str) -> str:
    right = truth(phase, url, question)
    if rater == "ben" and number(url) % 13 == PLANTED.get(question):
        return other(phase, question, right)
    return right


def expected_kappa(pairs: list[tuple[str, str]]) -> Fraction:
    """Cohen (1960) in exact arithmetic."""
    n = len(pairs)
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    agreed = Fraction(sum(a == b for a, b in pairs), n)
    chance = Fraction(sum(first[label] * second[label] for label in first), n * n)
    return (agreed - chance) / (1 - chance)


class Finished(NamedTuple):
    running: Running
    handed: list[tuple[str, str]]
    phases: dict[str, Progress]
    ratings: pd.DataFrame

    def labels(self) -> pd.DataFrame:
        return progress.final_labels(self.running.protocol, self.ratings, list(self.phases.values()))

    def release(self, folder: Path) -> None:
        study = self.running
        projects = study.candidates.set_index("record_id")["project"]
        measured = agreement.measure(self.ratings, projects, draws=100, level=0.95, seed=1)
        phases = list(self.phases.values())
        content = release.of_study(
            study.protocol, study.candidates, phases, self.ratings, self.labels(), measured
        )
        release.write(content, folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Run the study: hand out, answer, hand out again, until there is nothing to do."""
    running = Running(write_study(tmp_path_factory.mktemp("study")))
    handed = []
    while files := running.hand_out():
        handed += [(path.parent.name, path.name) for path in files]
        for path in files:
            running.answer(path, answer)
    return Finished(running, handed, running.phases(), running.ratings())


def test_phases_open_one_after_the_other_and_disputes_go_to_the_adjudicator(finished: Finished) -> None:
    handed = finished.handed
    assert handed == [
        (phase, file)
        for phase in PHASES
        for file in ("ana.xlsx", "ben.json", "cleo.csv")
        if (phase, file) != ("taxonomy_uniqueness", "cleo.csv")  # nothing is planted there
    ]
    assert {phase.state for phase in finished.phases.values()} == {"done"}


def test_records_go_on_as_they_were_decided(finished: Finished) -> None:
    phases = finished.phases
    faults = {f"https://example.org/project-{n % 37}/issues/{n}" for n in range(300) if n % 6}
    enough = {url for url in faults if number(url) % 5}
    split = {url for url in enough if (number(url) // 7) % 6 == 0}
    expected = {
        "fault_relevance": 300,
        "content_sufficiency": len(faults),
        "full_manual_analysis": len(enough),
    }
    assert {name: len(phases[name].records) for name in expected} == expected
    assert set(phases["content_sufficiency"].records) == {record_id(url) for url in faults}
    assert set(phases["full_manual_analysis"].records) == {record_id(url) for url in enough}
    assert set(phases["taxonomy_development"].records) == {record_id(url) for url in split}
    assert len(phases["pilot"].records) == 40
    assert len(phases["taxonomy_uniqueness"].records) == 30


def test_agreement_equals_the_planted_one(finished: Finished) -> None:
    running = finished.running
    urls = running.candidates.set_index("record_id")["url"]
    checked = 0
    for phase in finished.phases.values():
        rounds = phase.assignment.pivot(index="record_id", columns="round", values="rater")
        for row in phase.gate.itertuples():
            pairs = [
                tuple(answer(phase.name, rater, urls[record], row.facet) for rater in (first, second))
                for record, first, second in rounds[["first", "second"]].itertuples()
            ]
            planted = sum(number(urls[r]) % 13 == PLANTED.get(row.facet) for r in phase.records)
            assert row.records == len(phase.records)
            assert abs(row.percent_agreement - (1 - planted / len(phase.records))) < 1e-12
            assert abs(row.cohen_kappa - float(expected_kappa(pairs))) < 1e-12
            checked += 1
    assert checked == sum(len(phase["asks"]) for phase in PHASES.values())


def test_final_labels_are_right_and_say_how_they_came_about(finished: Finished) -> None:
    running = finished.running
    labels = finished.labels().set_index(["record_id", "facet"])
    kept = finished.phases["full_manual_analysis"].records
    urls = running.candidates.set_index("record_id")["url"]
    for record in kept:
        for question in ("root_cause", "category", "symptom"):
            row = labels.loc[record, question]
            assert row["label"] == truth("taxonomy_development", urls[record], question), (record, question)
    symptom = labels.xs("symptom", level="facet").loc[kept]
    differed = [number(urls[record]) % 13 == PLANTED["symptom"] for record in kept]
    assert (symptom["decided"] == pd.Series(differed, kept).map({True: "adjudicated", False: "agreed"})).all()
    assert set(symptom["by"]) == {"cleo", "ana; ben", "ben; ana"}
    assert set(symptom["phase"]) == {"full_manual_analysis"}
    merged = labels.xs("root_cause", level="facet").query("label == 'heads_mixed'")
    assert (merged["decided"] != "unresolved").all()


def test_tasks_show_no_label_of_others_and_no_score(finished: Finished) -> None:
    running = finished.running
    for path in (running.folder / "tasks").rglob("*.csv"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        shown = ["phase", "rater", "record_id", "url", "project", "source", "created", "title", "body"]
        asks = running.protocol.phases[path.parent.name].asks
        given = ["given"] if path.stem == "cleo" else []
        assert list(table) == [*shown, *given, *asks, "confidence"]
        assert (table[[*asks, "confidence"]] == "").all(axis=None)
    for path in (running.folder / "tasks").rglob("ben.json"):
        assert "score" not in path.read_text()
        assert '"ana"' not in path.read_text()


def test_release_is_valid_complete_and_read_by_this_project(finished: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    finished.release(folder)
    assert release.validate(folder) == []
    book = codebook.load(folder / "codebook.yaml")
    records = dataset.load(folder / "records.csv", settings.read(Schema, folder / "schema.yaml"), book)
    assert len(records) == len(finished.phases["full_manual_analysis"].records) == 200
    assert register.load([folder / "datasets.csv"])["made_up"].synthetic
    pd.testing.assert_frame_equal(
        pd.read_parquet(folder / "records.parquet").astype(str),
        pd.read_csv(folder / "records.csv", dtype=str, keep_default_na=False),
        check_dtype=False,
    )
    sheet = (folder / "datasheet.md").read_text()
    for part in ("SYNTHETIC DATA", "How it was collected", "a scripted rater", "## Limits", "CC0 1.0"):
        assert part in sheet
    assert "body" not in records
    assert "Thread 1" not in (folder / "records.csv").read_text()


def test_a_damaged_release_is_found_out(finished: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    finished.release(folder)
    text = (folder / "records.csv").read_text()
    (folder / "records.csv").write_text(text.replace("heads_mixed", "heads_mixt", 1))
    problems = "\n".join(release.validate(folder))
    assert "records.csv: the file differs from its checksum" in problems
    assert "heads_mixt" in problems or "root_cause" in problems


def test_an_unfinished_study_is_not_released(tmp_path: Path) -> None:
    running = Running(write_study(tmp_path))
    phases, ratings = list(running.phases().values()), running.ratings()
    labels = progress.final_labels(running.protocol, ratings, phases)
    with pytest.raises(ValueError, match=r"phase `pilot` is not done \(rating\): 80 ratings are missing"):
        release.of_study(running.protocol, running.candidates, phases, ratings, labels, pd.DataFrame())


def test_below_its_kappa_a_phase_opens_nothing_but_its_repetition(tmp_path: Path) -> None:
    again = {"pilot_again": PHASES["pilot"] | {"repeats": "pilot"}}
    phases = {"pilot": PHASES["pilot"], **again, "fault_relevance": PHASES["fault_relevance"]}
    running = Running(write_study(tmp_path, phases=phases))

    def careless(phase: str, rater: str, url: str, question: str) -> str:
        right = truth(phase, url, question)
        wrong = phase == "pilot" and question == "symptom" and rater == "ben" and number(url) % 3
        return other(phase, question, right) if wrong else right

    for path in running.hand_out():
        running.answer(path, careless)
    states = {name: phase.state for name, phase in running.phases().items()}
    assert states == {"pilot": "below_kappa", "pilot_again": "rating", "fault_relevance": "closed"}
    confused = discussion.confused(list(running.phases().values()), running.protocol)
    assert set(confused["facet"]) == {"symptom"}
    assert set(zip(confused["one"], confused["other"], strict=True)) == {("slow", "wrong"), ("crash", "slow")}
    assert confused["one_means"].tolist() == [BEFORE["symptoms"][label] for label in confused["one"]]
    first = discussion.discuss_first(list(running.phases().values()), running.protocol, running.candidates)
    assert first["common"].is_monotonic_decreasing
    assert len(first) == confused["count"].sum()
    files = running.hand_out()
    assert {path.parent.name for path in files} == {"pilot_again"}
    assert not set(running.phases()["pilot"].records) & set(running.phases()["pilot_again"].records)
    for path in files:
        running.answer(path, careless)
    states = {name: phase.state for name, phase in running.phases().items()}
    assert states == {"pilot": "below_kappa", "pilot_again": "done", "fault_relevance": "rating"}


def test_candidates_that_are_added_move_no_assignment_and_close_nothing(tmp_path: Path) -> None:
    phases = {name: PHASES[name] for name in ("pilot", "fault_relevance", "content_sufficiency")}
    running = Running(write_study(tmp_path, phases=phases))
    while files := running.hand_out():
        for path in files:
            running.answer(path, answer)
    before = running.phases()
    write_candidates(tmp_path / "more.csv", 60, first=300)
    study = yaml.safe_load((tmp_path / "study.yaml").read_text())
    (tmp_path / "study.yaml").write_text(
        yaml.safe_dump(study | {"candidates": ["candidates.csv", "more.csv"]}, sort_keys=False)
    )
    after = Running(tmp_path / "study.yaml").phases()
    assert {name: phase.state for name, phase in after.items()} == {
        "pilot": "done",
        "fault_relevance": "rating",
        "content_sufficiency": "done",
    }
    assert len(after["fault_relevance"].missing) == 120
    for name, phase in before.items():
        old = phase.assignment.merge(after[name].assignment, how="left", indicator=True)
        assert (old["_merge"] == "both").all()


def test_a_share_of_double_rating_leaves_labels_that_one_rater_gave(tmp_path: Path) -> None:
    phases = {"fault_relevance": PHASES["fault_relevance"] | {"double": 0.2}}
    running = Running(write_study(tmp_path, phases=phases))
    assigned = running.phases()["fault_relevance"].assignment
    twice = assigned["record_id"].duplicated().sum()
    assert 0.1 < twice / 300 < 0.3
    for path in running.hand_out():
        running.answer(path, truth_of_rater)
    phase = running.phases()["fault_relevance"]
    labels = progress.final_labels(running.protocol, running.ratings(), [phase])
    assert labels["decided"].value_counts().to_dict() == {"rated_once": 300 - twice, "agreed": twice}


def truth_of_rater(phase: str, _: str, url: str, question: str) -> str:
    return truth(phase, url, question)


def test_provenance_without_assignment_takes_no_single_rating_for_a_label() -> None:
    rating = {"record_id": "a", "phase": "main", "round": "first", "rater": "R", "symptom": "hang"}
    assert adjudication.provenance(pd.DataFrame([rating]))["decided"].tolist() == ["unresolved"]
