"""Settings files as typed models: every error at once, unknown keys with the nearest valid one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from attention_faults.errors import InputError, nearest


class Settings(BaseModel):
    """A group of settings; a key it does not define is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=Settings)


def parse(model: type[Model], content: object, source: str | Path) -> Model:
    """Return `content` as a `model`.

    Raises:
        InputError: with one line for every value that does not fit, each beginning with `source`.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{source}: {_explain(model, problem)}" for problem in error.errors()) from None


def read(model: type[Model], path: Path) -> Model:
    """Read a YAML file as a `model`.

    Raises:
        InputError: if the file cannot be read, is not YAML, or does not fit.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not a readable YAML file: {error}") from error
    return parse(model, content, path)


def _explain(model: type[BaseModel], problem: Mapping[str, Any]) -> str:
    *parents, key = problem["loc"] or ("",)
    where = ".".join(map(str, problem["loc"])) or "the file"
    if problem["type"] == "extra_forbidden":
        return f"unknown key `{where}`{nearest(str(key), _keys(model, parents))}"
    if problem["type"] == "missing":
        return f"key `{where}` is missing"
    return f"key `{where}`: {problem['msg'].lower()}, found `{problem['input']}`"


def _keys(model: type[BaseModel], path: list[Any]) -> list[str]:
    """Names of the keys allowed at `path` below a model."""
    for step in path:
        candidates = [model.model_fields[step].annotation] if step in model.model_fields else [model]
        found = _models(candidates)
        model = found[0] if found else model
    return [field.alias or name for name, field in model.model_fields.items()]


def _models(annotations: list[Any]) -> list[type[BaseModel]]:
    """Models among annotations such as `Model`, `dict[str, Model]` or `Model | None`."""
    found = []
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.append(annotation)
        else:
            found += _models(list(get_args(annotation)))
    return found
