"""Tasks out: one folder a phase, with the files of each rater for every tool."""

from collections.abc import Iterable
from pathlib import Path

from attention_faults.files import replacing
from attention_faults.labelling import form, label_studio, sheets
from attention_faults.labelling.form import Tasks
from attention_faults.labelling.protocol import Protocol


def write(tasks: Iterable[Tasks], protocol: Protocol, folder: Path) -> list[Path]:
    """Write open tasks.

    `<phase>/<rater>.xlsx`, `.csv` and `.json` (Label Studio's import) hold the same tasks, to be returned in
    one of the three forms; `<phase>/<rater>.xml` is the configuration of the rater's project in Label
    Studio, and `<phase>/codebook.md` the definitions.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for one in tasks:
        stem = folder / one.phase / one.rater
        files = [stem.with_name(f"{one.rater}{suffix}") for suffix in (".xlsx", ".csv", ".json", ".xml")]
        sheets.write_xlsx(one, files[0])
        sheets.write_csv(one, files[1])
        label_studio.write_tasks(one, files[2])
        _write(label_studio.configuration(one.questions, adjudicates=one.adjudicates), files[3])
        guide = folder / one.phase / "codebook.md"
        _write(form.guide(one.questions, protocol.book_of(one.phase)), guide)
        written += [*files, guide]
    return list(dict.fromkeys(written))


def _write(text: str, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
