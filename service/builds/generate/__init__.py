"""Makers: what turns a brief into files. Two behind one protocol, and a way to edit what is there.

`plan` lets the model fill a typed plan and renders it with our templates; even the smallest model yields a valid site.
`write` lets a capable model write whole files, or edits. A maker knows the brief, the files so far and what failed;
it asks through a function that it is given, and knows nothing of engines, forges or workflows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from service.builds.brief import Attachment
from service.builds.generate.attachment_rules import unchanged
from service.errors import BuildError
from service.prompts.run import Result


class UnusableAnswer(BuildError):
    """The model's answer cannot be used; the message says why, and may be shown to it."""


class TruncatedAnswer(UnusableAnswer):
    """The answer ended before its end. `files` are what was written, with the page closed; None where that is not
    plain."""

    def __init__(self, message: str, files: dict[str, bytes] | None) -> None:
        super().__init__(message)
        self.files = files


class AskModel(Protocol):
    """Run a promoted prompt by name. Raises SameboatErrors."""

    def __call__(self, prompt: str, inputs: Mapping[str, Any]) -> Result:
        """The result; it may have a `problem`."""


@dataclass(frozen=True)
class EarlierRound:
    """A round before this one, by its number and its brief."""

    round: int
    brief: str


@dataclass(frozen=True)
class Job:
    """What is to be made. `previous` are the files of the round before, or of the attempt that is being repaired."""

    title: str
    brief: str
    checks: tuple[str, ...]
    attachments: tuple[Attachment, ...]
    author: str
    year: int
    previous: Mapping[str, bytes] | None = None
    failures: tuple[str, ...] = ()
    sources: tuple[Attachment, ...] = ()  # documents that the brief points to; they do not go into the repository
    refused: tuple[str, ...] = ()  # why answers before this one could not be used
    earlier: tuple[EarlierRound, ...] = ()  # the rounds before this one, oldest first
    kept_checks: tuple[str, ...] = ()  # expressions of earlier rounds that must stay true
    readme: bytes | None = None  # the maker's own README of an attempt before, in this round
    notes: tuple[str, ...] = ()  # what the README has to say of the result

    @property
    def kept(self) -> tuple[Attachment, ...]:
        """The attachments that land byte for byte: all but those that the brief itself says to change."""
        return unchanged(self.brief, self.attachments)


class Maker(Protocol):
    """One way of making files."""

    def make(self, job: Job, ask: AskModel) -> dict[str, bytes]:
        """The site's own files. Raises UnusableAnswer for an answer that is no good, EngineError for none."""


def shorten(text: str, characters: int) -> str:
    """At most so many characters, and where some are left out, the text says so."""
    if len(text) <= characters:
        return text
    return f"{text[:characters]}\n[{len(text) - characters} more characters are left out here]"


def describe_attachments(
    attachments: tuple[Attachment, ...], characters: int, sources: tuple[Attachment, ...] = ()
) -> str:
    """The attachments and sources as a model is told of them: name, type, size, and of text the beginning."""
    if not attachments and not sources:
        return "none"
    share = characters // (len(attachments) + len(sources))
    lines = []
    for each in (*attachments, *sources):
        where = f"at ./{each.name}" if each in attachments else "fetched for you to read, not beside the page"
        lines.append(f"- {each.name} ({each.media_type}, {len(each.data)} bytes), {where}")
        if each.text is not None:
            lines.append(shorten(each.text, share))
    return "\n".join(lines)
