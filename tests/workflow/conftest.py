"""The workflow run offline, as a user would run it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.project import Run, copy_project, offline


@pytest.fixture(scope="session")
def run_offline(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Run the default target without a network, in a clean copy of the given name."""
    prefix = offline()

    def run(name: str, *arguments: str) -> Run:
        folder = copy_project(tmp_path_factory.mktemp(name))
        finished = subprocess.run(
            [*prefix, "snakemake", "--configfile", "test.yaml", *arguments],
            cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stdout[-5000:]
        return Run(folder, finished.stdout)

    return run


@pytest.fixture(scope="session")
def finished(run_offline: Callable[..., Run]) -> Run:
    return run_offline("first")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path)
