"""Where a labelling study stands: phase by phase, what is open, missing, disputed and decided."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attention_faults.labelling import adjudication, assignment, form
from attention_faults.labelling.form import GIVEN, SHOWN, Tasks
from attention_faults.labelling.migration import migrate, to_rate_again
from attention_faults.labelling.protocol import Phase, Protocol
from attention_faults.taxonomy import agreement
from attention_faults.taxonomy.agreement import ADJUDICATION
from attention_faults.taxonomy.codebook import Codebook

CLOSED = "closed"  # an earlier phase is not done
RATING = "rating"  # ratings are missing
BELOW = "below_kappa"  # raters agree too little: discuss, then repeat the phase
DISPUTED = "adjudication"  # disagreements are not decided
DONE = "done"
NOT_NEEDED = "not_needed"  # the phase that it would repeat has passed


@dataclass(frozen=True)
class Progress:
    """One phase of a running study.

    Attributes:
        name: of the phase.
        state: `closed`, `rating`, `below_kappa`, `adjudication`, `done` or `not_needed`.
        files: how many files of candidates, from the first on, have come through all earlier phases.
        records: records of the phase, in the order to rate them.
        ready: those of them that may be rated: records of these files.
        assignment: one row an assigned rating: record_id, round, rater.
        ratings: those of the phase, in the labels with which they were given.
        missing: rows of the assignment of records that are ready, without a rating.
        gate: one row a question: facet, percent_agreement, cohen_kappa, records (rated twice), minimum,
            passed.
        disputes: one row a question on which the raters of a record differ, without an adjudication:
            record_id, facet, labels (the different ones by name, joined by " | ").
    """

    name: str
    state: str
    files: float
    records: list[str]
    ready: list[str]
    assignment: pd.DataFrame
    ratings: pd.DataFrame
    missing: pd.DataFrame
    gate: pd.DataFrame
    disputes: pd.DataFrame


def follow(protocol: Protocol, candidates: pd.DataFrame, ratings: pd.DataFrame) -> Iterator[Progress]:
    """Go through the phases of a study in order.

    A phase is open when each phase before it is done: rated, with enough agreement on every question, and all
    disagreements decided. A phase that stayed below its kappa opens only the one that repeats it, which then
    stands in its place. Files of candidates that were added later go through the phases one after the other,
    and close nothing for the records of earlier files.

    Args:
        protocol: of the study.
        candidates: as `candidates.read` returns them.
        ratings: long form, all phases, in the labels with which they were given.

    Yields:
        One entry a phase, in order.
    """
    found: list[Progress] = []
    for name, phase in protocol.phases.items():
        found.append(_progress(protocol, phase, name, candidates, ratings, found))
        yield found[-1]


def final_labels(protocol: Protocol, ratings: pd.DataFrame, phases: Sequence[Progress]) -> pd.DataFrame:
    """Return the final label of each record and question, with its provenance (`adjudication.provenance`).

    Labels are those of the last codebook; one that a migration split stands as `?` and the old label.
    """
    return _decided(protocol, ratings, phases, protocol.book, protocol.book.columns)


def tasks(protocol: Protocol, candidates: pd.DataFrame, phases: Sequence[Progress]) -> list[Tasks]:
    """Return the tasks that are open: of each rater, and of the adjudicator, in each phase; none is empty."""
    threads = candidates.set_index("record_id", drop=False)[SHOWN]
    found = []
    for progress in phases:
        phase, book = protocol.phases[progress.name], protocol.book_of(progress.name)
        asked = form.questions(phase.asks, book)
        if progress.state == RATING:
            for rater, missing in progress.missing.groupby("rater", sort=True):
                theirs = set(missing["record_id"])
                shown = threads.loc[[record for record in progress.records if record in theirs]]
                found.append(Tasks(progress.name, str(rater), asked, shown.reset_index(drop=True)))
        elif progress.state == DISPUTED:
            lines = progress.disputes["facet"] + ": " + progress.disputes["labels"]
            given = lines.groupby(progress.disputes["record_id"]).agg("; ".join)
            shown = threads.loc[[record for record in progress.records if record in given.index]]
            shown = shown.assign(**{GIVEN: given.reindex(shown.index)}).reset_index(drop=True)
            found.append(Tasks(progress.name, protocol.adjudicator, asked, shown))
    return found


def _progress(
    protocol: Protocol,
    phase: Phase,
    name: str,
    candidates: pd.DataFrame,
    ratings: pd.DataFrame,
    before: list[Progress],
) -> Progress:
    ours = ratings[ratings["phase"] == name].reset_index(drop=True)
    file_of = candidates.set_index("record_id")["file"]
    unneeded = any(other.name == phase.repeats and other.state in (DISPUTED, DONE) for other in before)
    records = [] if unneeded else _records(protocol, phase, name, candidates, ratings, before)
    files = _open_files(protocol, phase, before, file_of)
    ready = [record for record in records if file_of[record] < files]
    assigned = assignment.assign(
        records, list(protocol.raters), double=phase.double, seed=protocol.seed, phase=name
    )
    keys = [pd.MultiIndex.from_frame(frame[["record_id", "round"]]) for frame in (assigned, ours)]
    missing = assigned[~keys[0].isin(keys[1]) & assigned["record_id"].isin(ready)].reset_index(drop=True)
    gate, disputes = _gate(ours, phase), _disputes(ours, phase)
    if unneeded:
        state = NOT_NEEDED
    elif not files:
        state = CLOSED
    elif len(missing):
        state = RATING
    elif ready and not gate["passed"].all():
        state = BELOW
    elif len(disputes):
        state = DISPUTED
    else:
        state = DONE
    return Progress(name, state, files, records, ready, assigned, ours, missing, gate, disputes)


def _open_files(protocol: Protocol, phase: Phase, before: list[Progress], file_of: pd.Series) -> float:
    """Return how many files of candidates, from the first on, have come through all earlier phases."""
    # a phase below its kappa opens what repeats it, and then that stands in its place
    stood_in_for = {phase.repeats, *(protocol.phases[other.name].repeats for other in before)}
    files = np.inf
    for other in before:
        if other.state == BELOW:
            files = files if other.name in stood_in_for else 0
        elif other.state != NOT_NEEDED:
            waiting = pd.concat([other.missing["record_id"], other.disputes["record_id"]])
            files = min(files, other.files, file_of[waiting].min() if len(waiting) else np.inf)
    return files


def _records(
    protocol: Protocol,
    phase: Phase,
    name: str,
    candidates: pd.DataFrame,
    ratings: pd.DataFrame,
    before: list[Progress],
) -> list[str]:
    """Return the records of a phase, in an order that says nothing of them."""
    chosen = pd.Series(True, index=candidates["record_id"])
    needed = [question for other in before for question in protocol.phases[other.name].keeps]
    needed += phase.asks if phase.records == "to_rate_again" else []
    decided = _decided(protocol, ratings, before, protocol.book_of(name), needed)
    labels = decided.pivot(index="record_id", columns="facet", values="label").reindex(chosen.index)
    for progress in before:
        for question, kept in protocol.phases[progress.name].keeps.items():
            chosen &= labels[question].isin(kept) if question in labels else False
    if phase.records == "to_rate_again":
        again = [to_rate_again(labels[facet].fillna("")) for facet in phase.asks if facet in labels]
        chosen &= np.logical_or.reduce(again) if again else False
    if phase.sample is not None:
        chosen &= (candidates["file"] == 0).to_numpy()
        repeated = [progress.records for progress in before if progress.name == phase.repeats]
        chosen &= ~chosen.index.isin([record for records in repeated for record in records])
    return assignment.shuffled(chosen.index[chosen], protocol.seed, name, "order")[: phase.sample]


def _decided(
    protocol: Protocol,
    ratings: pd.DataFrame,
    phases: Sequence[Progress],
    book: Codebook,
    questions: Sequence[str],
) -> pd.DataFrame:
    """Provenance of the labels of some questions in some phases, migrated to a codebook."""
    migrated = []
    raters = [pd.Series(dtype=int)]
    for progress in phases:
        part = ratings[ratings["phase"] == progress.name]
        for step in protocol.migrations_after(progress.name, book):
            part = migrate(part, step, protocol.books[step.after])
        migrated.append(part)
        raters.append(
            pd.concat({progress.name: progress.assignment.groupby("record_id").size()}, names=["phase"])
        )
    frame = pd.concat(migrated) if migrated else ratings.iloc[:0]
    others = [name for name in agreement.facets(frame) if name not in questions]
    frame = frame.drop(columns=others)
    return adjudication.provenance(frame, pd.concat(raters[1:]) if migrated else None)


def _gate(ratings: pd.DataFrame, phase: Phase) -> pd.DataFrame:
    """Agreement on each question of a phase beside what it must reach.

    Kappa is undefined where all ratings are one and the same label: then there is no disagreement, and the
    question passes. A question without a record rated twice does not pass.
    """
    measured = agreement.pair_values(ratings).set_index("facet").reindex(phase.asks)
    measured["records"] = measured["records"].fillna(0).astype(int)
    gate = measured[["percent_agreement", "cohen_kappa", "records"]].assign(minimum=phase.minimum_kappa)
    unanimous = gate["percent_agreement"] == 1
    gate["passed"] = unanimous | (gate["cohen_kappa"] >= phase.minimum_kappa)
    return gate.rename_axis("facet").reset_index()


def _disputes(ratings: pd.DataFrame, phase: Phase) -> pd.DataFrame:
    tables = []
    for facet in phase.asks:
        rated = ratings[ratings[facet] != ""]
        given = rated[rated["round"] != ADJUDICATION].groupby("record_id")[facet].unique()
        settled = rated.loc[rated["round"] == ADJUDICATION, "record_id"]
        differing = given[(given.str.len() > 1) & ~given.index.isin(settled)]
        labels = differing.map(lambda found: " | ".join(sorted(found)))
        tables.append(labels.rename("labels").reset_index().assign(facet=facet))
    return pd.concat(tables, ignore_index=True)[["record_id", "facet", "labels"]]
