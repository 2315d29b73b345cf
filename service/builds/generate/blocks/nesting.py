"""Which element stands in which other one: `the form #log with the box #km`, `the button #close in the dialog`.

In: the elements of a brief. Out: for an element's id that of the form or box that holds it. The brief must say it.
Not here: the elements (`reading`), their markup (`page`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import TYPE_CHECKING

from service.builds.generate.blocks.notation import KEYED

if TYPE_CHECKING:
    from service.builds.generate.blocks.reading import Element


NOUN = (
    r"(?:check ?box(?:es)?|text ?areas?|selects?|drop-?downs?|sliders?|pickers?|box(?:es)?|fields?|inputs?|buttons?"
    r"|tables?|lists?|images?|pictures?|paragraphs?|spans?|headings?|links?|canvas|elements?|outputs?|lines?|forms?)"
)
WORDS = r"(?:(?!(?:of|in|into|from|to|when|if|as|shows?|is|are|that)\b)[\w'’-]+\s+){0,3}"
QUOTE = r"(?:\s*[\"“][^\"“”]{0,40}[\"”])?"
TOLD = (  # nothing, `the text box `, `two boxes named `, `the boxes title (`
    rf"(?:(?:an?|the|one|two|three|four|five)\s+)?(?:{WORDS}{NOUN}\b{QUOTE}(?::\s*)?"
    rf"(?:\s*(?:\bfor\s+)?{WORDS}[\w'’-]+)??\s*\(?\s*(?:with\s+(?:the\s+)?)?|{WORDS}[\w'’-]+\s*\(\s*)?"
)
REST = r"\s*(?:\([^()]{0,60}\)\s*)?\)?\s*"  # of the element before
HOLDS = re.compile(
    rf"{REST}(?:,[^,#.;]{{1,40}})?,?\s*(?:(?:that|which)\s+(?:has|have|holds|contains|takes|includes|consists of)"
    rf"|(?P<verb>has|have|holds|contains|takes|includes|consists of)|with|holding|containing|:)\s+{TOLD}",
    re.I,
)
AND = re.compile(rf"{REST}(?:,\s*(?:and\s+)?|and\s+)(?:with\s+)?{TOLD}", re.I)
IN = re.compile(
    rf"{REST}(?:(?:is|are|stands?|sits?)\s+)?(?:in|inside|within)\s+(?:the|an?)\s+{WORDS}\(?\s*(?:with\s+(?:the\s+)?)?",
    re.I,
)
PLACE = r"forms?|dialog|modal|section|panel|pop-?up|overlay|nav|article|container|div"
IN_IT = re.compile(
    rf"{REST}(?:in|inside|within)\s+(?:it\b|(?:the|this)\s+(?P<place>{PLACE})\b)(?!\s*(?:#|\(|with\b|id\b))", re.I
)
SAYS = re.compile(
    rf"{REST}(?:shows?|tells?|says|displays?|gives?|counts?|lists?|names|appears?|becomes?|is|are|has|have|reads|holds"
    r"|turns|gets|changes|moves|stays|disappears)\b",
    re.I,
)
SHOWS = re.compile(rf"{REST}(?:shows?|tells?|says|displays?|gives?|counts?|lists?|reads)\b", re.I)
LAST = re.compile(r"(?P<comma>,\s*)?(?<=[\s,])and\s+#(?P<one>[\w-]+)(?:\s+and\s+#(?P<two>[\w-]+))?(?:\s*\([^()]*\))?$")
SHOWN = re.compile(r"\b(?:shows?|writes?|puts?|displays?)\b", re.I)  # `shows the text of the input #a in it`
CONTROLS = ("input", "textarea", "select", "checkbox", "button")


def held(elements: Mapping[str, Element]) -> dict[str, str]:
    """For each element that the brief tells to be in a form or a box, the id of that one."""
    hit: dict[str, str] = {}
    places: list[Element] = []  # the forms and boxes so far, the last one at the end
    for sentence in dict.fromkeys(element.sentence for element in elements.values() if element.sentence):
        inner: Element | None = None  # the form or box of which the parts are listed here
        says_holds = False  # by a verb, so that the next verb has another subject: `has #a and #b is`
        before: list[Element] = []
        end = 0
        for match, own in _named(sentence, elements):
            between, right = sentence[end : match.start()], match.end()
            one = own[0]
            if one.kind in ("form", "box"):
                if before and IN.fullmatch(between):
                    hit.update({other.id: one.id for other in _standing_in(one, before) if other.id not in hit})
                elif one.kind == "form" and inner is not None and inner.kind == "box" and HOLDS.fullmatch(between):
                    hit[one.id] = inner.id
                inner = one if len(own) == 1 else None
                places.append(one)
            else:
                there = _place(IN_IT.match(sentence, right), places)
                first = bool(before) and before[-1] is inner
                holds = HOLDS.fullmatch(between) if first else None
                says_holds = holds["verb"] is not None if holds else says_holds
                if inner is not None and (
                    holds
                    if first
                    else AND.fullmatch(between)
                    and not (one.kind in ("unknown", "output") and SAYS.match(sentence, right))
                ):
                    hit.update({other.id: inner.id for other in _parts(match, own, says_holds) if other.id not in hit})
                else:
                    inner = None
                    if there is not None and one.kind in CONTROLS and not SHOWN.search(between):
                        hit.update({other.id: there.id for other in own if other.id not in hit})
            listed = one.kind not in ("form", "box") and AND.fullmatch(between)
            before, end = [*before, *own] if listed else own, right
    return hit


def _named(sentence: str, elements: Mapping[str, Element]) -> Iterator[tuple[re.Match[str], list[Element]]]:
    """The elements that a sentence names first, with their places in it."""
    for match in KEYED.finditer(sentence):
        if (match["key"] or match["keys"] or "").lower().startswith("class"):
            continue
        told = re.findall(r"[A-Za-z][\w-]*", re.sub(r"\([^()]*\)", "", match["hash"] or match["one"] or match["many"]))
        known = [elements[name] for name in dict.fromkeys(told) if name in elements]
        own = [one for one in known if one.sentence == sentence]
        if own:
            yield match, own


def _standing_in(place: Element, before: list[Element]) -> list[Element]:
    """The last ones before a place that people use, if it is a place with parts."""
    if re.match(rf"(?:{PLACE})\b", place.text, re.I) is None:
        return []
    return list(takewhile(lambda one: one.kind in CONTROLS, reversed(before)))


def _parts(match: re.Match[str], own: list[Element], says_holds: bool) -> list[Element]:
    """Those of a list that are parts: up to a form or a box, which is a subject again, and to the next clause."""
    subjects = _next_subject(match, says_holds)
    return list(takewhile(lambda one: one.kind not in ("form", "box") and one.id not in subjects, own))


def _next_subject(match: re.Match[str], says_holds: bool) -> set[str]:
    """The last ids of a list that begin a clause: `#a and #b, and #sum shows the sum`, `has #a and #b is hidden`.

    Without a comma, `the form #f with #a and #b is hidden` is about the form.
    """
    last, says = LAST.search(match[0]), SAYS.match(match.string, match.end())
    if last is None or says is None:
        return set()
    listed = match[0][: last.start()].count(",") > 0  # `with #a, #b, and #c is hidden`
    if not says_holds and (last["comma"] is None or (listed and not SHOWS.match(match.string, match.end()))):
        return set()
    if last["two"] is None:
        return {last["one"]}
    return {last["one"], last["two"]} if re.search(r"\b(?:are|have)$", says[0]) else {last["two"]}


def _place(told: re.Match[str] | None, places: list[Element]) -> Element | None:
    """The place that `in it` or `in the dialog` means: the last one that was named so."""
    if told is None:
        return None
    word = told["place"]
    return next((one for one in reversed(places) if not word or one.text.lower().startswith(word.lower())), None)
