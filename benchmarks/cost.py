"""What some work costs in a process of its own; Linux only."""

import multiprocessing
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What some work gave, and what it took.

    Attributes:
        result: of the work.
        seconds: by the clock.
        processor: seconds of all its threads; they tell more where others use the machine.
        peak: most memory that the process ever held, in MiB.
    """

    result: int
    seconds: float
    processor: float
    peak: float


def of(work: Callable[[], int]) -> Cost:
    """Run some work in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_measured, work).result()


def _measured(work: Callable[[], int]) -> Cost:
    started, worked = time.perf_counter(), time.process_time()
    result = work()
    return Cost(result, time.perf_counter() - started, time.process_time() - worked, _peak())


def _peak() -> float:
    # not `ru_maxrss`: that begins with what the parent held
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024
