"""The one error a user's input can cause, and how it words what it found."""

import difflib
from collections.abc import Iterable

SHOWN_CHARACTERS = 80


class InputError(ValueError):
    """Input that cannot be used, with every problem found in it.

    Attributes:
        problems: one line each, naming file, row, column, value and what was expected.
    """

    def __init__(self, problems: Iterable[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        count = "1 error" if len(self.problems) == 1 else f"{len(self.problems)} errors"
        return "\n".join([*self.problems, f"{count}; nothing was written."])


def nearest(value: str, valid: Iterable[str]) -> str:
    """Return the clause `; did you mean X?` for the closest of `valid`, or nothing when none is close."""
    labels = {label.casefold(): label for label in valid}
    matches = difflib.get_close_matches(value.strip().casefold(), list(labels), n=1, cutoff=0.6)
    return f"; did you mean `{labels[matches[0]]}`?" if matches else ""


def shown(value: object) -> str:
    """Return a value as one short line without control characters, so that a message cannot be forged."""
    text = str(value)
    head = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in head)
