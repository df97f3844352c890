"""A small labelling study of SYNTHETIC candidates, and raters who answer its task files."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pandas as pd
import yaml

from attention_faults.labelling import candidates as threads
from attention_faults.labelling import exporting, importing, progress, protocol
from attention_faults.labelling.progress import Progress

BEFORE = {
    "version": "1",
    "scopes": {"attention_specific": "Of attention.", "generic": "Of any network."},
    "categories": {
        "masks": {
            "scope": "attention_specific",
            "root_causes": {"fill": "Wrong fill.", "axis": "Wrong axis."},
        },
        "heads": {"scope": "attention_specific", "root_causes": {"mixed": "Mixed.", "merged": "Merged."}},
        "loop": {"scope": "generic", "root_causes": {"step": "A step is missing.", "order": "Wrong order."}},
    },
    "symptoms": {"crash": "It stops.", "wrong": "It is wrong.", "slow": "It is slow."},
}
AFTER = {
    "version": "2",
    "scopes": BEFORE["scopes"],
    "categories": {
        "masks": {
            "scope": "attention_specific",
            "root_causes": {"fill_value": "Wrong value.", "fill_type": "Wrong type.", "axis": "Wrong axis."},
        },
        "heads": {"scope": "attention_specific", "root_causes": {"heads_mixed": "Mixed or merged."}},
        "training": {"scope": "generic", "root_causes": {"step": "A step is missing.", "order": "Order."}},
    },
    "symptoms": BEFORE["symptoms"],
}
MIGRATIONS = {
    "migrations": [
        {
            "from": "1",
            "to": "2",
            "why": "Two kinds of wrong fill turned out to differ; mixed and merged heads did not.",
            "rename": {"category": {"loop": "training"}},
            "merge": {"root_cause": {"heads_mixed": ["mixed", "merged"]}},
            "split": {"root_cause": {"fill": ["fill_value", "fill_type"]}},
        }
    ]
}
QUESTIONS = {
    "relevance": {"fault": "A real fault.", "no_fault": "A question or a wish."},
    "sufficiency": {"enough": "Says what and why.", "too_little": "Does not."},
}
LABELS = ["root_cause", "category", "symptom"]
PHASES = {
    "pilot": {"asks": ["relevance", *LABELS], "sample": 40, "minimum_kappa": 0.6, "codebook": "1"},
    "fault_relevance": {
        "asks": ["relevance"],
        "minimum_kappa": 0.6,
        "keeps": {"relevance": ["fault"]},
        "codebook": "1",
    },
    "content_sufficiency": {
        "asks": ["sufficiency"],
        "minimum_kappa": 0.5,
        "keeps": {"sufficiency": ["enough"]},
        "codebook": "1",
    },
    "full_manual_analysis": {"asks": LABELS, "minimum_kappa": 0.6, "codebook": "1"},
    "taxonomy_development": {
        "asks": ["root_cause"],
        "records": "to_rate_again",
        "minimum_kappa": 0.5,
        "codebook": "2",
    },
    "taxonomy_uniqueness": {"asks": ["category"], "sample": 30, "minimum_kappa": 0.6},
}
RELEASE = {
    "name": "made_up",
    "version": "1.0.0",
    "description": "Made up for a test.",
    "licence": "CC0 1.0",
    "licence_url": "https://creativecommons.org/publicdomain/zero/1.0/",
    "creators": ["A test"],
    "url": "https://example.org/made-up",
    "published": "2026-01-01",
    "collected": ["Drawn by a seeded generator."],
    "limits": ["Nothing in it was observed."],
    "synthetic": True,
}
RATERS = {"ana": "a scripted rater", "ben": "a scripted rater"}


def write_candidates(path: Path, number: int, first: int = 0) -> None:
    """Write SYNTHETIC candidates with an evil title and body among them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["url", "project", "source", "created", "title", "body", "score"])
        for n in range(first, first + number):
            url = f"https://example.org/project-{n % 37}/issues/{n}"
            body = '=HYPERLINK("https://evil.example")\x07' if n % 50 == 0 else f"Body <b>{n}</b> & more"
            rows.writerow([url, f"project-{n % 37}", "github", "2026-01-01", f"Thread {n}", body, n / 7])


def write_study(folder: Path, **changes: object) -> Path:
    """Write a study of 300 candidates; return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_candidates(folder / "candidates.csv", 300)
    for name, content in (("before", BEFORE), ("after", AFTER), ("migrations", MIGRATIONS)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    study = {
        "title": "A made-up study",
        "seed": 5,
        "candidates": ["candidates.csv"],
        "codebooks": ["before.yaml", "after.yaml"],
        "migrations": "migrations.yaml",
        "questions": QUESTIONS,
        "raters": RATERS,
        "adjudicator": "cleo",
        "returned": "returned",
        "phases": PHASES,
        "release": RELEASE,
    }
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(study | changes, sort_keys=False))
    return file


# an answer of a rater: phase, rater, URL and question to a label
Answer = Callable[[str, str, str, str], str]


class Running:
    """A study whose raters answer what they are given, in files, as they would by hand."""

    def __init__(self, file: Path) -> None:
        self.protocol = protocol.load(file)
        self.candidates = threads.read(self.protocol.candidates, self.protocol.columns)
        self.folder = file.parent

    def ratings(self) -> pd.DataFrame:
        files = importing.returned_files(self.protocol.returned)
        return importing.check(importing.read(files), self.protocol, self.candidates)

    def phases(self) -> dict[str, Progress]:
        found = progress.follow(self.protocol, self.candidates, self.ratings())
        return {phase.name: phase for phase in found}

    def hand_out(self) -> list[Path]:
        """Write the open tasks; return the task files, one form a rater."""
        phases = list(self.phases().values())
        tasks = progress.tasks(self.protocol, self.candidates, phases)
        exporting.write(tasks, self.protocol, self.folder / "tasks")
        forms = {"ana": ".xlsx", "ben": ".json", "cleo": ".csv"}
        return [self.folder / "tasks" / one.phase / f"{one.rater}{forms[one.rater]}" for one in tasks]

    def answer(self, path: Path, answer: Answer) -> Path:
        """Fill in a file of tasks and return it to the study's folder."""
        target = self.protocol.returned / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        fill = {".xlsx": fill_xlsx, ".json": fill_label_studio, ".csv": fill_csv}[path.suffix]
        asks = self.protocol.phases[path.parent.name].asks
        fill(path, target, lambda url, question: answer(path.parent.name, path.stem, url, question), asks)
        return target


def fill_xlsx(path: Path, target: Path, answer: Callable[[str, str], str], asks: list[str]) -> None:
    book = openpyxl.load_workbook(path)
    sheet = book["Ratings"]
    names = [cell.value for cell in sheet[1]]
    for row in sheet.iter_rows(min_row=2):
        url = row[names.index("url")].value
        for question in asks:
            row[names.index(question)].value = answer(url, question)
        row[names.index("confidence")].value = "high"
    book.save(target)


def fill_csv(path: Path, target: Path, answer: Callable[[str, str], str], asks: list[str]) -> None:
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    given = table.get("given", pd.Series("", table.index))  # an adjudicator decides what is disputed, no more
    for question in asks:
        is_asked = given.str.contains(f"{question}: ") | ("given" not in table)
        table[question] = [
            answer(url, question) if asked else "" for url, asked in zip(table["url"], is_asked, strict=True)
        ]
    table.to_csv(target, index=False)


def fill_label_studio(path: Path, target: Path, answer: Callable[[str, str], str], asks: list[str]) -> None:
    """Write what Label Studio exports: the tasks with annotations (`make test-label-studio` checks it)."""
    tasks = json.loads(path.read_text())
    for number, task in enumerate(tasks, start=1):
        chosen = {question: answer(task["data"]["url"], question) for question in asks}
        result = [
            {
                "type": "choices",
                "from_name": (
                    f"root_cause__of__{chosen['category']}"
                    if question == "root_cause" and "category" in asks
                    else question
                ),
                "to_name": "thread",
                "value": {"choices": [label]},
            }
            for question, label in chosen.items()
        ]
        task |= {"id": number, "annotations": [{"id": number, "was_cancelled": False, "result": result}]}
    target.write_text(json.dumps(tasks))
