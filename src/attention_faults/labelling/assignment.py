"""Who rates which record: drawn by a hash of the record, so that added candidates move nothing."""

import hashlib
from collections.abc import Iterable, Sequence

import pandas as pd

COLUMNS = ["record_id", "round", "rater"]


def draw(record_id: str, *purpose: object) -> float:
    """Return a number in [0, 1), uniform over records, that depends on the record and the purpose alone."""
    text = "/".join(map(str, (*purpose, record_id)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48


def shuffled(record_ids: Iterable[str], *purpose: object) -> list[str]:
    """Return records in an order that depends on them and the purpose alone."""
    return sorted(record_ids, key=lambda record: (draw(record, *purpose), record))


def assign(
    record_ids: Iterable[str], raters: Sequence[str], *, double: float, seed: int, phase: str
) -> pd.DataFrame:
    """Assign one or two different raters to each record.

    Each record is drawn for itself: about the share `double` of the records is rated twice, and each rater,
    and each order of two raters, is as likely as every other. Hence a record keeps its raters when others
    are added.

    Args:
        record_ids: records of the phase.
        raters: at least two.
        double: share of the records that two raters rate; 1 is all of them.
        seed: of the study.
        phase: whose assignment it is.

    Returns:
        One row an assigned rating: record_id, round (`first` or `second`), rater.
    """
    rows = []
    for record in record_ids:
        first = int(draw(record, seed, phase, "first rater") * len(raters))
        rows.append((record, "first", raters[first]))
        if draw(record, seed, phase, "rated twice") < double:
            step = 1 + int(draw(record, seed, phase, "second rater") * (len(raters) - 1))
            rows.append((record, "second", raters[(first + step) % len(raters)]))
    return pd.DataFrame(rows, columns=COLUMNS)
