"""Chooses pieces for a brief and fills their parameters from its words.

In: a `Reading`. Out: plans, the most fitting one first. A plan is a title and pieces with parameters, as the
functions of `pieces/` take them.

Not here: reading the brief (`reading`), titles (`titles`), how each piece fits (`fit_forms`, `fit_controls`,
`fit_contents`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from service.builds.generate.blocks import (
    fit_boards,
    fit_contents,
    fit_controls,
    fit_data,
    fit_entries,
    fit_forms,
    fit_games,
    fit_lists,
    fit_marks,
    fit_offices,
    fit_pages,
    fit_preferences,
    fit_prices,
    fit_text,
    fit_tools,
    fit_units,
    fit_views,
    fit_words,
    fit_writing,
)
from service.builds.generate.blocks.fitting import PieceFit
from service.builds.generate.blocks.reading import Reading
from service.builds.generate.blocks.rules import rules_of
from service.builds.generate.blocks.titles import title

FITS = (
    *fit_data.FITS,
    *fit_contents.FITS,
    *fit_entries.FITS,
    *fit_controls.FITS,
    *fit_views.FITS,
    *fit_marks.FITS,
    *fit_games.FITS,
    *fit_pages.FITS,
    *fit_boards.FITS,
    *fit_preferences.FITS,
    *fit_prices.FITS,
    *fit_lists.FITS,
    *fit_offices.FITS,
    *fit_writing.FITS,
    *fit_words.FITS,
    *fit_tools.FITS,
    *fit_units.FITS,
    *fit_forms.FITS,
    *fit_text.FITS,
)
MOST_PLANS = 3
ASKED = ("order", "bounds")  # effects for which pieces ask
OWN_RULES = {  # effects that a piece sees to itself
    "appointments": ("cleared", "disabled", "text"),
    "converter": ("key",),
    "dialog": ("key",),
    "gallery": ("marks",),
    "gradient": ("number",),
    "guess": ("key",),
    "hangman": ("cleared", "disabled", "key", "text"),
    "kanban": ("cleared", "key"),
    "life": ("marks",),
    "lightbox": ("key",),
    "list": ("cleared", "marks", "key"),
    "lookup": ("key",),
    "message": ("cleared", "text", "key"),
    "minefield": ("marks", "text"),
    "paint": ("marks",),
    "property": ("key",),
    "records": ("cleared", "key"),
    "scramble": ("cleared", "key", "text"),
    "sequence": ("key",),
    "snake": ("key",),
    "suggestions": ("cleared", "key"),
    "tags": ("cleared", "key"),
    "toggles": ("marks",),
    "validation": ("refused", "disabled", "cleared", "text"),
}
Plan = dict[str, Any]


def matches(reading: Reading) -> list[PieceFit]:
    """All pieces that fit, the most fitting one first."""
    hit = [match for fit in FITS if (match := fit(reading)) is not None]
    return sorted(hit, key=lambda match: -match.score)


def plans(reading: Reading, task: str = "") -> list[Plan]:
    """Plans of pieces that share no element. The first one takes the most fitting pieces. `task`: its name."""
    hit = matches(reading)
    chosen_plans: list[Plan] = []
    for lead in range(min(MOST_PLANS, len(hit))):
        order = [hit[lead], *(match for match in hit if match is not hit[lead])]
        chosen = [match.plain() for match in together(order)]
        plan = {"title": title(reading.brief, task), "pieces": chosen, **beside(reading, chosen)}
        if plan not in chosen_plans:
            chosen_plans.append(plan)
    return chosen_plans


def beside(reading: Reading, pieces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rules of the brief that these pieces do not keep themselves, and the elements that start an action."""
    names = {piece["piece"] for piece in pieces}
    own = {effect for name in names for effect in OWN_RULES.get(name, ())}
    rules = [rule.plain() for rule in rules_of(reading) if rule.effect not in (*own, *ASKED)]
    acts = dict.fromkeys(piece[key] for piece in pieces for key in ("add", "button", "form") if key in piece)
    return {"rules": {"rules": rules, "acts": list(acts)}} if pieces and rules else {}


def together(order: Iterable[PieceFit]) -> list[PieceFit]:
    """The pieces in this order that share no element with an earlier one."""
    taken: set[str] = set()
    chosen: list[PieceFit] = []
    for match in order:
        if match.ids.isdisjoint(taken) and match.piece not in {other.piece for other in chosen}:
            chosen.append(match)
            taken |= match.ids
    return chosen
