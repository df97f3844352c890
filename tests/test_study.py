"""Configuration: every error at once, unknown keys with the nearest valid one."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from attention_faults import study
from attention_faults.errors import InputError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def configuration() -> dict[str, Any]:
    return deepcopy(yaml.safe_load((ROOT / "config.yaml").read_text()))


def test_default_configuration_is_valid(configuration: dict[str, Any]) -> None:
    assert study.load(configuration).datasets == ["github_2026"]


@pytest.mark.parametrize("overlay", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_overlays_change_only_known_keys(configuration: dict[str, Any], overlay: Path) -> None:
    usual = study.load(configuration)
    update_config(configuration, yaml.safe_load(overlay.read_text()))
    assert study.load(configuration) != usual


def test_every_error_is_reported_in_one_run(configuration: dict[str, Any]) -> None:
    configuration["heuristics"]["min_suport"] = configuration["heuristics"].pop("min_support")
    configuration["interval"]["level"] = 95
    configuration["sed"] = 1
    configuration["datasets"] = []
    with pytest.raises(InputError) as caught:
        study.load(configuration)
    text = str(caught.value)
    assert "configuration: unknown key `heuristics.min_suport`; did you mean `min_support`?" in text
    assert "configuration: key `heuristics.min_support` is missing" in text
    assert "configuration: key `interval.level`: input should be less than 1, found `95`" in text
    assert "configuration: unknown key `sed`; did you mean `seed`?" in text
    assert "configuration: key `datasets`" in text
    assert text.endswith("5 errors; nothing was written.")


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_configuration_that_is_no_mapping_is_an_error(content: object) -> None:
    with pytest.raises(InputError, match="configuration"):
        study.load(content)
