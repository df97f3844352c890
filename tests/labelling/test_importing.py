"""Every bad rating is reported with file, row and nearest label; drop-down lists survive LibreOffice."""

import json
import shutil
import subprocess
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from support.labelling import PHASES, Running, write_study
from support.project import missing

from attention_faults.errors import InputError

ONE = {"fault_relevance": PHASES["full_manual_analysis"]}


@pytest.fixture
def running(tmp_path: Path) -> Running:
    return Running(write_study(tmp_path, phases=ONE))


def right(phase: str, rater: str, url: str, question: str) -> str:
    return {"root_cause": "fill", "category": "masks", "symptom": "crash"}[question]


def problems(running: Running) -> list[str]:
    with pytest.raises(InputError) as caught:
        running.ratings()
    return caught.value.problems


def test_every_planted_bad_rating_is_reported_at_its_place(running: Running) -> None:
    files = {path.name: running.answer(path, right) for path in running.hand_out()}
    path = running.folder / "returned" / "fault_relevance" / "ben.csv"
    files["ben.json"].unlink()
    table = pd.read_csv(running.folder / "tasks/fault_relevance/ben.csv", dtype=str, keep_default_na=False)
    for question in ("root_cause", "category", "symptom"):
        table[question] = right("", "", "", question)
    record = table["record_id"].tolist()
    table.loc[0, "symptom"] = "crsh"
    table.loc[1, "record_id"] = "0123456789"
    table.loc[2, "rater"] = "bem"
    table.loc[3, "category"] = "heads"
    table.loc[4, "symptom"] = ""
    table.loc[5, "record_id"] = record[6]
    table.loc[7, "phase"] = "fault_relevanse"
    table.loc[8, "confidence"] = "hihg"
    table.loc[9, "rater"] = "cleo"
    table.to_csv(path, index=False)
    found = problems(running)
    for line, text in {
        2: "column `symptom`: `crsh` is not in the codebook; did you mean `crash`?",
        3: "column `record_id`: `0123456789` is no record of the study",
        4: "column `rater`: `bem` is no rater of the study; did you mean `ben`?",
        5: "column `root_cause`: `fill` belongs to category `masks`, but the rating says `heads`",
        6: "column `symptom`: is empty, expected a label of phase `fault_relevance`",
        8: f"`ben` rates record `{record[6]}` a second time; the first is in {path}:7",
        9: "column `phase`: `fault_relevanse` is no phase of the study; did you mean `fault_relevance`?",
        10: "column `confidence`: `hihg` is not one of high, medium, low; did you mean `high`?",
        11: "column `record_id`: nothing is disputed of",
    }.items():
        assert any(problem.startswith(f"{path}:{line}: {text}") for problem in found), (line, found)
    assert len(found) == 9


def test_a_rating_outside_the_assignment_names_who_has_the_record(tmp_path: Path) -> None:
    running = Running(
        write_study(tmp_path, phases={"fault_relevance": ONE["fault_relevance"] | {"double": 0.2}})
    )
    files = {path.name: path for path in running.hand_out()}
    ana = running.answer(files["ana.xlsx"], right)
    table = pd.read_excel(ana, sheet_name="Ratings", dtype=str)
    assigned = running.phases()["fault_relevance"].assignment
    alone = assigned.groupby("record_id")["rater"].agg(list)
    theirs = alone.index[alone.map(lambda raters: raters == ["ben"])][0]
    url = running.candidates.set_index("record_id")["url"][theirs]
    path = ana.with_name("more.csv")
    table.head(1).fillna("").assign(record_id=theirs, url=url).to_csv(path, index=False)
    text = (
        f"column `rater`: record `{theirs}` is not assigned to `ana` in phase `fault_relevance`, but to `ben`"
    )
    assert problems(running) == [f"{path}:2: {text}"]


def test_other_exports_of_label_studio_are_refused_with_advice(running: Running) -> None:
    folder = running.folder / "returned"
    folder.mkdir()
    (folder / "min.json").write_text(json.dumps([{"id": 1, "symptom": "crash"}]))
    (folder / "text.json").write_text("{")
    found = problems(running)
    assert found[0].startswith(f"{folder}/min.json: task 1: expected `data` and `annotations`")
    assert found[1].startswith(f"{folder}/text.json: not readable as JSON")


def drop_downs(path: Path) -> dict[str, list[str]]:
    """Labels that the list of each cell of the first row of answers offers."""
    book = openpyxl.load_workbook(path)
    sheet = book["Ratings"]
    found = {}
    for validation in sheet.data_validations.dataValidation:
        assert validation.type == "list"
        name, _, cells = validation.formula1.replace("$", "").replace("'", "").rpartition("!")
        labels = [row[0].value for row in book[name][cells]]
        left, top, right, bottom = next(iter(validation.sqref.ranges)).bounds
        assert (left, top, bottom) == (right, 2, sheet.max_row)
        found[sheet.cell(1, left).value] = labels
    return found


def test_drop_down_lists_and_text_survive_libreoffice(running: Running, tmp_path: Path) -> None:
    program = shutil.which("soffice")
    if not program:
        missing("LibreOffice Calc is not installed (soffice)")
    path = next(path for path in running.hand_out() if path.suffix == ".xlsx")
    book = running.protocol.book_of("fault_relevance")
    expected = {name: book.labels(name) for name in ONE["fault_relevance"]["asks"]}
    expected["confidence"] = ["high", "medium", "low"]
    assert drop_downs(path) == expected
    target = tmp_path / "converted"
    home = f"-env:UserInstallation=file://{tmp_path}/profile"
    for suffix in ("ods", "xlsx"):
        source = path if suffix == "ods" else target / "ana.ods"
        command = [program, home, "--headless", "--convert-to", suffix, "--outdir", str(target), str(source)]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    assert drop_downs(target / "ana.xlsx") == expected
    before, after = (
        pd.read_excel(file, sheet_name="Ratings", dtype=str) for file in (path, target / "ana.xlsx")
    )
    assert before["body"].str.startswith("=HYPERLINK").any()
    assert before["body"].tolist() == after["body"].tolist()
