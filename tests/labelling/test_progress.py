"""The gate at its edges: one label only, one rater of one label, nothing rated twice."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.labelling import Running, write_study


def always(_: str, __: str, ___: str, ____: str) -> str:
    return "fault"


def ben_differs(_: str, rater: str, url: str, __: str) -> str:
    return "no_fault" if rater == "ben" and url.endswith(("1", "2", "3")) else "fault"


@pytest.mark.parametrize(
    ("double", "answer", "state", "kappa", "twice"),
    [
        (1, always, "done", np.nan, 20),
        (1, ben_differs, "below_kappa", 0, 20),
        (1e-9, always, "below_kappa", np.nan, 0),
    ],
    ids=["one label", "one rater of one label", "nothing rated twice"],
)
def test_an_undefined_kappa_passes_only_where_all_ratings_are_one_label(
    tmp_path: Path, double: float, answer: Callable[..., str], state: str, kappa: float, twice: int
) -> None:
    main = {"asks": ["relevance"], "minimum_kappa": 0.1, "double": double, "sample": 20}
    running = Running(write_study(tmp_path, phases={"main": main}))
    for path in running.hand_out():
        running.answer(path, answer)
    phase = running.phases()["main"]
    assert phase.state == state
    assert phase.gate["records"].tolist() == [twice]
    # first and second rating rotate between the raters: only the sign of what chance explains is fixed
    found = phase.gate["cohen_kappa"].iloc[0]
    assert np.isnan(found) if np.isnan(kappa) else found <= kappa + 0.1
