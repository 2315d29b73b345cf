"""The files of a promptfoo configuration, and the sentences about the parts that are not read.

In: the text of a configuration and its path. Out: values with their places, the text of files that it names, notes, and
mistakes. Nothing is run. Only files of the configuration's own repository are read, or of its folder if it has none.
Not here: the meaning of the values (`promptfoo_tests`, `promptfoo_config`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from service import json_pointer, text_files
from service.errors import PromptError, join_first, short_name
from service.prompts import foreign_code
from service.prompts.render import PLACEHOLDER
from service.prompts.yaml_tree import MAX_DEPTH, dump, line_of, parse_any, plain

MOST_FILES = 200
CODE = re.compile(r".*\.(?:[cm]?[jt]s|py|rb|go|sh)(?::[\w.]+)?", re.IGNORECASE | re.DOTALL)
NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")  # nunjucks subtracts in `a-b`, and `7` is a number
REMOTE = re.compile(
    r"(?:https?|huggingface|langfuse|portkey|helicone|az|exec|package|sharepoint)(?::|://)", re.IGNORECASE
)


@dataclass(frozen=True)
class Node:
    """A value of a file, with the file's tree and the place there."""

    value: Any
    tree: Any
    name: str
    place: tuple[Any, ...] = ()

    def __getitem__(self, key: Any) -> Node:
        return Node(self.value[key], self.tree, self.name, (*self.place, key))

    def get(self, key: Any) -> Node:
        """The value of a key, or null at the same place."""
        known = isinstance(self.value, Mapping) and key in self.value
        return self[key] if known else Node(None, self.tree, self.name, self.place)

    def items(self) -> list[Node]:
        """The items of a list. No item if it is none."""
        return [self[at] for at in range(len(self.value))] if isinstance(self.value, list) else []

    @property
    def where(self) -> str:
        """The file and the line. The name has the line already if there is no tree."""
        return self.name if self.tree is None else f"{self.name}:{line_of(self.tree, self.place)}"


@dataclass
class Source:
    """One configuration while it is read."""

    folder: Path
    name: str
    notes: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)

    def note(self, node: Node, sentence: str) -> None:
        """A part that is not read, or is read otherwise than it is written."""
        self.notes.append(f"{node.where}: {sentence}")

    def mistake(self, node: Node, sentence: str) -> None:
        """A part that cannot be read."""
        self.mistakes.append(f"{node.where}: {sentence}")

    def raise_any(self) -> None:
        """Raise all mistakes at once.

        Raises:
            PromptError: with one line for each.
        """
        if self.mistakes:
            raise PromptError(join_first(list(dict.fromkeys(self.mistakes)), "\n"))

    def values(self, text: str, name: str) -> Node:
        """The values of YAML or JSON text. A `$ref` to a place in it has that place's value.

        Raises:
            PromptError: if it is not YAML.
        """
        tree = parse_any(text, name)
        value = plain(tree, name, _scalar)  # ends if the aliases expand too far
        for place, written in _dates(tree, ()):
            self.notes.append(f"{name}:{line_of(tree, place)}: a date without quotes is the text {written} here. "
                              "promptfoo writes [object Object].")  # fmt: skip
        return Node(_resolved(value, value, 0), tree, name)

    def text(self, reference: str, node: Node) -> str | None:
        """The text of one file. None if it cannot be read, which is a mistake."""
        paths = self.paths(reference, node)
        if not paths:
            return None
        try:
            return text_files.read(paths[0], PromptError)
        except PromptError as error:
            self.mistake(node, str(error))
        return None

    def paths(self, reference: str, node: Node) -> list[Path]:
        """The files that `file://NAME`, NAME or a pattern names, sorted. None found is a mistake."""
        name = reference.removeprefix("file://").strip()
        if REMOTE.match(name) or CODE.fullmatch(name):
            self.mistake(node, f"{short_name(name)} is code or an address, which is not run or asked.")
            return []
        try:
            pattern = any(sign in name for sign in "*?[")
            matching = sorted(self.folder.glob(name)) if pattern else [self.folder / name]
        except (ValueError, NotImplementedError, OSError):
            matching = []
        inside = [
            path for path in matching[:MOST_FILES] if _is_file(path) and path.resolve().is_relative_to(self._root)
        ]
        if not inside:
            self.mistake(node, f"there is no file {short_name(name)} in the configuration's folder or repository.")
        return inside

    @property
    def _root(self) -> Path:
        folder = self.folder.resolve()
        return next((parent for parent in (folder, *folder.parents) if (parent / ".git").exists()), folder)


def _scalar(value: Any) -> Any:
    """A value as promptfoo's reader of YAML takes it: 1_000 is a text there, and a date is told by the caller."""
    written = dump(value).splitlines()[0] if isinstance(value, int | float | date) else ""
    return written if "_" in written or isinstance(value, date) else value


def _dates(tree: Any, place: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], str]]:
    """The dates of a tree without quotes, each with its place."""
    pairs = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        if isinstance(value, date):
            yield (*place, key), short_name(dump(value).splitlines()[0])
        elif len(place) < MAX_DEPTH:
            yield from _dates(value, (*place, key))


def renamed(name: str) -> str:
    """A variable's name here. `id` and `slice` name a case and its slice."""
    first, dot, rest = name.partition(".")
    return f"{first}_{dot}{rest}" if first in ("id", "slice") else name


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _resolved(value: Any, root: Any, depth: int) -> Any:
    """A value with the targets of its local references in their place."""
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/") and depth < 16:
            try:
                return _resolved(json_pointer.follow(root, reference[1:])[0], root, depth + 1)
            except LookupError:
                return value
        return {key: _resolved(inner, root, depth) for key, inner in value.items()}
    if isinstance(value, list):
        return [_resolved(inner, root, depth) for inner in value]
    return value


def logic(template: str) -> str | None:
    """The first construct of a nunjucks or Jinja template that our placeholders lack. None if it has none."""
    for construct, _ in foreign_code.closed(template):
        name = PLACEHOLDER.fullmatch(construct)
        if name is None and construct not in ("{{'{'}}", "{{'}'}}"):
            return construct
        if name is not None and (name[1].split(".")[0] in foreign_code.WORDS or not NAME.fullmatch(name[1])):
            return construct
    return None
