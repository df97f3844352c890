"""Ratings in: every returned rating checked against codebook, assignment and gate."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from attention_faults.errors import InputError, nearest, shown
from attention_faults.labelling import label_studio, progress, sheets
from attention_faults.labelling.form import CONFIDENCES, with_parents
from attention_faults.labelling.progress import BELOW, CLOSED, NOT_NEEDED, Progress
from attention_faults.labelling.protocol import Protocol
from attention_faults.labelling.returned import Rating
from attention_faults.taxonomy.agreement import ADJUDICATION
from attention_faults.taxonomy.codebook import Codebook

READERS = {".json": label_studio.read, ".csv": sheets.read, ".xlsx": sheets.read}


def returned_files(folder: Path) -> list[Path]:
    """Return the files of ratings below a folder, by name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in READERS)


def read(paths: Iterable[Path]) -> list[Rating]:
    """Read returned files: Label Studio's JSON export, CSV and XLSX.

    Raises:
        InputError: with the problems of every file that cannot be read.
    """
    ratings: list[Rating] = []
    problems: list[str] = []
    for path in paths:
        try:
            ratings += READERS[path.suffix.lower()](path)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return ratings


def check(returned: Sequence[Rating], protocol: Protocol, candidates: pd.DataFrame) -> pd.DataFrame:
    """Check returned ratings and put them into long form.

    Categories and scopes that follow from the answers are filled in.

    Args:
        returned: as `read` returns them.
        protocol: of the study.
        candidates: as `candidates.read` returns them.

    Returns:
        One row a rating, by phase, record and round: record_id, phase, round, rater, the columns of the
        codebook ("" is "not rated in this phase"), confidence. Labels are those with which it was given.

    Raises:
        InputError: with every rating of an unknown phase, rater or record, unknown or missing label, second
            rating by one rater, and rating outside the assignment or in a phase that is not open. Where a
            phase holds one, later phases are not checked against their assignments, which depend on it.
    """
    known = set(candidates["record_id"])
    found = [(rating, list(_own_problems(rating, protocol, known))) for rating in returned]
    problems = {id(rating): reasons for rating, reasons in found}
    first: dict[tuple[str, str, str], Rating] = {}
    for rating in returned:
        earlier = first.setdefault((rating.phase, rating.rater, rating.record_id), rating)
        if earlier is not rating:
            problems[id(rating)].append(
                f"`{shown(rating.rater)}` rates record `{shown(rating.record_id)}` a second time; "
                f"the first is in {earlier.where}"
            )
    table = _long([], protocol)
    for name in protocol.phases:
        ours = [rating for rating in returned if rating.phase == name]
        if ours:
            phase = _phase(name, protocol, candidates, table)
            rated = [rating for rating in ours if rating.rater != protocol.adjudicator]
            table = _add(table, rated, phase, protocol, problems)
            settled = [rating for rating in ours if rating.rater == protocol.adjudicator]
            if settled:
                phase = _phase(name, protocol, candidates, table)
                table = _add(table, settled, phase, protocol, problems)
        if any(problems[id(rating)] for rating in ours):
            break
    messages = [f"{rating.where}: {reason}" for rating in returned for reason in problems[id(rating)]]
    if messages:
        raise InputError(messages)
    return table


def load(path: Path, protocol: Protocol) -> pd.DataFrame:
    """Read the table that `check` returned and `tables.write_csv` wrote; at first it is empty."""
    table = pd.read_csv(path, dtype="str", keep_default_na=False)
    return table.reindex(columns=list(_long([], protocol).columns))


def _phase(name: str, protocol: Protocol, candidates: pd.DataFrame, ratings: pd.DataFrame) -> Progress:
    phases = progress.follow(protocol, candidates, ratings)
    return next(phase for phase in phases if phase.name == name)


def _own_problems(rating: Rating, protocol: Protocol, known: set[str]) -> Iterator[str]:
    """Yield what is wrong with a rating whatever else was rated."""
    people = [*protocol.raters, protocol.adjudicator]
    for name, value, valid, reason in (
        ("phase", rating.phase, list(protocol.phases), "is no phase of the study"),
        ("rater", rating.rater, people, "is no rater of the study"),
        ("confidence", rating.confidence, ["", *CONFIDENCES], f"is not one of {', '.join(CONFIDENCES)}"),
    ):
        if value not in valid:
            yield f"column `{name}`: `{shown(value)}` {reason}{nearest(value, valid)}"
    if rating.record_id not in known:
        hint = nearest(rating.record_id, known)
        yield f"column `record_id`: `{shown(rating.record_id)}` is no record of the study{hint}"
    if rating.phase in protocol.phases:
        asks = protocol.phases[rating.phase].asks
        yield from _label_problems(rating, asks, protocol.book_of(rating.phase))


def _label_problems(rating: Rating, asks: Sequence[str], book: Codebook) -> Iterator[str]:
    wrong = False
    for name, label in rating.answers.items():
        if name not in asks:
            if label:
                reason = f"is not asked in phase `{rating.phase}`{nearest(name, asks)}"
                yield f"column `{shown(name)}`: `{shown(label)}` {reason}"
        elif label and label not in book.labels(name):
            wrong = True
            hint = nearest(label, book.labels(name))
            yield f"column `{name}`: `{shown(label)}` is not in the codebook{hint}"
    if wrong:
        return
    for child, parent, parent_of in (
        ("root_cause", "category", book.category_of),
        ("category", "scope", book.scope_of),
    ):
        label, above = rating.answers.get(child, ""), rating.answers.get(parent, "")
        if child in asks and parent in asks and label and above and parent_of[label] != above:
            belongs = f"`{label}` belongs to {parent} `{parent_of[label]}`"
            yield f"column `{child}`: {belongs}, but the rating says `{above}`"


def _add(
    table: pd.DataFrame,
    ratings: Sequence[Rating],
    phase: Progress,
    protocol: Protocol,
    problems: dict[int, list[str]],
) -> pd.DataFrame:
    """Add the good ratings of a phase to those before; note what is wrong with the others."""
    rounds = {
        (record, rater): turn
        for record, turn, rater in phase.assignment[["record_id", "round", "rater"]].itertuples(index=False)
    }
    asks = protocol.phases[phase.name].asks
    disputed: dict[str, set[str]] = {}
    for record, facet in phase.disputes[["record_id", "facet"]].itertuples(index=False):
        disputed.setdefault(record, set()).add(facet)
    rows = []
    for rating in ratings:
        if not problems[id(rating)]:
            if rating.rater == protocol.adjudicator:
                turn, needed = ADJUDICATION, disputed.get(rating.record_id, set())
                reason = _adjudication_problem(rating, phase, disputed)
            else:
                turn, needed = rounds.get((rating.record_id, rating.rater), ""), set(asks)
                reason = _assignment_problem(rating, phase, turn)
            reasons = [reason] if reason else []
            reasons += [
                f"column `{name}`: is empty, expected a label of phase `{phase.name}`"
                for name in asks
                if not reason and name in needed and not _answer(rating, name, protocol.book_of(phase.name))
            ]
            problems[id(rating)] += reasons
            if not reasons:
                rows.append((rating, turn))
    return pd.concat([table, _long(rows, protocol)], ignore_index=True)


def _assignment_problem(rating: Rating, phase: Progress, turn: str) -> str:
    if phase.state in (CLOSED, NOT_NEEDED):
        return f"column `phase`: `{phase.name}` is not open ({phase.state})"
    if rating.record_id not in phase.records:
        return f"column `record_id`: `{rating.record_id}` is no record of phase `{phase.name}`"
    if not turn:
        theirs = phase.assignment.loc[phase.assignment["record_id"] == rating.record_id, "rater"]
        return (
            f"column `rater`: record `{rating.record_id}` is not assigned to `{rating.rater}` in phase "
            f"`{phase.name}`, but to {', '.join(f'`{name}`' for name in theirs)}"
        )
    if rating.record_id not in phase.ready:
        return f"column `record_id`: `{rating.record_id}` waits for an earlier phase"
    return ""


def _adjudication_problem(rating: Rating, phase: Progress, disputed: dict[str, set[str]]) -> str:
    if phase.state in (CLOSED, NOT_NEEDED, BELOW):
        return f"column `phase`: `{phase.name}` is not open for adjudication ({phase.state})"
    if rating.record_id not in disputed:
        return f"column `record_id`: nothing is disputed of `{rating.record_id}` in phase `{phase.name}`"
    return ""


def _answer(rating: Rating, name: str, book: Codebook) -> str:
    return with_parents(rating.answers, book).get(name, "")


def _long(rows: Sequence[tuple[Rating, str]], protocol: Protocol) -> pd.DataFrame:
    facets = list(dict.fromkeys(column for book in protocol.books.values() for column in book.columns))
    columns = ["record_id", "phase", "round", "rater", *facets, "confidence"]
    table = pd.DataFrame(
        [
            {
                "record_id": rating.record_id,
                "phase": rating.phase,
                "round": turn,
                "rater": rating.rater,
                **with_parents(rating.answers, protocol.book_of(rating.phase)),
                "confidence": rating.confidence,
            }
            for rating, turn in rows
        ],
        columns=columns,
        dtype="str",
    ).fillna("")
    return table.sort_values(["record_id", "round"], kind="stable")
