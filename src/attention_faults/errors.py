"""The one error a user's input can cause."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input that cannot be used, with every problem found in it.

    Attributes:
        problems: one line each, naming file, row, column, value and what was expected.
    """

    def __init__(self, problems: Iterable[str] | str) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        count = "1 error" if len(self.problems) == 1 else f"{len(self.problems)} errors"
        super().__init__("\n".join([*self.problems, f"{count}; nothing was written."]))


def nearest(value: str, valid: Iterable[str]) -> str:
    """Return the clause `; did you mean X?` for the closest of `valid`, or nothing when none is close."""
    matches = difflib.get_close_matches(value.strip(), list(valid), n=1, cutoff=0.6)
    return f"; did you mean `{matches[0]}`?" if matches else ""
