"""SEARCH/REPLACE blocks: found in an answer and applied to the previous files, all of them or none.

In: an answer's text, the previous files. Out: the files that change, or UnusableAnswer with the reason.

Matching follows aider's documented format and its users' reports: whole lines first, then a unique part of a line, then
lines that differ in indentation or trailing spaces only. A line `...` stands for lines that stay. A text that occurs
more than once is refused.

Not here: whole files (`answer_parser`), and the next question after a refusal (`write`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from service.builds.generate import UnusableAnswer

PATH = re.compile(r"(?:\.?/)?(?:[\w.@+-]+/)*[\w@+-][\w.@+-]*\.[A-Za-z][A-Za-z0-9]{0,9}")  # a file name with an ending
FENCE = re.compile(r"\s*(?:`{3,}|~{3,})")
HEAD = re.compile(r"<{5,9} ?(?:SEARCH|ORIGINAL)>?[ \t]*(?P<path>.*)")
MIDDLE = re.compile(r"={5,9}[ \t]*")
TAIL = re.compile(r">{5,9} ?(?:REPLACE|UPDATED)>?[ \t]*")
ELISION = re.compile(r"[ \t]*(?:\.\.\.|…)[ \t]*")
PAGE = "index.html"
LONGEST_HEADING = 200  # characters of a line that names a file


@dataclass(frozen=True)
class Edit:
    """One block. `path` is None if the answer names no file."""

    path: str | None
    old: str
    new: str


def split(text: str) -> tuple[list[Edit], str]:
    """The blocks of an answer, and the answer without them.

    It raises UnusableAnswer for a block without an end.
    """
    edits: list[Edit] = []
    rest: list[str] = []
    path: str | None = None
    lines = iter(text.splitlines(keepends=True))
    for line in lines:
        head = HEAD.fullmatch(line.rstrip())
        if head is None:
            rest.append(line)
            continue
        path = _named(head["path"]) or _above(rest) or path
        old = _until(lines, MIDDLE, "=======")
        new = _until(lines, TAIL, ">>>>>>> REPLACE")
        edits.append(Edit(path, old, new))
    return edits, "".join(rest)


def _until(lines: Iterator[str], end: re.Pattern[str], name: str) -> str:
    part: list[str] = []
    for line in lines:
        if end.fullmatch(line.rstrip()):
            return "".join(part)
        if HEAD.fullmatch(line.rstrip()):
            break
        part.append(line)
    raise UnusableAnswer(f"A SEARCH block has no line '{name}': the block is cut or not closed.")


def _named(text: str) -> str | None:
    path = PATH.fullmatch(text.strip().strip("`*:#\"' "))
    return path[0] if path else None


def _above(lines: list[str]) -> str | None:
    """The path above a block, with or without a fence between them. It is removed from the lines."""
    for back in range(1, min(4, len(lines)) + 1):
        line = lines[-back].strip()
        if len(line) > LONGEST_HEADING:
            return None
        if not line or FENCE.fullmatch(line) or (FENCE.match(line) and not PATH.search(line)):
            continue
        named = PATH.findall(line)
        if len(named) == 1 and (_named(line) or re.match(r"(?i)[#*\s]*file(?:name)?\b", line)):
            lines[-back] = "\n"
            return str(named[0])
        return None
    return None


def apply(edits: list[Edit], previous: Mapping[str, str]) -> dict[str, str]:
    """The changed files.

    Raises:
        UnusableAnswer: if one edit does not fit. Then no file is changed.
    """
    changed: dict[str, str] = {}
    for edit in edits:
        path = (edit.path or PAGE).removeprefix("./")
        there = {**previous, **changed}
        if edit.path is None and PAGE in there and not _fits(there[PAGE], edit):
            fitting = [name for name, text in there.items() if _fits(text, edit)]
            path = fitting[0] if len(fitting) == 1 else PAGE
        if path not in there:
            if edit.old.strip():
                raise UnusableAnswer(f"There is no file {path} to search in.")
            changed[path] = edit.new
            continue
        if not edit.old.strip():
            if there[path].strip():
                raise UnusableAnswer(f"A SEARCH text for {path} is empty; it must name the lines that are replaced.")
            changed[path] = edit.new
            continue
        changed[path] = _replaced(path, there[path], edit)
    return changed


def _fits(text: str, edit: Edit) -> bool:
    try:
        _replaced("", text, edit)
    except UnusableAnswer:
        return False
    return True


def _replaced(path: str, text: str, edit: Edit) -> str:
    """The text with the edit. Raises UnusableAnswer if it fits nowhere, or in several places."""
    if text and not text.endswith("\n"):
        return _replaced(path, text + "\n", edit).removesuffix("\n")
    if any(ELISION.fullmatch(line) for line in edit.old.splitlines()):
        return _elided(path, text, edit)
    for way in (_lines, _part, _indented, _indented_part):
        results = way(text, edit.old, edit.new)
        if len(results) == 1:
            return results[0]()
        if results:
            raise UnusableAnswer(
                f"A SEARCH text occurs {len(results)} times in {path}; add lines around it until it occurs once: "
                f"{_shown(edit.old)}"
            )
    raise UnusableAnswer(f"A SEARCH text occurs 0 times in {path}; copy its lines exactly: {_shown(edit.old)}")


Ways = list[Callable[[], str]]  # for each place that fits, a function that gives the text with the replacement


def _lines(text: str, old: str, new: str) -> Ways:
    """Whole lines, exactly."""
    return [
        lambda at=at: text[:at] + new + text[at + len(old) :]  # type: ignore[misc]
        for at in _places(text, old)
        if at == 0 or text[at - 1] == "\n"
    ]


def _part(text: str, old: str, new: str) -> Ways:
    """A part of a line, or of several, exactly."""
    old, new = old.strip("\n"), new.strip("\n")
    return [lambda at=at: text[:at] + new + text[at + len(old) :] for at in _places(text, old)]  # type: ignore[misc]


def _places(text: str, old: str) -> list[int]:
    return [match.start() for match in re.finditer(f"(?={re.escape(old)})", text)]


def _indented(text: str, old: str, new: str) -> Ways:
    """Whole lines that differ only in indentation and trailing spaces. Blank lines around them stay."""
    searched, lines = old.strip("\n").splitlines(), text.splitlines(keepends=True)
    keys = [line.strip() for line in searched]
    ways: Ways = []
    for at in range(len(lines) - len(keys) + 1):
        here = lines[at : at + len(keys)]
        if [line.strip() for line in here] != keys:
            continue
        shift = {
            _indent(old_line): _indent(line) for old_line, line in zip(searched, here, strict=True) if old_line.strip()
        }
        block = "".join(_shifted(line, shift) for line in new.strip("\n").splitlines(keepends=True))
        block += "" if block.endswith("\n") or not block else "\n"
        ways.append(lambda at=at, block=block: "".join([*lines[:at], block, *lines[at + len(keys) :]]))  # type: ignore[misc]
    return ways


def _indented_part(text: str, old: str, new: str) -> Ways:
    """A part of lines that differ only in indentation."""
    searched = old.strip("\n").splitlines()
    keys = [re.escape(line.strip()) for line in searched]
    ways: Ways = []
    for match in re.finditer(r"[ \t]*+\n[ \t]*+".join(keys), text):
        here = match[0].splitlines()
        shift = {
            _indent(old_line): _indent(line)
            for old_line, line in zip(searched[1:], here[1:], strict=True)
            if old_line.strip()
        }
        first, *more = new.strip().splitlines(keepends=True) or [""]
        block = first + "".join(_shifted(line, shift) for line in more)
        ways.append(lambda match=match, block=block: text[: match.start()] + block + text[match.end() :])  # type: ignore[misc]
    return ways


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _shifted(line: str, shift: Mapping[str, str]) -> str:
    """A new line with the file's indentation instead of the block's."""
    own = _indent(line)
    known = [indent for indent in shift if own.startswith(indent)]
    if not line.strip() or not known:
        return line if not shift or not line.strip() else min(shift.values(), key=len) + line.lstrip(" \t")
    nearest = max(known, key=len)
    return shift[nearest] + own[len(nearest) :] + line[len(own) :]


def _elided(path: str, text: str, edit: Edit) -> str:
    """A block with lines `...`. The parts between them are replaced one by one, and the rest stays."""
    old, new = _parts(edit.old), _parts(edit.new)
    if len(old) != len(new):
        raise UnusableAnswer(
            f"A block for {path} leaves out lines with '...' {len(old) - 1} times in SEARCH and {len(new) - 1} times "
            "in REPLACE; it must be the same number, or write the lines out."
        )
    for before, after in zip(old, new, strict=True):
        if before.strip():
            text = _replaced(path, text, Edit(edit.path, before, after))
        elif after.strip():
            raise UnusableAnswer(f"A block for {path} adds lines next to '...' without a line that says where.")
    return text


def _parts(text: str) -> list[str]:
    parts = [""]
    for line in text.splitlines(keepends=True):
        if ELISION.fullmatch(line.rstrip("\n")):
            parts.append("")
        else:
            parts[-1] += line
    return parts


def _shown(text: str) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return repr(first[:60])
