"""Settings files as typed models: every error at once, unknown keys with the nearest valid one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from attention_faults.errors import InputError, nearest, shown


class Settings(BaseModel):
    """A group of settings; a key it does not define is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _TextLoader(yaml.BaseLoader):
    """YAML whose scalars all stay text, so that labels such as `no` or `null` survive.

    A key that stands twice in a mapping is an error: YAML would keep the last one without a word.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"key `{shown(key.value)}` stands twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return node


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
    """Read a YAML file as a `model`; what is no text in the model is read from its text.

    Raises:
        InputError: if the file cannot be read, is not YAML, holds a key twice, or does not fit.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _TextLoader)  # noqa: S506 (it makes no objects)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: not readable as YAML: {error.problem}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InputError(f"{path}: not readable as YAML: {error}") from error
    return parse(model, content, path)


def _explain(model: type[BaseModel], problem: Mapping[str, Any]) -> str:
    path = [step for step in problem["loc"] if step != "[key]"]
    where = f"key `{'.'.join(map(str, path))}`" if path else "the file"
    kind, found = problem["type"], shown(problem["input"])
    if kind == "extra_forbidden":
        return f"unknown {where}{nearest(str(path[-1]), _keys(model, path[:-1]))}"
    if kind == "missing":
        return f"{where} is missing"
    if kind == "model_type":
        return f"{where}: expected a mapping with keys among {', '.join(_keys(model, path))}, found `{found}`"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message[0].lower()}{message[1:]}, found `{found}`"


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
