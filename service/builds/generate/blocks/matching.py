"""Chooses pieces for a brief and fills their parameters from its words.

In: a `Reading`. Out: plans, the most fitting one first. A plan is a title and pieces with parameters, as the
functions of `pieces/` take them.

Not here: reading the brief (`reading`), how each piece fits (`fit_forms`, `fit_controls`, `fit_contents`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from service.builds.generate.blocks import (
    fit_contents,
    fit_controls,
    fit_data,
    fit_entries,
    fit_forms,
    fit_games,
    fit_marks,
    fit_text,
    fit_tools,
    fit_units,
    fit_views,
)
from service.builds.generate.blocks.fitting import PieceFit
from service.builds.generate.blocks.reading import Reading

FITS = (
    *fit_data.FITS,
    *fit_contents.FITS,
    *fit_entries.FITS,
    *fit_controls.FITS,
    *fit_views.FITS,
    *fit_marks.FITS,
    *fit_games.FITS,
    *fit_tools.FITS,
    *fit_units.FITS,
    *fit_forms.FITS,
    *fit_text.FITS,
)
MOST_PLANS = 3
Plan = dict[str, Any]


def matches(reading: Reading) -> list[PieceFit]:
    """All pieces that fit, the most fitting one first."""
    hit = [match for fit in FITS if (match := fit(reading)) is not None]
    return sorted(hit, key=lambda match: -match.score)


def plans(reading: Reading) -> list[Plan]:
    """Plans of pieces that share no element. The first one takes the most fitting pieces."""
    hit = matches(reading)
    chosen_plans: list[Plan] = []
    for lead in range(min(MOST_PLANS, len(hit))):
        order = [hit[lead], *(match for match in hit if match is not hit[lead])]
        plan = {"title": title(reading.brief), "pieces": [match.plain() for match in together(order)]}
        if plan not in chosen_plans:
            chosen_plans.append(plan)
    return chosen_plans


def together(order: Iterable[PieceFit]) -> list[PieceFit]:
    """The pieces in this order that share no element with an earlier one."""
    taken: set[str] = set()
    chosen: list[PieceFit] = []
    for match in order:
        if match.ids.isdisjoint(taken) and match.piece not in {other.piece for other in chosen}:
            chosen.append(match)
            taken |= match.ids
    return chosen


def title(brief: str) -> str:
    """A title from the brief's own first words."""
    if told := re.search(r"\btitle\b[^.\"“]{0,20}[\"“]([^\"”]{1,60})[\"”]", brief):
        return told[1]
    first = re.split(r"(?<=[\w)])[.:;!?](?:\s|$)", brief.strip(), maxsplit=1)[0]
    if about := re.search(r"\bpage (?:about|for|of) (.{3,60}?)(?=,| with | that | where | and an? |$)", first):
        first = about[1]
    first = re.split(
        r" (?:in|into|inside|with|of|to) [\w ]{0,30}#| ?#|,| with (?:an? |the )?(?:id|ids)\b| that | "
        r"which | where | so that ",
        first,
        maxsplit=1,
    )[0]
    first = re.sub(
        r"^(?:please )?(?:(?:I|we) (?:need|want|would like)|create|make|build|publish|write"
        r"|show|display|add|fetch|read|load)\s+",
        "",
        first,
        flags=re.IGNORECASE,
    )
    first = re.sub(r"^(?:me )?(?:an?|the)\s+", "", first, flags=re.IGNORECASE)
    first = re.sub(
        r"^(?:page|app|site|single-page \w+)\s+(?:to|for|of|that)\s+", "", first, flags=re.IGNORECASE
    ).strip()
    first = re.sub(r",? please$", "", first, flags=re.IGNORECASE)
    words = first[:60].rsplit(" ", 1)[0] if len(first) > 60 else first
    words = re.sub(r"(?: (?:an?|the|as|of|with|in|and|to|for|or|by|on))+$", "", words)
    return words[:1].upper() + words[1:] or "Page"
