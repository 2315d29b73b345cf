"""GitHub's published OpenAPI, cut to the routes that the forge uses, as a judge of requests and answers.

The document is the one in npm's `@octokit/openapi`, which GitHub generates from its own descriptions. It is 13 MB.
The cut with everything that it refers to is some 200 KB and is kept in `.sameboat/npm`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.servers import npm

PACKAGE, VERSION = "@octokit/openapi", "23.0.2"
# pragma: allowlist nextline secret
INTEGRITY = "sha512-pV8M7L9GY23AybNvTmo2nyjmpmnt6+2sRE/tqr0ZLQcPS4lnw7u5eZGNmwRNkBC3D7gZXbFx5AHzLUVRBXGDhg=="
MEMBER = "generated/api.github.com.json"
REPO = "/repos/{owner}/{repo}"
ROUTES = {
    "/user": ("get",),
    "/users/{username}": ("get",),
    "/user/repos": ("post",),
    "/orgs/{org}/repos": ("post",),
    REPO: ("get",),
    f"{REPO}/contents/{{path}}": ("put",),
    f"{REPO}/git/blobs": ("post",),
    f"{REPO}/git/blobs/{{file_sha}}": ("get",),
    f"{REPO}/git/trees": ("post",),
    f"{REPO}/git/trees/{{tree_sha}}": ("get",),
    f"{REPO}/git/commits": ("post",),
    f"{REPO}/git/commits/{{commit_sha}}": ("get",),
    f"{REPO}/git/ref/{{ref}}": ("get",),
    f"{REPO}/git/refs/{{ref}}": ("patch",),
    f"{REPO}/pages": ("get", "post", "put"),
    f"{REPO}/pages/builds": ("post",),
    f"{REPO}/pages/builds/latest": ("get",),
    f"{REPO}/deployments": ("get",),
    f"{REPO}/deployments/{{deployment_id}}/statuses": ("get",),
}
ANYWHERE = {401, 403, 404, 429}  # answers that every route may give, listed or not, and every 5xx


@functools.cache
def document() -> Path:
    """The cut document's file. It is fetched once. Skips the test where that is not possible."""
    path = npm.FOLDER / f"github-{VERSION}.json"
    if not path.exists():
        whole = json.loads(npm.member(PACKAGE, VERSION, INTEGRITY, MEMBER))
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(cut(whole)), encoding="utf-8")
        fresh.replace(path)
    return path


def cut(whole: dict[str, Any]) -> dict[str, Any]:
    """The document with our routes only, and the parts that they refer to."""
    paths: dict[str, Any] = {}
    for path, methods in ROUTES.items():
        kept = {method: dict(whole["paths"][path][method]) for method in methods}
        for operation in kept.values():
            operation.pop("description", None)
        paths[path] = kept
    parts: dict[str, Any] = {}
    waiting = list(_refs(paths))
    while waiting:
        _, kind, name = waiting.pop().removeprefix("#/").split("/")
        if name not in parts.setdefault(kind, {}):
            parts[kind][name] = whole["components"][kind][name]
            waiting += _refs(parts[kind][name])
    return {key: whole[key] for key in ("openapi", "info", "servers")} | {"paths": paths, "components": parts}


def _refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from _refs(value)


def plain(node: Any) -> Any:
    """OpenAPI 3.0's schemas as JSON Schema: `nullable` is a type of its own."""
    if isinstance(node, list):
        return [plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: plain(value) for key, value in node.items() if key not in ("nullable", "example", "examples")}
    if node.get("nullable") is True:
        return {"anyOf": [{"type": "null"}, made]}
    return made


class Contract:
    """Compares requests and answers with the document. Each method returns the problems in words."""

    def __init__(self, path: Path) -> None:
        self.spec = plain(json.loads(path.read_text(encoding="utf-8")))
        self.registry = Registry().with_resource("urn:github", Resource(self.spec, DRAFT202012))
        self.routes = [
            (re.compile(re.sub(r"\{[a-z_]+\}", "[^/]+", template)), template) for template in self.spec["paths"]
        ]
        self.used: set[tuple[str, str]] = set()

    def find(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """The operation, literal routes before those with parameters."""
        fits = [template for pattern, template in self.routes if pattern.fullmatch(path)]
        for template in sorted(fits, key=lambda each: each.count("{")):
            operation = self.spec["paths"][template].get(method.lower())
            if operation is not None:
                return template, operation
        return None

    def request(self, method: str, path: str, body: Any) -> list[str]:
        found = self.find(method, path)
        if found is None:
            return [f"{method} {path} is no route of GitHub's API"]
        template, operation = found
        self.used.add((method, template))
        if "requestBody" not in operation:
            return [] if body is None else [f"{method} {template} takes no body"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        unknown = sorted(set(body or {}) - set(_properties(schema)))
        wrong = [f"{method} {template}: the request's {name} is no parameter" for name in unknown]
        return wrong + self._errors(f"{method} {template}: the request's", schema, body)

    def answer(self, method: str, path: str, status: int, data: Any) -> list[str]:
        found = self.find(method, path)
        if found is None or status >= 500:
            return []
        template, operation = found
        said = f"{method} {template} {status}: the answer's"
        response = operation["responses"].get(str(status))
        if response is None:
            return [] if status in ANYWHERE else [f"{method} {template} never answers {status}"]
        if "$ref" in response:
            _, kind, name = response["$ref"].removeprefix("#/").split("/")
            response = self.spec["components"][kind][name]
        content = response.get("content", {}).get("application/json")
        return self._errors(said, content["schema"], data) if content else []

    def _errors(self, said: str, schema: dict[str, Any], value: Any) -> list[str]:
        validator = Draft202012Validator(_absolute(schema), registry=self.registry, format_checker=FormatChecker())
        return [f"{said} {error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


def _absolute(node: Any) -> Any:
    """References that are found from outside the document."""
    if isinstance(node, list):
        return [_absolute(each) for each in node]
    if isinstance(node, dict):
        return {
            key: f"urn:github{value}" if key == "$ref" and isinstance(value, str) else _absolute(value)
            for key, value in node.items()
        }
    return node


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = dict(schema.get("properties", {}))
    for each in schema.get("anyOf", []):
        found |= each.get("properties", {})
    return found
