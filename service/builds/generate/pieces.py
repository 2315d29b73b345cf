"""The maker of pieces: tested building blocks with the ids, texts and files of the brief.

In: a job, and a function that asks a model. Out: files of candidates, the most fitting one first. The first ones are
chosen by the brief's words and ask no model. The last one is a model's plan of pieces, under a grammar.

Not here: the pieces (`blocks`), which candidate is kept (`generation_steps`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from service.builds.generate import AskModel, Job, UnusableAnswer, describe_attachments, shorten
from service.builds.generate.blocks import matching, page
from service.builds.generate.blocks.reading import Reading, read
from service.builds.generate.blocks.schema import usable

BRIEF_CHARACTERS = 3000


class NoPieceFits(UnusableAnswer):
    """No piece fits the brief."""


class PieceMaker:
    """The maker of pieces."""

    def planned(self, job: Job, number: int) -> dict[str, bytes]:
        """The page of the plan with this number.

        Raises:
            NoPieceFits: if there are fewer plans.
        """
        reading = self.reading(job)
        plans = matching.plans(reading)
        if number >= len(plans):
            raise NoPieceFits("No piece fits the words of the brief." if not plans else "No further piece fits.")
        return page.pages(reading, plans[number])

    def make(self, job: Job, ask: AskModel) -> dict[str, bytes]:
        """The page of a model's plan.

        Raises:
            UnusableAnswer: if its plan cannot be used.
        """
        reading = self.reading(job)
        result = ask("build-pieces", self.inputs(job, reading))
        if result.problem is not None or not isinstance(result.value, dict):
            raise UnusableAnswer(f"The plan cannot be used: {result.problem or 'it is no object'}.")
        return page.pages(reading, usable(reading, result.value))

    def inputs(self, job: Job, reading: Reading) -> dict[str, str]:
        """The question to the model: the brief, its elements and its files."""
        elements = "\n".join(f"- {element.kind} {element.id}" for element in reading.elements) or "none"
        return {
            "brief": shorten(reading.brief, BRIEF_CHARACTERS),
            "elements": elements,
            "attachments": shorten(describe_attachments(job.attachments, 600), 800),
        }

    def reading(self, job: Job) -> Reading:
        """The brief with those of earlier rounds, and the files that are there."""
        brief = " ".join([*(earlier.brief for earlier in job.earlier), job.brief])
        files: dict[str, str | None] = {
            path: _text(data) for path, data in (job.previous or {}).items() if not _ours(path)
        }
        files |= {attachment.name: attachment.text for attachment in job.attachments}
        return read(brief, [*job.expressions, *job.kept_checks], files)


def _ours(path: str) -> bool:
    return re.search(r"\.(?:html?|js|css)$|^(?:LICENSE|README\.md|build\.json|\.nojekyll)$|^vendor/", path) is not None


def _text(data: bytes) -> str | None:
    try:
        return None if b"\0" in data else data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def made_of_pieces(files: Mapping[str, Any]) -> bool:
    """Whether a site was made of pieces."""
    return page.PIECES in files
