"""The page of a plan: the elements that the brief names, and a call of each piece.

In: a `Reading` and a plan. Out: `index.html`, and `pieces.js` with the functions of its pieces.

The elements stand in the order of the brief, with its ids. Every text is the brief's, the plan's or an id as words. Not
here: the choice of pieces (`matching`), libraries (`libraries`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from html import escape
from itertools import accumulate
from pathlib import Path
from typing import Any

from service.builds.generate.blocks.counted import bounds, maximum, repeated
from service.builds.generate.blocks.fitting import json_value
from service.builds.generate.blocks.formulas import arrow
from service.builds.generate.blocks.input_types import input_type
from service.builds.generate.blocks.reading import Element, Reading

RULES = "rules"
PIECES = "pieces.js"  # ours, like style.css: a model that changes the page is not shown it
MOST_OPTIONS = 1000  # of the selects of a page
FOLDER = Path(__file__).parent / "pieces"
LIBRARIES = {
    "markdown": ("vendor/marked.umd.js",),
    "highlights": ("vendor/highlight.min.js",),
    "chart": ("vendor/chart.umd.js",),
}
NAMED_SCRIPTS = (
    (r"seedrandom", "vendor/seedrandom.min.js"),
    (r"papa ?parse", "vendor/papaparse.min.js"),
    (r"chart\.?js", "vendor/chart.umd.js"),
    (r"\bmarked\b", "vendor/marked.umd.js"),
    (r"highlight\.?js", "vendor/highlight.min.js"),
)
NAMED_STYLES = ((r"\bbootstrap\b", "vendor/bootstrap.min.css"), (r"highlight\.?js", "vendor/highlight.min.css"))
SUBMITS = re.compile(r"submit|send|add|save|sign|search|look|go|log|find|put", re.IGNORECASE)
STATUS = re.compile(
    r"\b(message|msg|status|state|error|err|problem|feedback|ok|success|info|alert|note|notice|warning|hint)\b"
)
CLEARS = re.compile(r"\b(?:clear|reset|cancel|close|back|delete|remove|undo)\b", re.IGNORECASE)


def pages(reading: Reading, plan: Mapping[str, Any]) -> dict[str, bytes]:
    """The two files of a plan."""
    used = sorted({piece["piece"] for piece in _calls(plan)})
    return {"index.html": html(reading, plan).encode(), PIECES: script(tuple(used)).encode()}


def _calls(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The pieces of a plan, and its rules as the last one."""
    rules = plan.get("rules")
    return [*plan["pieces"], *([{"piece": RULES, **rules}] if rules else [])]


@cache
def names() -> tuple[str, ...]:
    """The names of all pieces."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.js") if path.stem not in ("common", RULES)))


@cache
def script(used: tuple[str, ...]) -> str:
    """The functions of these pieces, as one object `pieces`."""
    parts = [(FOLDER / f"{name}.js").read_text(encoding="utf-8") for name in ("common", *used)]
    return f"const pieces = (() => {{\n{''.join(parts)}return {{ {', '.join(used)} }};\n}})();\n"


def html(reading: Reading, plan: Mapping[str, Any], script: str | None = None) -> str:
    """The page. A call of a piece stands for its behaviour: `pieces.timer({...})`. `script`: a file in their place."""
    body = _PageBody(reading, plan)
    parts = list(body.parts())
    language = next((piece["codes"][0] for piece in plan["pieces"] if piece.get("codes")), "en")
    head = [
        "<!DOCTYPE html>",
        f'<html lang="{escape(language)}">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(plan['title'])}</title>",
        '<link rel="icon" href="data:,">',
        '<link rel="stylesheet" href="style.css">',
    ]
    head[-1:-1] = [f'<link rel="stylesheet" href="{path}">' for words, path in NAMED_STYLES if reading.says(words)]
    scripts = [f'<script src="{path}"></script>' for path in dict.fromkeys(_libraries(reading, plan))]
    calls = [f'<script src="{PIECES}"></script>', "<script>", *map(call, _calls(plan)), "</script>"]
    return "\n".join(
        [
            *head,
            "</head>",
            "<body>",
            "<main>",
            *parts,
            "</main>",
            *scripts,
            *([f'<script src="{script}"></script>'] if script else calls),
            "</body>",
            "</html>",
            "",
        ]
    )


def call(piece: Mapping[str, Any]) -> str:
    """The call of a piece with its parameters."""
    options = {key: value for key, value in piece.items() if key != "piece"}
    works = ""
    if piece["piece"] == "calculator":
        names_ = [one["name"] for one in piece["inputs"]] + [one["name"] for one in piece["results"] if "name" in one]
        works = ", [" + ", ".join(arrow(one["formula"], names_) for one in piece["results"]) + "]"
        options["results"] = [
            {key: value for key, value in one.items() if key != "formula"} for one in piece["results"]
        ]
    text = json.dumps(options, ensure_ascii=False).replace("<", "\\u003c")  # no text ends or opens a script
    return f"pieces.{piece['piece']}({text}{works});"


def _libraries(reading: Reading, plan: Mapping[str, Any]) -> Iterator[str]:
    yield from (path for words, path in NAMED_SCRIPTS if reading.says(words))
    for piece in plan["pieces"]:
        if piece["piece"] == "markdown":
            yield from LIBRARIES["markdown"]
            if piece.get("highlights"):
                yield from LIBRARIES["highlights"]
        elif piece.get("chartLibrary"):
            yield from LIBRARIES["chart"]


class _PageBody:
    """The parts of `main`."""

    def __init__(self, reading: Reading, plan: Mapping[str, Any]) -> None:
        self.reading = reading
        self.plan = plan
        self.pieces = {piece["piece"]: piece for piece in plan["pieces"]}
        self.numbers = self._numbers()
        self.filled = self._filled()
        steps = [step["id"] for step in self.pieces.get("wizard", {}).get("steps", [])]
        self.opened = {*steps, self.pieces.get("dialog", {}).get("box")}  # their text is there, and is shown later
        self.by_id = {element.id: element for element in reading.elements}
        totals = accumulate(len(element.options) for element in reading.elements)
        self.listed = {one.id for one, total in zip(reading.elements, totals, strict=True) if total <= MOST_OPTIONS}
        self.contents = self._contents()
        self.repeated = {} if plan["pieces"] and not {"rating", "toggles"} & self.pieces.keys() else repeated(reading)

    def _numbers(self) -> set[str]:
        ids = {one["id"] for one in self.pieces.get("calculator", {}).get("inputs", [])}
        return ids | {
            str(self.pieces.get(piece, {}).get(slot))
            for piece, slot in (("converter", "value"), ("timer", "length"), ("facts", "scale"), ("text", "shift"))
        }

    def _filled(self) -> set[str]:
        """The elements that a piece fills with others."""
        told = [
            piece.get(slot)
            for piece in self.pieces.values()
            for slot in ("place", "board", "cards", "painted", "thumbs")
        ]
        return {one for value in told if value for one in (value if isinstance(value, list) else [value])}

    def parts(self) -> Iterator[str]:
        """The heading, the elements, and the parts that pieces need beside them."""
        if not (self.reading.elements and self.reading.elements[0].kind == "heading") and not self._translated_title():
            yield f"<h1>{escape(self.plan['title'])}</h1>"
        for text in [*self.plan.get("paragraphs", ()), *self._paragraphs()]:
            yield f"<p>{escape(text)}</p>"
        yield from self._extra()
        groups = {slot: self._group(slot) for slot in ("columns", "tabs")}
        inside = {one.id for elements in self.contents.values() for one in elements}
        named = self.pieces.get("tabs", {})
        held = {one for ids in named.get("holds", {}).values() for one in ids}
        for element in self.reading.elements:
            if "names" in named and element.id in (*named["panels"], *held):
                if element.id == next(one.id for one in self.reading.elements if one.id in (*named["panels"], *held)):
                    yield from self._named_tabs(named)
                continue
            first_of = next((slot for slot, ids in groups.items() if ids and element.id == ids[0]), None)
            if first_of == "columns":
                yield (
                    '<div style="display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, '
                    'minmax(11rem, 1fr))">'
                )
                for one in groups["columns"]:
                    yield f"<section><h2>{escape(label(self.by_id[one]))}</h2>{self._markup(self.by_id[one])}</section>"
                yield "</div>"
            elif first_of == "tabs":
                yield '<div role="tablist">'
                yield from (self._markup(self.by_id[one]) for one in groups["tabs"])
                yield "</div>"
            elif any(element.id in ids for ids in groups.values()) or element.id in inside:
                continue
            else:
                yield self._markup(element)

    def _named_tabs(self, piece: Mapping[str, Any]) -> Iterator[str]:
        """Tabs without ids of their own, and their panels with the elements in them."""
        yield f'<div role="tablist" aria-label="{escape(self.plan["title"])}">'
        yield from (f'<button type="button" role="tab">{escape(tab)}</button>' for tab in piece["names"])
        yield "</div>"
        for panel, tab in zip(piece["panels"], piece["names"], strict=True):
            yield f'<section id="{panel}"><h2>{escape(tab)}</h2>'
            yield from (self._markup(self.by_id[one]) for one in piece.get("holds", {}).get(panel, ()))
            yield "</section>"

    def _group(self, slot: str) -> list[str]:
        ids: list[str] = next((piece[slot] for piece in self.pieces.values() if slot in piece), [])
        return [one for one in ids if one in self.by_id]

    def _contents(self) -> dict[str, list[Element]]:
        """For a form or a box the elements in it. Pieces know no boxes with elements of the brief in them."""
        inside = {
            name: place
            for name, place in self.reading.inside.items()
            if self.by_id[place].kind == "form" or (self.by_id[place].kind == "box" and not self.plan["pieces"])
        }
        form: Element | None = None
        for element in self.reading.elements:
            if element.kind == "form":
                form = element
            elif form is not None and element.id not in inside and _is_of_a_form(element):
                inside[element.id] = form.id
        hit: dict[str, list[Element]] = {}
        for element in self.reading.elements:
            if element.id in inside:
                hit.setdefault(inside[element.id], []).append(element)
        return hit

    def _form(self, form: Element) -> Iterator[str]:
        inside = self.contents.get(form.id, [])
        buttons = [one for one in inside if one.kind == "button"]
        sent = [one for one in buttons if _is_of_a_form(one)] or [
            one for one in buttons if not CLEARS.search(one.words)
        ][:1]
        yield f'<form id="{form.id}"{"" if self.plan["pieces"] else " novalidate"}>'  # a script tells what is wrong
        for one in inside:
            yield self._markup(one, submits=one in sent)
        if not sent:
            yield f'<button type="submit">{escape(form.words.capitalize())}</button>'
        yield "</form>"

    def _translated_title(self) -> bool:
        return "languages" in self.pieces and "file" in self.pieces["languages"]

    def _paragraphs(self) -> Iterator[str]:
        """As many paragraphs as the brief asks for without an id, with its own words."""
        if self.plan.get("paragraphs"):
            return
        count = re.search(
            r"\b(a|one|two|three|2|3) (?:short )?paragraphs?\b(?! with (?:the )?id|,? [`#\"'(])", self.reading.brief
        )
        if count:
            number = {"two": 2, "2": 2, "three": 3, "3": 3}.get(count[1], 1)
            yield from [
                f"This page is about {self.plan['title'][:1].lower()}{self.plan['title'][1:]}.",
                "It has no further text yet.",
                "",
            ][:number]

    def _extra(self) -> Iterator[str]:
        """Elements that a piece needs and the brief does not give an id."""
        words = self.pieces.get("languages")
        if words and "file" in words:
            own = {words.get("elements", {}).get(element.id) or element.id for element in self.reading.elements}
            headed = any(element.kind == "heading" for element in self.reading.elements)
            for number, key in enumerate(_text_keys(self.reading.files.get(words["file"]))):
                if key in own:
                    continue  # an element of the brief shows it
                tag = "h1" if number == 0 and not headed else "p"
                yield f'<{tag} {words.get("attribute", "data-text")}="{escape(key)}"></{tag}>'
        folds = self.pieces.get("disclosure")
        if folds and "buttonClass" in folds:
            told = self.plan.get("folds") or [
                (f"{_word(folds['buttonClass'])} {n}", f"{_word(folds['panelClass'])} {n}")
                for n in range(1, folds.get("count", 3) + 1)
            ]
            for button, panel in told:
                yield (
                    f'<div><button type="button" class="{folds["buttonClass"]}" '
                    f'aria-expanded="false">{escape(button)}</button>'
                )
                yield f'<div class="{folds["panelClass"]}" hidden>{escape(panel)}</div></div>'

    def _markup(self, element: Element, *, submits: bool = False) -> str:
        one, words = element.id, escape(label(element))
        first = escape(element.first or "")
        hidden = " hidden" if self._hidden(element) else ""
        kind = element.kind
        if kind == "button":
            return f'<button type="{"submit" if submits else "button"}" id="{one}"{hidden}>{words}</button>'
        if kind in ("input", "textarea", "select", "checkbox"):
            return f'<p><label for="{one}">{words}</label> {self._field(element, first)}</p>'
        if kind == "table":
            return (
                f'<div class="scroll"><table '
                f'id="{one}"><caption>{words}</caption><thead></thead><tbody></tbody></table></div>'
            )
        if kind == "list":
            tag = "ol" if re.search(r"\bol\b|(?<!un)ordered list", element.text) else "ul"
            return f'<{tag} id="{one}" aria-label="{words}"{hidden}></{tag}>'
        if kind == "image":
            return f'<img id="{one}" alt="{words}">'
        if kind == "progress":
            bar = f'<progress id="{one}" max="{maximum(element)}" value="0"></progress>'
            return f'<p><label for="{one}">{words}</label> {bar}</p>'
        if kind == "canvas":
            return f'<canvas id="{one}" role="img" aria-label="{words}"></canvas>'
        if kind == "svg":
            return f'<svg id="{one}" role="img" aria-label="{words}"></svg>'
        if kind == "heading":
            return f'<h1 id="{one}"{hidden}>{first or escape(self.plan["title"])}</h1>'
        if kind == "link":
            return f'<p><a id="{one}" href="#">{words}</a></p>'
        if kind == "form":
            return "\n".join(self._form(element))
        if one == self._none():
            quoted = re.search(r"[\"“]([^\"”]{1,80})[\"”]", element.text)
            return f'<p id="{one}" role="status" hidden>{first or (escape(quoted[1]) if quoted else words)}</p>'
        parts = "".join(f"\n{self._markup(part)}" for part in self.contents.get(one, ()))
        if one in self.repeated:
            return f'<div id="{one}">{self.repeated[one]}{parts}</div>'
        if one in self.filled and kind != "box":
            return f'<div id="{one}" aria-label="{words}" role="group"{hidden}></div>'
        if one in self.opened:
            return f'<div id="{one}"{hidden}>{escape(element.label or _only_quote(element))}</div>'
        if kind == "box" or one in self._group("panels") or self._group("choices"):
            text = self.plan.get("texts", {}).get(
                one, "" if kind == "box" and one not in self._group("panels") else label(element)
            )
            tag = told[0].lower() if (told := re.match(r"nav|section|article", element.text, re.I)) else "div"
            if re.match(r"dialog element\b", element.text, re.I) and not self.plan["pieces"]:
                tag, hidden = "dialog", ""  # it is closed at first
            return f'<{tag} id="{one}"{hidden}>{escape(text)}{parts}</{tag}>'
        if (
            re.match(r"paragraph\b", element.text, re.I)
            and not self.plan["pieces"]
            and not STATUS.search(element.words)
        ):
            return f'<p id="{one}"{hidden}>{first or escape(element.label or "")}</p>'
        if hidden:
            return f'<p id="{one}" role="status" hidden>{first or escape(element.label or "") or words}</p>'
        if STATUS.search(element.words):
            return f'<p id="{one}" role="status">{first}</p>'
        return f'<p>{words}: <output id="{one}">{first}</output></p>'

    def _none(self) -> str | None:
        """The element of the message that nothing was found. Its piece shows it."""
        none: str | None = self.pieces.get("data", {}).get("none")
        return none

    def _hidden(self, element: Element) -> bool:
        """Whether it is hidden at first. One that appears later needs a script, and something that is there to show."""
        if element.hidden or self.plan["pieces"]:
            return element.hidden
        return element.appears and bool(element.kind in ("box", "button") or element.label or element.first)

    def _field(self, element: Element, first: str) -> str:
        one = element.id
        if element.kind == "textarea":
            return f'<textarea id="{one}">{first}</textarea>'
        if element.kind == "checkbox":
            return f'<input id="{one}" type="checkbox">'
        if element.kind == "select":
            known = self.pieces.get("converter", {})
            options = (element.options if one in self.listed else ()) or (
                tuple(known.get("units", ())) if one in (known.get("from"), known.get("to")) else ()
            )
            chosen = element.first or (options[1] if one == known.get("to") and len(options) > 1 else "")
            marked = "".join(
                f'<option value="{escape(text)}"{" selected" if text == chosen else ""}>{escape(text)}</option>'
                for text in options
            )
            return f'<select id="{one}">{marked}</select>'
        kind = "number" if one in self.numbers else input_type(element, first, self.reading)
        more = ' step="any"' if kind == "number" else bounds(element) if kind == "range" else ""
        value = f' value="{first.lower() if kind == "color" else first}"' if first else ""
        return f'<input id="{one}" type="{kind}"{more}{value} autocomplete="off">'


def _is_of_a_form(element: Element) -> bool:
    """Whether an element behind a form is in it: a box, or a button that sends it by its words."""
    if element.kind == "button":
        about = "" if CLEARS.search(element.words) else element.text  # `the buttons #save and #clear`
        return SUBMITS.search(f"{element.words} {about}") is not None
    return element.kind in ("input", "textarea", "select", "checkbox")


def label(element: Element) -> str:
    """The text on or beside an element: the one that the brief gives, or its id as words."""
    text = element.label if element.kind not in ("output", "heading", "box") else None  # those have it later
    return text or element.words.capitalize()


def _only_quote(element: Element) -> str:
    """The only text in quotes in the words about an element."""
    texts = re.findall(r"[\"“]([^\"”]{1,200})[\"”]", element.text)
    return texts[0] if len(texts) == 1 and texts[0] != element.id else ""


def _word(name: str) -> str:
    return re.sub(r"[-_]", " ", name).capitalize()


def _text_keys(text: str | None) -> list[str]:
    """The keys of the texts of a file of languages."""
    value = json_value(text)
    first = next(iter(value.values()), None) if isinstance(value, dict) else None
    if not isinstance(first, dict):
        return []
    by_language = all(re.fullmatch(r"[a-z]{2}(?:-\w+)?", key) for key in value)
    return list(first) if by_language else list(value)
