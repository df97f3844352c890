"""How complete each query is: no count of threads is given without it."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import pandas as pd

from attention_faults import files
from attention_faults.mining.thread import Source


@dataclass(kw_only=True)
class Outcome:
    """What became of one query.

    Attributes:
        found: threads that match, by what the service said when it was first asked; where it gives no number,
            those that it listed.
        fetched: threads that were read.
        unmatched: of these, threads that hold none of the keywords, where a service cannot search for them.
        truncated: threads that the service says match, but does not give however it is asked.
        incomplete: pages that the service itself calls incomplete, also when asked again.
        gone: threads that were listed, but could not be read; one for a repository that is not there.
    """

    source: Source
    query: str
    found: int = 0
    fetched: int = 0
    unmatched: int = 0
    truncated: int = 0
    incomplete: int = 0
    gone: int = 0
    _asked: bool = False

    def page(self, total: int, *, incomplete: bool) -> bool:
        """Take down what a page of results says of all of them; return whether it is the first page."""
        first = not self._asked
        if first:
            self.found, self._asked = total, True
        self.incomplete += incomplete
        return first


def write(outcomes: Iterable[Outcome], path: Path) -> None:
    """Write a row for each query."""
    names = [field.name for field in fields(Outcome) if not field.name.startswith("_")]
    rows = [astuple(outcome)[: len(names)] for outcome in outcomes]
    with files.replacing(path) as target:
        pd.DataFrame(rows, columns=names).to_csv(target, index=False)
