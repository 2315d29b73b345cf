"""YAML as a tree that knows its lines and keeps its comments, and as plain values.

What comes in: text of any kind. What goes out: a mapping, or PromptError with file and line. What it does not know:
which keys a prompt has. Nothing in a file is executed, and aliases cannot make a small file a large one.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from service.errors import PromptError

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 200_000
EDITORS = "# yaml-language-server:"
"""How a YAML file tells an editor things: https://github.com/redhat-developer/yaml-language-server."""


def yaml() -> YAML:
    """A reader and writer that keeps comments, quotes and order."""
    found = YAML(typ="rt")
    found.preserve_quotes = True
    found.width = 1 << 30  # ruamel.yaml folds double-quoted text within an escape: `\\n` came back as `\\ n`
    found.allow_duplicate_keys = False
    return found


def parse(text: str, where: str) -> CommentedMap:
    """The YAML tree with line numbers. Raises PromptError."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise PromptError(f"{where}: larger than {MAX_BYTES} bytes.", remedy="Put the cases into a testDataFile.")
    try:
        tree = yaml().load(text)
    except (
        YAMLError,
        ValueError,
        RecursionError,
        AttributeError,
        TypeError,
        KeyError,
        IndexError,
        AssertionError,
    ) as error:
        mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
        line = mark.line + 1 if mark is not None else 1
        said = str(error.problem if isinstance(error, MarkedYAMLError) else error).splitlines() or ["cannot be read"]
        raise PromptError(f"{where}:{line}: not valid YAML: {said[0]}.") from None
    if not isinstance(tree, CommentedMap):
        raise PromptError(f"{where}:1: a prompt file is a mapping with at least name and messages.")
    return tree


def dump(value: Any) -> str:
    """A tree, or plain values, as YAML text."""
    stream = io.StringIO()
    yaml().dump(value, stream)
    return stream.getvalue()


def header(text: str) -> str:
    """The comments above a file's first key, without the line that names its schema."""
    found = []
    for line in text.lstrip("\n").splitlines(keepends=True):
        if line.strip() and not line.startswith("#"):
            break
        if not line.startswith(EDITORS):
            found.append(line)
    return "".join(found)


def naming_schema(text: str, path: str) -> str:
    """The text with a first line from which an editor takes the schema at `path` (see `schema`), and no other such."""
    lines = [line for line in text.lstrip("\n").splitlines(keepends=True) if not line.startswith(EDITORS)]
    return f"{EDITORS} $schema={path}\n" + "".join(lines)


def commented(node: Any) -> bool:
    """Whether a tree from `parse` holds a comment, the lines above its first key left out (see `header`)."""
    if not isinstance(node, (CommentedMap, CommentedSeq)):
        return False
    below = node.values() if isinstance(node, CommentedMap) else node
    return "#" in str([node.ca.items, node.ca.end]) or any(commented(each) for each in below)


def plain(node: Any, where: str = "<text>") -> Any:
    """YAML's own types as plain values. Raises PromptError for what is too deep or, by its aliases, too large."""
    budget = [MAX_NODES]

    def walk(node: Any, depth: int) -> Any:
        budget[0] -= 1
        if depth > MAX_DEPTH or budget[0] < 0:
            raise PromptError(f"{where}: at most {MAX_DEPTH} levels and {MAX_NODES} values, with all aliases expanded.")
        if isinstance(node, Mapping):
            return {str(key): walk(value, depth + 1) for key, value in node.items()}
        if isinstance(node, (list, tuple)):
            return [walk(value, depth + 1) for value in node]
        if isinstance(node, str):
            return str(node)
        if node is None or isinstance(node, bool):
            return node
        if isinstance(node, int):
            return int(node)
        return float(node) if isinstance(node, float) else str(node)

    return walk(node, 0)


def line_of(tree: Any, path: tuple[Any, ...]) -> int:
    """The line of the deepest part of `path` that exists, from 1."""
    line, node = 1, tree
    for part in path:
        if not isinstance(node, (CommentedMap, CommentedSeq)):
            break
        try:
            spot = node.lc.key(part) if isinstance(node, CommentedMap) else node.lc.item(part)
            line, node = spot[0] + 1, node[part]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return line
