"""Where results come from: commit, configuration, versions, seed, data."""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

from attention_faults.files import replacing

UNKNOWN = "unknown (not a git checkout)"


def write(path: Path, about: dict[str, Any], configuration: dict[str, Any], protocol: Path) -> None:
    """Write the provenance of results as JSON; the same state gives the same bytes.

    Args:
        path: to write to.
        about: what they were made from, beside the configuration.
        configuration: of the study.
        protocol: that fixed the analysis.
    """
    write_json({**about, **state(configuration, protocol)}, path)


def state(configuration: dict[str, Any], protocol: Path) -> dict[str, Any]:
    """Describe code, configuration, protocol and versions."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": _git("status", "--porcelain").splitlines(),
        "configuration": configuration,
        "configuration_sha256": hashlib.sha256(_canonical(configuration).encode()).hexdigest(),
        "protocol_sha256": sha256(protocol),
        "seed": configuration["seed"],
        "python": platform.python_version(),
        "versions": _versions(),
    }


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write JSON with sorted keys."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _canonical(configuration: dict[str, Any]) -> str:
    return json.dumps(configuration, sort_keys=True, separators=(",", ":"))


def sha256(path: Path) -> str:
    """Return the checksum of a file, or of a folder: that of the names and checksums of all that it holds."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        listed = "".join(f"{sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
        return hashlib.sha256(listed.encode()).hexdigest()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _git(*arguments: str) -> str:
    try:
        command = ["git", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN


def _versions() -> dict[str, str]:
    """Versions of all that is installed."""
    return {package.name: package.version for package in importlib.metadata.distributions()}
