"""The maker of pieces: tested building blocks with the ids, texts and files of the brief.

In: a job. Out: the files of a candidate, the most fitting one first. They are chosen
by the brief's words and ask no model.

Not here: the pieces (`blocks`), which candidate is kept (`generation_steps`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from service.builds.generate import Job, UnusableAnswer
from service.builds.generate.blocks import matching, page
from service.builds.generate.blocks.reading import Reading, read


class NoPieceFits(UnusableAnswer):
    """No piece fits the brief."""


class PieceMaker:
    """The maker of pieces. It numbers its candidates, and is no `Maker`, because it asks nobody."""

    def planned(self, job: Job, number: int, *, whole: bool = True) -> dict[str, bytes]:
        """The page of the plan with this number. Without `whole`, a plan may be of a part of the brief only.

        Raises:
            NoPieceFits: if there are fewer plans.
        """
        brief = reading(job)
        plans = matching.plans(brief, job.title, whole=whole)
        if number >= len(plans):
            raise NoPieceFits("No piece fits the words of the brief." if not plans else "No further piece fits.")
        return page.pages(brief, plans[number])


def reading(job: Job) -> Reading:
    """The brief with those of earlier rounds, and the files that are there."""
    brief = " ".join([*(earlier.brief for earlier in job.earlier), job.brief])
    files: dict[str, str | None] = {path: _text(data) for path, data in (job.previous or {}).items() if not _ours(path)}
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
