"""What all tests of mining share."""

import pytest


@pytest.fixture(autouse=True)
def _fast_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk: nothing here pulls the plug, and a killed process loses no written bytes."""
    monkeypatch.setattr("attention_faults.mining.archive.os.fsync", lambda _descriptor: None)


@pytest.fixture(autouse=True)
def _no_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never send a developer's own token anywhere."""
    for name in ("GITHUB_TOKEN", "HF_TOKEN", "STACKEXCHANGE_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
