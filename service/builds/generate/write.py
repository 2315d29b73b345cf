"""Write files: a capable model writes whole files, or edits that match exactly once, all of them or none.

The answer's form is plain text that small models keep to better than JSON: a line `FILE: path`, then the content in a
fence. Edits are SEARCH/REPLACE blocks. What does not parse is refused with a sentence that the model can act on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from types import MappingProxyType

from service.builds.forge import STAMP
from service.builds.generate import Ask, Job, Unusable, cut, offered
from service.builds.generate.frame import STYLE, style
from service.errors import PromptTooLong
from service.prompts.run import Result

FILE = re.compile(
    r"^[#*\s]*(?:FILE|File)[:\s]+[`*]*(?P<path>[^\s`*]+)[`*]*[^\n]*\n+"
    r"(?P<fence>`{3,})[^\n]*\n(?P<body>.*?)^(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
EDIT = re.compile(
    r"^<{5,9} SEARCH[ \t]*(?P<path>[^\n]*)\n(?P<old>.*?)^={5,9}[ \t]*\n(?P<new>.*?)^>{5,9} REPLACE[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
LONE_PAGE = re.compile(r"`{3,}html[^\n]*\n(?P<body>.*?)^`{3,}[ \t]*$", re.MULTILINE | re.DOTALL)
KEPT = {"license", "build.json", ".nojekyll"}
MAX_FILES = 40
MAX_FILE_BYTES = 1_000_000


class Write:
    """The maker for models that can write. `characters` is how much of brief, checks and attachments is told at most;
    where even that is too long for the model, half of it, and half again."""

    def __init__(self, characters: int) -> None:
        self.characters = characters

    def make(self, job: Job, ask: Ask) -> dict[str, bytes]:
        """Files anew, or the previous ones edited; what cannot be edited is written anew."""
        if job.previous is None or "index.html" not in job.previous:
            return self._whole(job, ask)
        prompt = "build-repair" if job.failures else "build-edit"
        try:
            result = self._ask(prompt, job, ask, {"files": shown(job.previous)} | self._failures(job))
        except PromptTooLong:  # the files are shown whole or not at all: half a file would be answered with half a file
            return self._whole(job, ask)
        try:
            return answered(result, job.previous, {each.name for each in job.kept})
        except Unusable:
            if job.failures:
                raise
            return self._whole(job, ask)

    def _whole(self, job: Job, ask: Ask) -> dict[str, bytes]:
        result = self._ask("build-files", job, ask, {})
        return answered(result, {}, {each.name for each in job.kept})

    def _ask(self, prompt: str, job: Job, ask: Ask, more: Mapping[str, str]) -> Result:
        for part in (1, 2, 4):
            share = self.characters // 3 // part
            checks = "\n".join(f"- {check}" for check in job.checks) or "none"
            told = {
                "brief": cut(job.brief, share),
                "checks": cut(checks, share),
                "attachments": offered(job.attachments, share, job.sources),
            }
            try:
                return ask(prompt, {**told, **more})
            except PromptTooLong:
                if part == 4:
                    raise
        raise AssertionError("the last part returns or raises")

    def _failures(self, job: Job) -> dict[str, str]:
        return {"failures": cut("\n".join(f"- {each}" for each in job.failures), 1500)} if job.failures else {}


def shown(previous: Mapping[str, bytes]) -> str:
    """The text files that a maker may change, whole, as it would write them."""
    blocks = []
    for path, data in sorted(previous.items(), key=lambda item: (item[0] != "index.html", item[0])):
        if path.lower() in KEPT or path == "README.md" or (path == STYLE and data == style()) or b"\0" in data:
            continue
        text = data.decode("utf-8", "replace")
        kind = path.rsplit(".", 1)[-1] if "." in path else ""
        blocks.append(f"FILE: {path}\n```{kind}\n{text}{'' if text.endswith(chr(10)) else chr(10)}```")
    return "\n\n".join(blocks)


def answered(result: Result, previous: Mapping[str, bytes], attached: set[str]) -> dict[str, bytes]:
    """The files that an answer gives or changes. Raises Unusable with a sentence that the model can act on."""
    if result.problem is not None:
        raise Unusable(result.problem)
    if result.answer.finish_reason == "length":
        raise Unusable("The answer was cut before the files were whole; write less.")
    return read(result.text, previous, attached)


def read(text: str, previous: Mapping[str, bytes], attached: set[str]) -> dict[str, bytes]:
    """Edits if there are any, else whole files. Raises Unusable, also for what no repository could hold."""
    edited = previous and EDIT.search(text)
    made = apply(edits(text), previous) if edited else files(text, attached, previous)
    every = {*made, *previous, *attached, "LICENSE", "README.md", STAMP}
    for path in every:
        for folder in map(str, PurePosixPath(path).parents):
            if folder in every:
                raise Unusable(f"{folder} is a file and cannot hold {path}.")
    return made


def files(text: str, attached: set[str], previous: Mapping[str, bytes] = MappingProxyType({})) -> dict[str, bytes]:
    """The files of an answer. Raises Unusable. Files that the build itself writes, and attachments, are left alone."""
    text = text.replace("\r\n", "\n")
    if not text.endswith("\n"):
        text += "\n"
    found = {match["path"]: match["body"] for match in FILE.finditer(text)}
    if not found and (match := LONE_PAGE.search(text)):
        found = {"index.html": match["body"]}
    if not found and re.match(r"\s*<!doctype html", text, re.IGNORECASE):
        found = {"index.html": text.lstrip()}
    kept = {_path(path): body.encode() for path, body in found.items() if path not in attached}
    kept = {path: body for path, body in kept.items() if path.lower() not in KEPT}
    if "index.html" not in kept and not (kept and "index.html" in previous):
        raise Unusable("The answer holds no index.html; each file must be a line 'FILE: path' and then a fence.")
    if len(kept) > MAX_FILES or any(len(body) > MAX_FILE_BYTES for body in kept.values()):
        raise Unusable(f"At most {MAX_FILES} files of {MAX_FILE_BYTES} bytes.")
    return kept


def _path(path: str) -> str:
    """A path inside the repository. Raises Unusable."""
    parts = path.removeprefix("./").split("/")
    if any(part in ("", ".", "..") or part.lower() == ".git" for part in parts) or "\\" in path or ":" in path:
        raise Unusable(f"{path!r} is not a path inside the repository.")
    return "/".join(parts)


def edits(text: str) -> list[tuple[str, str, str]]:
    """(path, search, replace) of every block; a block without a path means index.html."""
    text = text.replace("\r\n", "\n") + "\n"
    return [(_path(match["path"].strip() or "index.html"), match["old"], match["new"]) for match in EDIT.finditer(text)]


def apply(wanted: list[tuple[str, str, str]], previous: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that change. Every search must be found exactly once, or nothing is changed. Raises Unusable."""
    changed: dict[str, str] = {}
    for path, old, new in wanted:
        if path.lower() in KEPT:
            raise Unusable(f"{path} is not edited.")
        text = changed.get(path)
        if text is None:
            if path not in previous:
                if old.strip():
                    raise Unusable(f"There is no file {path}.")
                changed[path] = new
                continue
            text = previous[path].decode("utf-8", "replace")
        count = text.count(old) if old.strip() else 0
        if count != 1:
            raise Unusable(f"A SEARCH text occurs {count} times in {path}; it must occur exactly once.")
        changed[path] = text.replace(old, new)
    return {path: text.encode() for path, text in changed.items()}
