"""One rating as it came back from a rater, not checked yet."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rating:
    """A returned rating.

    Attributes:
        where: file and row (or task), as messages name it.
        phase: as the file states it.
        rater: as the file states it.
        record_id: as the file states it.
        answers: question -> label, "" where it was left empty.
        confidence: `high`, `medium`, `low` or "".
    """

    where: str
    phase: str
    rater: str
    record_id: str
    answers: dict[str, str]
    confidence: str
