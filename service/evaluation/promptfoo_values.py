"""The variables of promptfoo's tests: lists, files, and templates inside of them.

In: the variables of a test as they are written. Out: every combination of their values, as promptfoo's templates write
them, with the names of placeholders here.
Not here: the tests (`promptfoo_tests`) and their assertions (`promptfoo_checks`).
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from service.errors import short_name
from service.evaluation import assertions
from service.evaluation.promptfoo_checks import TestValues
from service.evaluation.promptfoo_files import Node, Source, logic
from service.prompts.render import PLACEHOLDER


def mapping(node: Node, source: Source) -> TestValues:
    """Variables that are listed, or in files."""
    files = [node.value] if isinstance(node.value, str) else node.value if isinstance(node.value, list) else None
    if files is not None and all(isinstance(name, str) for name in files):
        if any(name.startswith("file://") for name in files):
            source.note(node, "vars are read from this file. promptfoo reads it without file:// only, and has no vars.")
        inner = [source.values(source.text(str(path), node) or "", str(path))
                 for name in files for path in source.paths(name, node)]  # fmt: skip
        return {name: value for one in inner for name, value in mapping(one, source).items()}
    if node.value is None:
        return {}
    if not isinstance(node.value, dict):
        source.mistake(node, "vars must be a mapping or the name of a file.")
        return {}
    return node.value


def combinations(values: TestValues, nodes: tuple[Node, Node], source: Source) -> Iterator[TestValues]:
    """Every combination of the texts in lists, for the default test and a test. A list of other values is one value."""
    default, test = nodes
    given = {**(default.get("options").value or {}), **(test.get("options").value or {})}
    whole = bool(given.get("disableVarExpansion"))
    options: list[list[Any]] = []
    for name, value in values.items():
        if isinstance(value, str) and value.startswith("file://"):
            options.append([_file_value(path, test, source) for path in source.paths(value, test)])
        elif isinstance(value, list) and value and isinstance(value[0], str) and not whole:
            options.append(
                [
                    _file_value(Path(item[7:]), test, source) if str(item).startswith("file://") else item
                    for item in value
                ]
            )
        else:
            options.append([value])
        if isinstance(value, str) and re.match(r"(?:package|exec):", value):
            source.mistake(test, f"the variable {short_name(name)} is code, which is not run.")
    for chosen in itertools.product(*options):
        yield _expanded(dict(zip(values, map(_plain_value, chosen), strict=True)), test, source)


def _file_value(path: Path, node: Node, source: Source) -> Any:
    text = source.text(str(path), node) or ""
    if path.suffix.lower() in (".yaml", ".yml"):
        return _as_json(source.values(text, str(path)).value)
    if path.suffix.lower() in (".pdf", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp3", ".wav", ".mp4"):
        source.mistake(node, f"the variable's file {short_name(path.name)} is no text.")
    return text.strip()


def _plain_value(value: Any) -> Any:
    """A value that a template writes as promptfoo does: objects as compact JSON, null as an empty text."""
    if isinstance(value, (dict, list)):
        return value
    if isinstance(value, str):
        return value.removesuffix("\n")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else value
    text = assertions.text_of(value)
    return int(text) if re.fullmatch(r"-?\d{1,15}", text) else value if json.dumps(value) == text else text


def _expanded(values: TestValues, test: Node, source: Source) -> TestValues:
    """Variables inside variables filled in, and `a.b` for the fields of an object."""
    flat: TestValues = {}
    for name, value in values.items():
        if _has_objects(value):
            source.note(test, f"the variable {short_name(name)} is written as JSON. promptfoo writes [object Object].")
        for field, inner in _fields(name, value):
            flat[field] = inner
    for _ in range(5):
        again = False
        for name, value in flat.items():
            if isinstance(value, str) and PLACEHOLDER.search(value):
                flat[name] = PLACEHOLDER.sub(partial(_text, flat, name), value)
                again = again or flat[name] != value
        if not again:
            break
    for name, value in flat.items():
        construct = logic(value) if isinstance(value, str) else None
        if construct is not None and not PLACEHOLDER.fullmatch(construct):
            source.mistake(
                test,
                f"the variable {short_name(name)} has the template {short_name(construct)}, which is not filled in.",
            )
    return flat


def _as_json(value: Any) -> str:
    """A value as JavaScript's JSON.stringify writes it."""

    def plain(inner: Any) -> Any:
        if isinstance(inner, dict):
            return {name: plain(one) for name, one in inner.items()}
        if isinstance(inner, list):
            return [plain(one) for one in inner]
        return int(inner) if isinstance(inner, float) and inner.is_integer() else inner

    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))


def _has_objects(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_has_objects, value)))


def _fields(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """A variable as a template writes it, and its fields as `name.field`."""
    written = _as_json(value) if _has_objects(value) else value
    yield name, assertions.text_of(written) if isinstance(written, list) else written
    pending = [(f"{name}.{key}", inner) for key, inner in value.items()] if isinstance(value, dict) else []
    while pending:
        path, inner = pending.pop(0)
        yield path, assertions.text_of(inner) if isinstance(inner, dict | list) else _plain_value(inner)
        if isinstance(inner, dict):
            pending += [(f"{path}.{key}", deeper) for key, deeper in inner.items()]


def _text(values: TestValues, own: str, match: re.Match[str]) -> str:
    known = match[1] in values and match[1] != own
    return assertions.text_of(values[match[1]]) if known else match[0]
