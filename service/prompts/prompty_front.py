"""The front matter of a Prompty file as its readers see it: with references, and with YAML 1.1.

In: the values and the text of the front matter, and its folder. Out: the values with the contents of files in place of
`${file:...}`, and the place and a sentence for each value that stays unread or has another meaning there.
Not here: the meaning of a key (`prompty`). The environment is never read: its values are secrets, or differ by machine.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.resolver import VersionedResolver

from service import text_files
from service.errors import PromptError, short_name
from service.prompts.yaml_tree import parse_any, plain

REFERENCE = re.compile(r"\$\{(\w+):([^}]*)\}")
LOADED = (".json", ".yaml", ".yml", ".txt", ".md")
READ = {(): ("name", "description", "model", "inputs", "sample", "template"),
        ("model",): ("id", "configuration", "parameters", "options"),
        ("model", "configuration"): ("name", "model", "azure_deployment")}  # fmt: skip
"""The keys with references that matter. Those of a connection, such as a secret, are told as a whole."""
LEFT_OUT = object()
"""In place of a reference that is not read."""
Notes = list[tuple[tuple[Any, ...], str]]


def resolved(front: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], Notes]:
    """The front matter without references, and a sentence for each one that is not read.

    Raises:
        PromptError: if a file that it names is no JSON or no YAML.
    """
    notes: Notes = []

    def walk(node: Any, place: tuple[Any, ...]) -> Any:
        if isinstance(node, list):
            items = [walk(item, (*place, number)) for number, item in enumerate(node)]
            return [item for item in items if item is not LEFT_OUT]
        if isinstance(node, Mapping):
            read = READ.get(place, node)
            values = {key: walk(value, (*place, key)) if key in read else value for key, value in node.items()}
            return {key: value for key, value in values.items() if value is not LEFT_OUT}
        match = REFERENCE.fullmatch(node.strip()) if isinstance(node, str) else None
        if match is None:
            return node
        if match[1].lower() == "file" and (path := _beside(folder, match[2].strip())) is not None:
            value, told = _contents(path, place)
            notes.extend(told)
            return value
        notes.append((place, _unread(".".join(map(str, place))[:80], match[1].lower(), match[2])))
        return LEFT_OUT

    return walk(front, ()), notes


def _unread(name: str, protocol: str, target: str) -> str:
    """A sentence about a reference that is left out."""
    if protocol == "file":
        return f"{name}: the folder has no file {short_name(target)} with one of {', '.join(LOADED)}. It is left out."
    return f"{name} comes from the {'environment' if protocol == 'env' else protocol} there, and is left out."


def _beside(folder: Path, name: str) -> Path | None:
    """The file of this name, if it is in the folder and can be read as a value."""
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
        return path if inside and path.suffix.lower() in LOADED and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, or a link in a circle
        return None


def _contents(path: Path, place: tuple[Any, ...]) -> tuple[Any, Notes]:
    """The value in a file, and a sentence for each part that YAML 1.1 reads otherwise."""
    text = text_files.read(path, PromptError)
    if path.suffix.lower() == ".json":
        return text_files.from_json(text, str(path), PromptError, form="A referenced value is JSON."), []
    if path.suffix.lower() not in (".yaml", ".yml"):
        return text, []
    value = plain(parse_any(text, str(path)), str(path))
    # The place is that of the reference: the lines are those of another file.
    return value, [(place, f"{short_name(path.name)}: {sentence}") for _, sentence in _differences(text, value, place)]


class _Resolver(VersionedResolver):
    """The scalars of PyYAML. 1e3 and y of YAML 1.1 are texts there."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node."""
        tag = super().resolve(kind, value, implicit)
        if kind is ScalarNode and str(tag).endswith(":float") and ("." not in value or re.search(r"[eE]\d", value)):
            return self.DEFAULT_SCALAR_TAG
        return self.DEFAULT_SCALAR_TAG if kind is ScalarNode and value in ("y", "Y", "n", "N") else tag


def read_otherwise(text: str, front: Mapping[str, Any]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """The values that PyYAML, a reader of YAML 1.1, reads otherwise, such as yes and 010: the place, and a sentence."""
    for place, sentence in _differences(text, front, ()):
        if place[0] in ("model", "inputs", "sample"):
            yield place, sentence


def _differences(text: str, value: Any, at: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """The parts of a text's value, at a place, that PyYAML reads otherwise."""
    reader = YAML(typ="safe", pure=True)
    reader.Resolver = _Resolver
    reader.version = (1, 1)
    try:
        with warnings.catch_warnings(action="ignore"):
            other = reader.load(text)
    except (YAMLError, ValueError):  # a date that does not exist
        return

    def walk(ours: Any, theirs: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            for key, value in ours.items():
                if key in theirs:
                    yield from walk(value, theirs[key], (*place, key))
                elif key not in map(str, theirs):
                    name = ".".join(map(str, (*place, key)))[:80]
                    yield (*place, key), f"the key {name} is no text for Prompty's reader in Python, of YAML 1.1."
        elif isinstance(ours, list) and isinstance(theirs, list):
            for number, (one, another) in enumerate(zip(ours, theirs, strict=False)):
                yield from walk(one, another, (*place, number))
        elif isinstance(theirs, bool | int | float | str) and (type(theirs), repr(theirs)) != (type(ours), repr(ours)):
            name = ".".join(map(str, place))[:80]
            read = short_name(theirs) if isinstance(theirs, str) else theirs
            yield place, f"{name} is {short_name(ours)} here. Prompty's reader in Python, of YAML 1.1, has {read}."

    yield from walk(value, other, at)
