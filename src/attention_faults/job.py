"""What the workflow does for its jobs, and a job before its work."""

import logging
import os
import sys
from pathlib import Path
from types import TracebackType

from attention_faults.errors import InputError


def share_package() -> None:
    """Let jobs import this package where it is not installed, as in an environment that Snakemake makes."""
    source = str(Path(__file__).parents[1])
    others = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{source}{os.pathsep}{others}" if others else source


def log_to(path: str) -> None:
    """Send all that this process prints to `path`, tracebacks too; a user's input error comes without one."""
    # file descriptors, not sys.stderr: what compiled libraries and a dying interpreter print counts too
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    sys.excepthook = _explain
    logging.basicConfig(format="%(message)s", level=logging.INFO)


def _explain(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, InputError):
        sys.stderr.write(f"{error}\n")
    else:
        sys.__excepthook__(kind, error, trace)
