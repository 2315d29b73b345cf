"""Parses an answer as files: whole files in fences, SEARCH/REPLACE edits, or both.

In: an answer's text, the previous files, the names that the answer may not change. Out: the new and changed files.

Models name a file in many ways. Each way is accepted if it has one meaning. Everything else raises UnusableAnswer. Its
message gives the reason and the remedy, and is shown to the model and to the sender.

Not here: asking (`write`), matching edits (`edits`), recognising excerpts (`completeness`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from service import safe_paths
from service.builds import automation as automation_files
from service.builds.forge import STAMP
from service.builds.generate import UnusableAnswer
from service.builds.generate.completeness import is_truncated, omission
from service.builds.generate.edits import LONGEST_HEADING, PAGE, PATH, apply, split

KEPT = {"license", "build.json", ".nojekyll"}
MAX_FILES = 40
MAX_FILE_BYTES = 1_000_000
NONE: Mapping[str, bytes] = MappingProxyType({})

FENCE = re.compile(r"[ \t]{0,3}(?P<marks>`{3,}|~{3,})(?P<info>[^`\n]*)")
THINKING = re.compile(r"\A\s*<(think|thinking|reasoning)>.*?</\1>", re.DOTALL | re.IGNORECASE)
NAME = rf"(?:[`\"'][`*_\"']*)?(?P<path>{PATH.pattern})[`*_\"']*+"
FILE = re.compile(  # a line that only names a file, with or without a word for it
    r"[\s>#*_\-\d.)]*(?:(?:file ?(?:name|path)?|path)\b[\s:=*_]*)?" + NAME + r"(?:\s*\([^)\n]*\))?[\s:*_`]*",
    re.IGNORECASE,
)
KEYED = re.compile(r"[\s>#*_]*file ?(?:name|path)?[*_]*\s*[:=]\s*[`*_\"']*(?P<path>[^\s`*\"']+)", re.IGNORECASE)
QUOTED = re.compile(rf"[`*\"'](?P<path>{PATH.pattern})[`*\"']")
REMARK = re.compile(
    rf"\s*(?:<!--|/\*|//|#)\s*(?:file(?:name)?\s*:\s*)?(?P<path>{PATH.pattern})\s*+(?:-->|\*/)?\s*", re.IGNORECASE
)
INFO = re.compile(r"(?:^|[\s:=\"'{/])(?P<path>" + PATH.pattern + r")(?=$|[\s\"'}])")
WHOLE = re.compile(r"<!doctype html.*?</html\s*>", re.DOTALL | re.IGNORECASE)
END = re.compile(r"</html\s*>", re.IGNORECASE)
KINDS = {"javascript": "js", "htm": "html", "jsx": "js", "mjs": "js"}
LOOSE = ("", "html", "js", "css")  # blocks without a name that a page may be made of


@dataclass(frozen=True)
class Block:
    """One fenced block. `path` is None if it has no name. `ended` is False if its last fence is missing."""

    path: str | None
    kind: str
    body: str
    ended: bool


def parse_answer(
    text: str,
    previous: Mapping[str, bytes],
    attached: set[str],
    *,
    whole: bool = True,
    automation: bool = False,
) -> dict[str, bytes]:
    """The new and changed files of an answer.

    `whole`: False for an answer that was cut. `automation`: files that CI, Git or an editor runs or obeys are allowed.

    Raises:
        UnusableAnswer: if a file has no name, is an excerpt or cut, fits nowhere, or is not allowed in a repository.
    """
    text = THINKING.sub("", text.removeprefix("\ufeff").replace("\r\n", "\n"))
    edits, rest = split(text)
    fenced = [block for block in blocks(rest) if not edits or (block.path and block.body.strip())]
    if not whole and any(not block.ended and not _page(block.path, block.kind) for block in fenced):
        raise UnusableAnswer("The answer ends in the middle of a file.")
    named = _named(fenced, previous)
    if not named and not edits:
        named = _bare(rest, previous)
    before = {path: data.decode("utf-8", "replace") for path, data in previous.items() if b"\0" not in data}
    if edits:
        edits = [replace(edit, path=_path(edit.path) if edit.path else None) for edit in edits]
        if not previous and any(edit.old.strip() for edit in edits):
            raise UnusableAnswer("There is no file yet to search in; write each file whole.")
        if refused := [edit.path for edit in edits if edit.path and edit.path.lower() in KEPT]:
            raise UnusableAnswer(f"{refused[0]} is not edited.")
        changed = apply(edits, before)
        if twice := changed.keys() & named.keys():
            raise UnusableAnswer(f"{sorted(twice)[0]} is written whole and edited as well; do one of both.")
        named = {**named, **changed}
    written = {path: body for path, body in named.items() if path not in attached and path.lower() not in KEPT}
    if named and not written:
        raise UnusableAnswer(
            f"{sorted(named)[0]} is not to be changed: it came with the brief, or the build writes it."
        )
    _check(written, before, previous, whole=whole)
    _check_paths(written, previous, attached, automation=automation)
    return {path: body.encode("utf-8", "replace") for path, body in written.items()}


def _check(
    written: Mapping[str, str],
    before: Mapping[str, str],
    previous: Mapping[str, bytes],
    *,
    whole: bool,
) -> None:
    """Raises UnusableAnswer if the files cannot be published."""
    pages = {path for path in previous if _page(path, "")} & written.keys()  # the page may have another name
    if PAGE not in written and PAGE not in previous and not pages:
        names = f" It holds {', '.join(sorted(written))[:100]}." if written else ""
        raise UnusableAnswer(
            f"The answer holds no {PAGE}.{names} Each file must be a line 'FILE: path' and then a fence with all of it."
        )
    for path, body in written.items():
        if remark := omission(path, body, before.get(path, "")):
            raise UnusableAnswer(f"{path} is an excerpt and no whole file: {remark}. Write every line of it.")
        if whole and is_truncated(path, body):
            raise UnusableAnswer(f"{path} is cut: it ends before its </html>. Write it whole, and shorter.")
    if len(written) > MAX_FILES or any(
        len(body.encode("utf-8", "replace")) > MAX_FILE_BYTES for body in written.values()
    ):
        raise UnusableAnswer(f"At most {MAX_FILES} files of {MAX_FILE_BYTES} bytes.")


def _check_paths(
    written: Mapping[str, str], previous: Mapping[str, bytes], attached: set[str], *, automation: bool
) -> None:
    """Raises UnusableAnswer for a path that the repository cannot hold beside the others, or must not hold."""
    ours = ["LICENSE", "README.md", STAMP]
    kept = safe_paths.without_twins(dict.fromkeys(previous), [*ours, *attached])
    together = safe_paths.PathSet([*kept, *ours, *attached])
    for path in written:
        if path in previous or path in ours:
            continue
        if wrong := together.add(path):
            raise UnusableAnswer(f"{path[:80]!r} cannot be a file of the repository: it {wrong}.")
        if not automation and automation_files.obeyed(path):
            raise UnusableAnswer(f"{path[:80]!r} is not written here: CI, Git or an editor would run or obey it.")


def blocks(text: str) -> list[Block]:
    """The fenced blocks of an answer. A fence inside a page and a named fence inside another one do not end it."""
    lines = text.splitlines(keepends=True)
    result: list[Block] = []
    at = 0
    while at < len(lines):
        opening = FENCE.fullmatch(lines[at].rstrip("\n"))
        if opening is None:
            at += 1
            continue
        info = opening["info"].strip()
        kind = _kind(re.split(r"[\s:{=]", info, maxsplit=1)[0])
        path = _of_info(info) or _of_heading(lines[:at])
        if path and {kind, _kind(path)} <= {"html", "css", "js"} and kind != _kind(path):
            path = None  # "a page with Vue.js:" above a page names no file
        body, ended, at = _body(lines, at + 1, opening["marks"], page=_page(path, kind))
        if path is None and body and (remark := REMARK.fullmatch(body[0].rstrip("\n"))):
            path, body = remark["path"], body[1:]
        result.append(Block(path, kind, "".join(body), ended))
    return result


def _kind(name: str) -> str:
    """The kind of file, from a path or from an info string's first word."""
    ending = name.lower().rsplit(".", 1)[-1]
    return KINDS.get(ending, ending)


def _page(path: str | None, kind: str) -> bool:
    return _kind(path or kind) == "html"


def _body(lines: list[str], start: int, marks: str, *, page: bool) -> tuple[list[str], bool, int]:
    """A block's lines, whether its fence is closed, and where the text goes on."""
    body: list[str] = []
    inner: list[str] = []
    at = start
    while at < len(lines):
        line = lines[at].rstrip("\n")
        fence = FENCE.fullmatch(line)
        if fence is not None and fence["marks"][0] == marks[0] and len(fence["marks"]) >= len(marks):
            if fence["info"].strip():
                if not inner and _of_heading(lines[:at], strict=True) and (not page or _complete(body)):
                    return _without_heading(body), False, _heading_at(lines, at)
                inner.append(fence["marks"])
            elif inner:
                inner.pop()
            elif not page or not _goes_on(body, lines[at + 1 :]):
                return body, True, at + 1
        elif page and (KEYED.match(line) or HTML_AFTER.match(line)) and _complete(body):
            return _trimmed(body), False, at
        body.append(lines[at])
        at += 1
    if page and (end := [number for number, line in enumerate(body) if re.search(r"</html\s*>", line, re.IGNORECASE)]):
        return body[: end[-1] + 1], False, at
    if inner and not page:
        raise UnusableAnswer("A fence is opened within a file and not closed; use a longer fence around the file.")
    return body, False, at


HTML_AFTER = re.compile(r"(?:#{1,6} |\*\*)\S")  # a Markdown heading behind a page's end


def _complete(body: list[str]) -> bool:
    """Whether a page is closed, or is a fragment without <html> and <body>."""
    text = "".join(body)
    begun = re.search(r"<(?:html|body)\b", text, re.IGNORECASE)
    return begun is None or re.search(r"</html\s*>\s*$|</body\s*>\s*$", text, re.IGNORECASE) is not None


def _goes_on(body: list[str], rest: list[str]) -> bool:
    """Whether the page goes on after this fence: an element that is open is closed later, in the same file."""
    text = "".join(body).lower()
    opened = [tag for tag in ("pre", "textarea", "script") if text.count(f"<{tag}") > text.count(f"</{tag}")]
    if not opened and _complete(body):
        return False
    ends = [f"</{tag}" for tag in opened] or ["</html"]
    for line in rest:
        if KEYED.match(line) or re.search(r"<!doctype html|<html\b", line, re.IGNORECASE):
            return False
        if any(end in line.lower() for end in ends):
            return True
    return False


def _of_info(info: str) -> str | None:
    """The path in a fence's info string: ```html index.html, ```html:index.html, title="index.html"."""
    named = [match["path"] for match in INFO.finditer(info[:LONGEST_HEADING])]
    return named[-1] if named else None


def _of_heading(lines: list[str], *, strict: bool = False) -> str | None:
    """The path that the lines before a fence name. The last line may have any form, the one before it is a heading.

    Raises UnusableAnswer if it is no path of a repository.
    """
    last = True
    for line in reversed([near.strip() for near in lines[-6:] if near.strip()][-2:]):
        if FENCE.match(line) or len(line) > LONGEST_HEADING:
            return None
        if keyed := KEYED.match(line):
            return _path(keyed["path"].rstrip(":,"))
        named = FILE.fullmatch(line) or REMARK.fullmatch(line)
        if named and (last or line[0] in "#*`"):
            return named["path"]
        if strict or not last:
            return None
        quoted = {match["path"] for match in QUOTED.finditer(line)}
        ends = re.findall(rf"(?<![\w/.]){PATH.pattern}(?![\w/])", line) if line.rstrip(" *_").endswith(":") else []
        if len(quoted) == 1 or len(ends) == 1:
            return quoted.pop() if len(quoted) == 1 else str(ends[0])
        last = False
    return None


def _heading_at(lines: list[str], fence: int) -> int:
    """The index of the line that names the fence."""
    at = fence - 1
    while not lines[at].strip():
        at -= 1
    return at


def _without_heading(body: list[str]) -> list[str]:
    return _trimmed(_trimmed(body)[:-1])


def _trimmed(body: list[str]) -> list[str]:
    """The lines without the blank ones at the end."""
    kept = list(body)
    while kept and not kept[-1].strip():
        kept.pop()
    return kept


def _named(fenced: list[Block], previous: Mapping[str, bytes]) -> dict[str, str]:
    """Contents by path. A block without a name gets one if only one is possible. Raises UnusableAnswer."""
    named: dict[str, str] = {}
    loose = [block for block in fenced if block.path is None and block.kind in LOOSE and block.body.strip()]
    for block in fenced:
        if block.path is None:
            continue
        path = _path(block.path)
        if path in named and named[path] != block.body:
            raise UnusableAnswer(f"{path} is given twice, with different contents.")
        named[path] = block.body
    pages = [block for block in loose if block.kind == "html" or _wholes(block.body)]
    if PAGE not in named and pages:
        whole = [
            block for block in pages if re.search(r"<!doctype|<html\b|<body\b", block.body, re.IGNORECASE)
        ] or pages
        if len(whole) > 1 and len({block.body for block in whole}) > 1:
            raise UnusableAnswer(f"{len(whole)} pages have no name; write a line 'FILE: path' above each of them.")
        named[PAGE] = whole[0].body
    page = named[PAGE] if PAGE in named else previous.get(PAGE, b"").decode("utf-8", "replace")
    for kind, pattern in (("js", SCRIPT_OF), ("css", SHEET_OF)):
        nameless = [block for block in loose if block.kind == kind]
        missing = {_local(match[1]) for match in pattern.finditer(page)} - {None, *named, *previous}
        if kind == "css":
            missing -= {"style.css"} if not nameless else set()
        if nameless and missing:
            if len(nameless) > 1 or len(missing) > 1:
                raise UnusableAnswer(f"A block of {kind} has no name; write a line 'FILE: path' above each file.")
            named[str(missing.pop())] = nameless[0].body
    return named


SCRIPT_OF = re.compile(r"<script\b[^<>]*\bsrc\s*=\s*[\"']?([^\"'\s<>]+)", re.IGNORECASE)
SHEET_OF = re.compile(r"<link\b[^<>]*\bhref\s*=\s*[\"']?([^\"'\s<>]+\.css)", re.IGNORECASE)


def _local(url: str) -> str | None:
    """The path of a URL that leads to a file beside the page."""
    return None if re.match(r"(?:[a-z][a-z0-9+.-]*:|//)", url, re.IGNORECASE) else url.removeprefix("./").lstrip("/")


def _wholes(text: str) -> list[str]:
    """Every page from its doctype to its </html>. The text behind the last </html> is not searched."""
    ends = [match.end() for match in END.finditer(text)]
    return [str(page) for page in WHOLE.findall(text, 0, ends[-1])] if ends else []


def _bare(text: str, previous: Mapping[str, bytes]) -> dict[str, str]:
    """A page without a fence. Raises UnusableAnswer with a description of any other answer."""
    pages = _wholes(text)
    if len(pages) == 1:
        return {PAGE: pages[0] + "\n"}
    if re.match(r"\s*<!doctype html", text, re.IGNORECASE):
        return {PAGE: text.lstrip()}
    if re.search(r"(?m)^(?:--- |\+\+\+ |@@ )", text):
        raise UnusableAnswer(
            "The answer is a diff, which is not read; write each changed file whole under 'FILE: path'."
        )
    if "```" in text or "~~~" in text:
        raise UnusableAnswer(
            f"The answer holds no {PAGE}: no block has a name. Write a line 'FILE: path' above each file's fence."
        )
    raise UnusableAnswer(
        f"The answer holds no {PAGE}, only words. Each file must be a line 'FILE: path' and then a fence."
    )


def _path(path: str) -> str:
    """A path inside the repository. Raises UnusableAnswer."""
    path = path.removeprefix("./")
    if wrong := safe_paths.wrong_path(path):
        raise UnusableAnswer(f"{path[:80]!r} cannot be a file of the repository: it {wrong}.")
    return "README.md" if path.lower() == "readme.md" else path
