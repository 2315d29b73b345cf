"""YAML as a tree with lines and comments, and as plain values.

In: any text. Out: a mapping, or PromptError with file and line. Nothing in a file is executed, and the size of all
expanded aliases is limited.
Not here: the keys of a prompt file (`spec`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from service.errors import PromptError, short_name

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_NODES = 200_000
EDITORS = "# yaml-language-server:"
"""The comment that names a file's schema: https://github.com/redhat-developer/yaml-language-server."""


def yaml() -> YAML:
    """A reader and writer that keeps comments, quotes and order."""
    reader = YAML(typ="rt")
    reader.preserve_quotes = True
    reader.width = 1 << 30  # ruamel.yaml folds double-quoted text within an escape: `\\n` came back as `\\ n`
    reader.allow_duplicate_keys = False
    return reader


def parse(text: str, where: str) -> CommentedMap:
    """The YAML tree of a mapping with line numbers.

    Raises:
        PromptError: if the text is too large, is not YAML, or is not a mapping.
    """
    tree = parse_any(text, where)
    if not isinstance(tree, CommentedMap):
        sentence = "a prompt file is a mapping with at least name and messages."
        raise PromptError(f"{where}:1: {sentence}", mistakes=[(1, sentence)])
    return tree


def parse_any(text: str, where: str) -> Any:
    """The YAML tree of any value, with line numbers.

    Raises:
        PromptError: if the text is too large or is not YAML.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise PromptError(f"{where}: larger than {MAX_BYTES} bytes.", remedy="Put the cases into a testDataFile.")
    try:
        return yaml().load(text)
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
        reasons = str(error.problem if isinstance(error, MarkedYAMLError) else error).splitlines()
        sentence = f"not valid YAML: {reasons[0] if reasons else 'cannot be read'}."
        if reasons and "another document" in reasons[0]:
            sentence = "a second YAML document begins here. A file has one: put the other into a file of its own."
        raise PromptError(f"{where}:{line}: {sentence}", mistakes=[(line, sentence)]) from None


def dump(value: Any) -> str:
    """A tree, or plain values, as YAML text."""
    stream = io.StringIO()
    yaml().dump(value, stream)
    return stream.getvalue()


def header(text: str) -> str:
    """The comments above a file's first key, without the line that names its schema."""
    lines = []
    for line in text.lstrip("\n").splitlines(keepends=True):
        if line.strip() and not line.startswith("#"):
            break
        if not line.startswith(EDITORS):
            lines.append(line)
    return "".join(lines)


def naming_schema(text: str, path: str) -> str:
    """The text with a first line that names the schema at `path` for editors, in place of any such line."""
    lines = [line for line in text.lstrip("\n").splitlines(keepends=True) if not line.startswith(EDITORS)]
    return f"{EDITORS} $schema={path}\n" + "".join(lines)


def commented(node: Any) -> bool:
    """Whether a tree from `parse` has a comment below its first key. `header` finds the comments above."""
    if not isinstance(node, (CommentedMap, CommentedSeq)):
        return False
    below = node.values() if isinstance(node, CommentedMap) else node
    return "#" in str([node.ca.items, node.ca.end]) or any(commented(child) for child in below)


def plain(node: Any, where: str = "<text>", scalar: Callable[[Any], Any] = lambda value: value) -> Any:
    """YAML's own types as plain values. `scalar` may replace a number or a date, as another reader of YAML does.

    Raises:
        PromptError: if the tree is too deep, or too large with all aliases expanded.
    """
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
        value = scalar(node)
        if isinstance(value, int):
            return int(value)
        return float(value) if isinstance(value, float) else str(value)

    return walk(node, 0)


def rewritten(tree: CommentedMap) -> Iterator[tuple[tuple[Any, ...], str]]:
    """The values of `testData` that are numbers or dates, but are written otherwise: the place, and a sentence."""
    rows = tree.get("testData")
    for number, row in enumerate(rows if isinstance(rows, CommentedSeq) else ()):
        for name, value in row.items() if isinstance(row, CommentedMap) else ():
            if isinstance(value, str | bool) or value is None or isinstance(value, CommentedMap | CommentedSeq):
                continue
            written, read = dump({"k": value})[3:].strip(), json.dumps(plain(value))
            if written != read.strip('"') or read.startswith('"'):
                place = ("testData", number, name)
                yield place, f"testData.{number}.{short_name(name)} is not in quotes, and is read as {read}."


def line_of(tree: Any, path: tuple[Any, ...]) -> int:
    """The line of the deepest part of `path` that exists, from 1."""
    line, node = 1, tree
    for part in path:
        if not isinstance(node, (CommentedMap, CommentedSeq)):
            break
        try:
            position = node.lc.key(part) if isinstance(node, CommentedMap) else node.lc.item(part)
            line, node = position[0] + 1, node[part]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return line
