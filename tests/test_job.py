"""A job's log holds all that the job printed."""

import subprocess
import sys
from pathlib import Path

import pytest

JOB = """
import os, sys
from attention_faults import job
from attention_faults.errors import InputError
job.log_to(sys.argv[1])
print("printed")
os.system("echo from a child process")
{ending}
"""


def run(log: Path, ending: str) -> subprocess.CompletedProcess[str]:
    script = JOB.format(ending=ending)
    return subprocess.run(
        [sys.executable, "-c", script, str(log)], capture_output=True, text=True, check=False
    )


def test_log_holds_prints_children_and_tracebacks(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    finished = run(log, "raise RuntimeError('boom')")
    assert finished.returncode == 1
    assert finished.stdout == finished.stderr == ""
    text = log.read_text()
    assert "printed" in text
    assert "from a child process" in text
    assert "Traceback" in text
    assert "RuntimeError: boom" in text


def test_input_error_is_logged_without_traceback(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    finished = run(log, "raise InputError(['records.csv:3: bad', 'records.csv:4: bad'])")
    assert finished.returncode == 1
    assert "Traceback" not in log.read_text()
    assert log.read_text().endswith(
        "records.csv:3: bad\nrecords.csv:4: bad\n2 errors; nothing was written.\n"
    )


@pytest.mark.parametrize("old", ["", "older content that is much longer than the new one" * 100])
def test_log_of_an_earlier_run_is_replaced(tmp_path: Path, old: str) -> None:
    log = tmp_path / "job.log"
    log.write_text(old)
    run(log, "")
    assert "older" not in log.read_text()
