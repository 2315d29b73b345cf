"""Phrases about the text of an element: a sentence with blanks for typed values, and texts by thresholds.

In: the words about an element. Out: texts with `{id}` in the place of a value, and formulas of texts. Not here: the
fits (`fit_*`), words around a number (`fitting.around`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from service.builds.generate.blocks.reading import Element

QUOTE = re.compile(r"\"([^\"]{1,120})\"|“([^”]{1,120})”|(?<!\w)'([^']{1,120})'(?!\w)|`([^`]{1,120})`")
BLANK = re.compile(r"[<{\[](?P<marked>[A-Za-z][\w -]{0,30})[>}\]]|\b(?P<capitals>[A-Z]{3,}(?:[_-][A-Z]+)*|[A-Z]{2})\b")
GENERIC = {"name", "text", "value", "word", "words", "number", "input"}  # names of any box
STATES = {  # capitals that are a text themselves
    "empty", "error", "errors", "full", "hello", "hi", "invalid", "missing", "no", "none", "off", "ok", "on", "right",
    "too", "valid", "welcome", "wrong", "yes",
}  # fmt: skip
IN_MARKS = r"\"[^\"]{1,40}\"|“[^”]{1,40}”|(?<!\w)'[^']{1,40}'(?!\w)|`[^`]{1,40}`"
SAID = r"(?:shows?|says?|reads?|displays?|greets?|becomes|contains?|writes?)"
FOLLOWED = re.compile(  # `shows Welcome and the e-mail address`, `says "Hello, " followed by the name`
    rf"\b{SAID}\s+(?:\"(?P<quoted>[^\"]{{1,60}})\"|(?P<word>[A-Z][a-z]+(?: [a-z]+)?),?)\s+"
    r"(?:and|followed by|plus|with)\s+"
    r"(?:then\s+)?(?:the|their|his|her|its|your)\s+(?P<what>[\w-]+)"
)
LEVEL = re.compile(
    rf"(?P<name>{IN_MARKS}|[A-Za-z][\w-]*(?: [a-z]+)?)"
    r"\s*[(:]?\s*(?:is |means |for |if |when |with )?"
    r"(?:(?:it is|the \w+ is|it has)\s+)?(?:"
    r"(?:below|under|less than|fewer than|smaller than|<)\s*(?P<below>-?\d+(?:\.\d+)?)"
    r"|(?:up to|at most|<=|≤)\s*(?P<upto>-?\d+(?:\.\d+)?)"
    r"|(?:above|over|more than|greater than|>)\s*(?P<above>-?\d+(?:\.\d+)?)"
    r"|(?:from|at least|between|>=|≥)\s*(?P<least>-?\d+(?:\.\d+)?)"
    r"|(?P<range>-?\d+(?:\.\d+)?)\s*(?:-|–|to)\s*\d+(?:\.\d+)?"
    r"|(?P<more>-?\d+(?:\.\d+)?)\s*"
    r"(?:or more|and more|and above|or above|and over|or over|or higher|and up|upwards|\+))"
)
FIRST_BOUND = re.compile(  # `under 18 it shows "Too young", 18 or more shows "Welcome"`
    r"(?:\b(?:below|under|less than)\s+(?P<below>-?\d+(?:\.\d+)?)"
    r"|\b(?:above|over|more than)\s+(?P<above>-?\d+(?:\.\d+)?)"
    r"|\b(?:from|at least)\s+(?P<least>-?\d+(?:\.\d+)?)"
    r"|\b(?P<more>\d+(?:\.\d+)?)\s*(?:or more|or above|and above|and over|or older|\+))"
    r"[^.;\"“\d]{0,30}?\b(?:shows?|says?|reads?|gives?|is|means?|it's)\s+[\"“](?P<name>[^\"”]{1,40})[\"”]",
    re.I,
)
REST = re.compile(
    rf"\b(?:and|or) (?P<last>{IN_MARKS}|[\w-]+) otherwise\b|"
    r"(?:\b(?:or|and|else|otherwise)\s+(?:otherwise\s+)?)"
    rf"(?P<name>{IN_MARKS}|[A-Z][\w-]*)"
    r"(?!\s*[(:]?\s*(?:below|under|less|from|up to|at |above|over|more|\d))"
)
LEADS = {
    "a", "an", "the", "is", "and", "or", "be", "with", "of", "if", "when", "for", "from", "are", "at", "in", "has",
    "reads", "says", "shows", "it", "to", "as", "then", "otherwise", "characters", "long", "number", "value", "between",
}  # fmt: skip


def blanks(text: str, inputs: Sequence[Element]) -> str | None:
    """The sentence that an element shows, with `{id}` in the place of a typed text: `Hello, {who}!`."""
    for match in QUOTE.finditer(text):
        quoted = next(filter(None, match.groups()))
        if not BLANK.search(quoted):
            continue
        filled, known = _filled(quoted, inputs)
        if known:
            return filled
    told = FOLLOWED.search(text)
    if told and told["what"] not in ("time", "date", "number") and (one := _meant(told["what"], inputs, any_=None)):
        begin = told["quoted"] or told["word"]
        return f"{begin if begin.endswith(' ') else begin + ' '}{{{one.id}}}"
    return None


def _filled(quoted: str, inputs: Sequence[Element]) -> tuple[str, bool]:
    """The text with the ids of the boxes. As many further blanks as boxes are those boxes, in their order."""
    marked = {match["marked"] or match["capitals"]: bool(match["marked"]) for match in BLANK.finditer(quoted)}
    able = [word for word in marked if marked[word] or word.lower() not in STATES]
    if len(able) < len(marked) and not any(marked.values()) and quoted.isupper():
        return quoted, False  # `NO TEXT`
    if re.fullmatch(r"\W*[A-Z]+\W*", quoted):  # `PASS` beside a box of marks: a text, unless a box is named so
        own = GENERIC | {part for one in inputs for part in one.words.split()}
        able = [word for word in able if word.lower() in own]
    meant = {word: one for word in able if (one := _meant(word, inputs, any_=marked[word])) is not None}
    if len({one.id for one in meant.values()}) < len(meant):
        return quoted, False
    free = [one for one in inputs if one not in meant.values()]
    others = [word for word in able if word not in meant]
    if meant and len(others) == len(free):
        meant |= dict(zip(others, free, strict=True))

    def blank(match: re.Match[str]) -> str:
        one = meant.get(match["marked"] or match["capitals"])
        return match[0] if one is None else f"{{{one.id}}}"

    return BLANK.sub(blank, quoted), bool(meant)


def _meant(word: str, inputs: Sequence[Element], *, any_: bool | None = False) -> Element | None:
    """The box that a blank's name means: by its id, by the words about it, or the only one.

    `any_`: whether any name may mean the only one. Else a word such as NAME may, and with None no word.
    """
    words = re.sub(r"[\s_-]+", "", word).lower()
    for one in inputs:
        if words in (one.words.replace(" ", ""), one.id.lower()):
            return one
    for one in inputs:
        about = f"{one.words} {QUOTE.sub('', one.text)}".lower()
        pairs = {re.sub(r"[\s_-]+", "", pair) for pair in re.findall(r"(?=\b([a-z]+[ _-][a-z]+)\b)", about)}
        if words in pairs or words in re.findall(r"[a-z0-9]+", about):
            return one
    if len(inputs) != 1 or any_ is None:
        return None
    return inputs[0] if any_ or words in GENERIC else None


@dataclass(frozen=True)
class Level:
    """A text for values below or from a number."""

    name: str
    below: float | None = None
    up_to: float | None = None
    least: float | None = None
    above: float | None = None

    @property
    def place(self) -> float:
        """Where it stands among the others."""
        ends = [end for end in (self.least, self.above) if end is not None]
        return ends[0] if ends else min(end for end in (self.below, self.up_to) if end is not None) - 1e-6


def levels(text: str) -> list[Level]:
    """The texts by thresholds in a sentence, the lowest first: `cold below 10, mild from 10 to 24, else hot`."""
    told: list[Level] = []
    ends: list[int] = []
    turned = [*FIRST_BOUND.finditer(text)]
    for match in turned if len(turned) > 1 else LEVEL.finditer(text):
        name = match["name"] if len(turned) > 1 else _plain(match["name"])
        if not name:
            continue
        number = {key: float(value) for key, value in match.groupdict().items() if key != "name" and value}
        least = number.get("least", number.get("range", number.get("more")))
        told.append(Level(name, number.get("below"), number.get("upto"), least, number.get("above")))
        ends.append(match.end())
    if not told:
        return []
    others = [_plain(match["last"] or match["name"]) for match in REST.finditer(text, ends[-1])]
    rest = [one for one in others if one not in {level.name for level in told}]
    in_order = sorted(told, key=lambda one: one.place)
    if rest:
        other = Level(rest[0])
        upwards = all(one.below is not None or one.up_to is not None for one in told)
        in_order = [*in_order, other] if upwards else [other, *in_order]
    return in_order if len(in_order) > 1 and len({one.name for one in in_order}) == len(in_order) else []


def _plain(name: str) -> str:
    """The text without its marks, and without words that lead to it or away: `reads weak`, `medium from`."""
    if name[0] in "\"“'`":
        return name[1:-1]
    words = name.split()
    while words and words[0] in LEADS:
        words.pop(0)
    while words and words[-1] in LEADS:
        words.pop()
    return " ".join(words)


def by_levels(named: str, in_order: Sequence[Level]) -> str:
    """The formula that gives the text of a value: `v < 10 ? "cold" : "hot"`."""
    parts = []
    for one, following in pairwise(in_order):
        sign, end = next(
            (sign, end)
            for sign, end in (
                ("<", one.below), ("<=", one.up_to), ("<", following.least), ("<=", following.above), ("<", 0.0)
            )
            if end is not None
        )  # fmt: skip
        parts.append(f"{named} {sign} {end:g} ? {json.dumps(one.name, ensure_ascii=False)} : ")
    return "".join(parts) + json.dumps(in_order[-1].name, ensure_ascii=False)
