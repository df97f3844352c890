"""GitHub's official description of its REST interface, fetched by npm once and kept in pytest's cache."""

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from support.project import missing

PACKAGE = "@octokit/openapi@23.0.2"
MEMBER = "package/generated/api.github.com.json"


def description(cache: Path) -> dict[str, Any]:
    """Return the description of api.github.com (13 MB; npm checks that it is what was published)."""
    kept = cache / f"{PACKAGE.replace('/', '-')}.json"
    if not kept.exists():
        if not shutil.which("npm"):
            missing("npm is not installed: it fetches GitHub's description of its interface")
        command = ["npm", "pack", PACKAGE, "--pack-destination", str(cache), "--json", "--silent"]
        packed = subprocess.run(command, capture_output=True, text=True, check=False)
        if packed.returncode:
            missing(f"npm cannot fetch {PACKAGE}: {packed.stderr}")
        archive = next(cache.glob("*.tgz"))
        with tarfile.open(archive) as files:
            kept.write_bytes(files.extractfile(MEMBER).read())
        archive.unlink()
    return json.loads(kept.read_text(encoding="utf-8"))


def json_schema(described: Any) -> Any:
    """Return OpenAPI 3.0 as JSON Schema: there, what may be null is marked beside its type."""
    if isinstance(described, list):
        return [json_schema(item) for item in described]
    if not isinstance(described, dict):
        return described
    schema = {key: json_schema(value) for key, value in described.items() if key != "nullable"}
    if described.get("nullable"):
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        if isinstance(schema.get("type"), str):
            schema["type"] = [schema["type"], "null"]
        elif "type" not in schema:
            schema = {"anyOf": [schema, {"type": "null"}]}
    return schema


def answer_schema(described: dict[str, Any], path: str, status: int) -> dict[str, Any]:
    """Return the schema of one operation's answer, with all that it refers to."""
    answer = described["paths"][path]["get"]["responses"][str(status)]
    if "$ref" in answer:
        answer = described["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    schema = answer["content"]["application/json"]["schema"]
    return json_schema(schema) | {"components": {"schemas": _Lazy(described["components"]["schemas"])}}


class _Lazy(dict[str, Any]):
    """Schemas that are converted when something refers to them: a few of a thousand."""

    def __init__(self, described: dict[str, Any]) -> None:
        super().__init__()
        self._described = described

    def __missing__(self, name: str) -> Any:
        self[name] = json_schema(self._described[name])
        return self[name]

    def __contains__(self, name: object) -> bool:
        return name in self._described
