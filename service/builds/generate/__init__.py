"""Makers: they turn a brief into files.

In: a `Job` with the brief, the files so far and the failed checks, and a function that asks a model. Out: files.

`pieces` puts tested building blocks together. `write` lets a capable model write whole files, or edits. `plan` shows
the brief and its files where neither has a usable answer.

Not here: engines, forges and workflows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from service.builds.brief import Attachment
from service.builds.generate.attachment_rules import unchanged
from service.errors import BuildError
from service.prompts.run import Result

SHARED = 40  # characters


class UnusableAnswer(BuildError):
    """The model's answer cannot be used. The message gives the reason and may be shown to the model."""


class TruncatedAnswer(UnusableAnswer):
    """The answer was cut. `files`: the files so far, with the page closed. None if they cannot be used."""

    def __init__(self, message: str, files: dict[str, bytes] | None) -> None:
        super().__init__(message)
        self.files = files


class AskModel(Protocol):
    """Runs a promoted prompt by name. It may raise any SameboatError."""

    def __call__(self, prompt: str, inputs: Mapping[str, Any]) -> Result:
        """The result, which may have a `problem`."""


@dataclass(frozen=True)
class EarlierRound:
    """An earlier round: its number and its brief."""

    round: int
    brief: str


@dataclass(frozen=True)
class Job:
    """A task for a maker. `previous`: the files of the round before, or of the version that is repaired."""

    title: str
    brief: str
    checks: tuple[str, ...]
    attachments: tuple[Attachment, ...]
    author: str
    year: int
    previous: Mapping[str, bytes] | None = None
    failures: tuple[str, ...] = ()
    sources: tuple[Attachment, ...] = ()  # documents that the brief points to, not for the repository
    refused: tuple[str, ...] = ()  # the reasons why earlier answers could not be used
    earlier: tuple[EarlierRound, ...] = ()  # the rounds before this one, oldest first
    kept_checks: tuple[str, ...] = ()  # expressions of earlier rounds that must stay true
    readme: bytes | None = None  # the maker's own README of an earlier version in this round
    notes: tuple[str, ...] = ()  # sentences about the result, for the README
    expressions: tuple[str, ...] = ()  # the code of the checks, which no maker writes into a page

    @property
    def kept(self) -> tuple[Attachment, ...]:
        """The attachments that stay as they were sent: all but those that the brief says to change."""
        return unchanged(self.brief, self.attachments)


class Maker(Protocol):
    """One way of making files."""

    def make(self, job: Job, ask: AskModel) -> dict[str, bytes]:
        """The site's own files. Raises UnusableAnswer if the answer cannot be used, EngineError if there is none."""


def shorten(text: str, characters: int) -> str:
    """The text's first characters. If some are left out, a note at the end says how many."""
    if len(text) <= characters:
        return text
    return f"{text[:characters]}\n[{len(text) - characters} more characters are left out here]"


def describe_attachments(
    attachments: tuple[Attachment, ...], characters: int, sources: tuple[Attachment, ...] = ()
) -> str:
    """The attachments and sources for a prompt: name, type and size, and the start of texts."""
    if not attachments and not sources:
        return "none"
    share = characters // (len(attachments) + len(sources))
    lines = []
    for file in (*attachments, *sources):
        where = f"at ./{file.name}" if file in attachments else "fetched for you to read, not beside the page"
        lines.append(f"- {file.name} ({file.media_type}, {len(file.data)} bytes), {where}")
        if file.text is not None:
            lines.append(shorten(file.text, share))
    return "\n".join(lines)


def describe_checks(checks: tuple[str, ...], characters: int) -> str:
    """The checks for a prompt, one a line. Helpers with which several checks begin are told once."""
    if not checks:
        return "none"
    begin = _common_begin([check for check in checks if check.startswith("(")])
    rest = [f"- {'(…' + check[len(begin) :] if begin and check.startswith(begin) else check}" for check in checks]
    return shorten("\n".join([*([f"Checks with … begin with: {begin}"] if begin else []), *rest]), characters)


def _common_begin(checks: list[str]) -> str:
    """The statements with which all of these checks begin, if they are long enough to be told once."""
    if len(checks) < 2:
        return ""
    first, last = min(checks), max(checks)  # what these two share, all share
    same = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    begin = first[: first.rfind("; ", 0, same) + 2]
    return begin if len(begin) >= SHARED else ""
