"""Chooses pieces for a brief and fills their parameters from its words.

In: a `Reading`. Out: plans, the most fitting one first. A plan is a title and pieces with parameters, as the
functions of `pieces/` take them.

Not here: reading the brief (`reading`), titles (`titles`), how each piece fits (`fit_forms`, `fit_controls`,
`fit_contents`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    fit_text,
    fit_tools,
    fit_units,
    fit_views,
    fit_words,
    fit_writing,
)
from service.builds.generate.blocks.counted import repeated
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
WORKED = (  # elements that do nothing without a piece or a rule
    "button", "input", "textarea", "select", "checkbox", "output", "list", "table", "canvas", "svg", "progress",
)  # fmt: skip
ENTERS = {  # the boxes in which Enter starts the action of a piece
    "guess": "input",
    "hangman": "input",
    "kanban": "item",
    "list": "item",
    "lookup": "input",
    "message": "inputs",
    "property": "input",
    "records": "fields",
    "scramble": "answer",
    "sequence": "input",
    "tags": "input",
}
Plan = dict[str, Any]


def matches(reading: Reading) -> list[PieceFit]:
    """All pieces that fit, the most fitting one first."""
    hit = [match for fit in FITS if (match := fit(reading)) is not None]
    return sorted(hit, key=lambda match: -match.score)


def plans(reading: Reading, task: str = "", *, whole: bool = True) -> list[Plan]:
    """Plans of pieces that share no element. The first one takes the most fitting pieces. `task`: its name.

    A plan that leaves a control or an output of the brief without any work comes after the whole ones. `whole`: without
    a whole plan there is none, because a model is asked first then.
    """
    hit = matches(reading)
    chosen_plans: list[Plan] = []
    for lead in range(min(MOST_PLANS, len(hit))):
        order = [hit[lead], *(match for match in hit if match is not hit[lead])]
        chosen = [match.plain() for match in together(order)]
        plan = {"title": title(reading.brief, task), "pieces": chosen, **beside(reading, chosen)}
        if plan not in chosen_plans:
            chosen_plans.append(plan)
    chosen_plans.sort(key=lambda plan: bool(left_out(reading, plan)))
    return chosen_plans if not whole or (chosen_plans and not left_out(reading, chosen_plans[0])) else []


def left_out(reading: Reading, plan: Plan) -> list[str]:
    """The controls and outputs of the brief that no piece and no rule of a plan works on.

    The buttons in a form submit it.
    """
    seen = {*_texts([plan["pieces"], plan.get("rules", {})]), *repeated(reading)}
    form = next(iter(reading.of("form")), None)
    inside = reading.elements[reading.elements.index(form) :] if form and form.id in seen else ()
    return [
        one.id for one in reading.of(*WORKED) if one.id not in seen and not (one.kind == "button" and one in inside)
    ]


def _texts(value: Any) -> Iterator[str]:
    """All texts in the parameters of a plan."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from value
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def beside(reading: Reading, pieces: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rules of the brief that these pieces do not keep themselves, and the elements that start an action."""
    names = {piece["piece"] for piece in pieces}
    own = {effect for name in names for effect in OWN_RULES.get(name, ())}
    rules = [rule.plain() for rule in rules_of(reading) if rule.effect not in (*own, *ASKED)]
    acts = dict.fromkeys(piece[key] for piece in pieces for key in ("add", "button", "form") if key in piece)
    enters = list(dict.fromkeys(name for piece in pieces for name in _enters(piece)))
    more = {"enters": enters} if enters else {}
    return {"rules": {"rules": rules, "acts": list(acts), **more}} if pieces and rules else {}


def _enters(piece: Mapping[str, Any]) -> Iterator[str]:
    """The boxes in which Enter starts the action of this piece."""
    told = () if piece.get("live") or piece.get("form") else piece.get(ENTERS.get(piece["piece"], ""), ())
    for box in [told] if isinstance(told, str) else told:
        yield box if isinstance(box, str) else box["id"]


def together(order: Iterable[PieceFit]) -> list[PieceFit]:
    """The pieces in this order that share no element with an earlier one."""
    taken: set[str] = set()
    chosen: list[PieceFit] = []
    for match in order:
        if match.ids.isdisjoint(taken) and match.piece not in {other.piece for other in chosen}:
            chosen.append(match)
            taken |= match.ids
    return chosen
