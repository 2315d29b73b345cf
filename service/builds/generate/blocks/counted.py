"""Numbers that a brief tells of its elements: how many of a class there are, the ends of a slider, a maximum.

In: a `Reading` or an element of it. Out: HTML. Not here: all other parts of the page (`page`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.reading import Element, Reading

COUNTS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
COUNTED = re.compile(
    rf"(?<!first )(?<!last )(?<!other )\b(?P<count>{'|'.join(COUNTS)}|\d{{1,2}})\s+"
    r"(?:[a-z]+\s+)?(?P<kind>[a-z]+?)(?:e?s)\b"
    r",?\s*(?:\(\s*|(?:with|of|having)\s+)(?:the\s+|an?\s+)?class(?:es)?(?:\s+name)?\s*[=:]?\s*"
    r"[\"'`.]?(?P<name>[A-Za-z][\w-]*)",
    re.IGNORECASE,
)
LATER = re.compile(  # left of a count: the elements are not there at first, or their number may differ
    r"\b(?:each|every|per|(?:when(?:ever)?|after|once)(?! the (?:page|site) (?:opens|loads|is))"
    r"|if|until|up to|at (?:most|least)|(?:more|less|fewer) than|maximum|max"
    r"|(?:press|click|tapp|hitt)ing|(?:add|make|create|put|draw|deal|insert|append|spawn|generate|produce)s)\b",
    re.IGNORECASE,
)
THEN = re.compile(  # right of it
    r"\b(?:appears?|comes?|(?:is|are|get) (?:shown|added|made|created|drawn|inserted|placed|put|dealt|generated))\b"
    r"[^.;]{0,80}?\b(?:when(?:ever)?|after|once|if|as soon|on (?:a |each |every )?(?:click|press|tap)\w*)\b",
    re.IGNORECASE,
)
AN_ID = r"(?:#|\bid\s*=?\s*)[\"'`#]?([A-Za-z][\w-]*)"
MOST_REPEATED = 64
END = r"(-?\d+(?:\.\d+)?)"
ENDS = re.compile(
    rf"(?<![\d.:/-]){END}\s?(?:%|°\w?|(?!(?:up|to|and)\b)[a-z]{{1,3}}\b)?\s?(?:-|–|(?:up\s)?to\b|and\b)\s?{END}(?![\d-]|[.:/]\d)",
    re.IGNORECASE,
)

MAXIMUM = re.compile(
    r"\bmax(?:imum)?(?: value)?(?:\s(?:is|of)|\s?=)?\s?[\"'`]?(\d+(?:\.\d+)?)|(?:\bout|\d) of (\d+(?:\.\d+)?)",
    re.IGNORECASE,
)


def repeated(reading: Reading) -> dict[str, str]:
    """For a container's id the elements of a class that the brief counts: `nine buttons with class cell in #board`."""
    hit: dict[str, str] = {}
    places = {one.id for one in reading.of("box", "output", "unknown")}
    done: set[str] = set()
    for sentence in dict.fromkeys(reading.classes.values()):
        for told in COUNTED.finditer(sentence):
            name, left, right = told["name"], sentence[: told.start()], sentence[told.end() :]
            if name in done or reading.classes.get(name) != sentence:
                continue
            done.add(name)
            if LATER.search(left) or THEN.search(right):
                continue  # not there at first, or so many in each of several
            count = int(told["count"]) if told["count"].isdigit() else COUNTS.index(told["count"].lower())
            after = re.search(rf"\b(?:in|into|inside|within)\b[^#.]{{0,30}}?{AN_ID}", right)
            before = re.findall(AN_ID, left)
            place = after[1] if after else before[-1] if before else ""
            if place in places and 1 < count <= MOST_REPEATED:
                hit[place] = _of_class(name, told["kind"].lower(), reading.code) * count
    return hit


def _of_class(name: str, kind: str, code: str) -> str:
    """An element of a class. One that a check clicks is a button."""
    if kind == "checkbox":
        return f'<input type="checkbox" class="{name}">'
    if kind == "button" or re.search(rf"\.{re.escape(name)}\b[^;]*\bclick\(", code):
        return f'<button type="button" class="{name}"></button>'
    return f'<div class="{name}"></div>'


def bounds(element: Element) -> str:
    """The ends of a slider that the brief tells: `from 0 to 100`. A date is none."""
    ends = next((one.groups() for one in ENDS.finditer(element.text) if float(one[1]) < float(one[2])), None)
    if ends is None:
        return ""
    told = re.search(r"\bsteps? of (\d+(?:\.\d+)?)", element.text, re.IGNORECASE)
    whole = all("." not in value for value in (*ends, element.first or ""))
    more = f' step="{told[1]}"' if told else "" if whole else ' step="any"'
    return f' min="{ends[0]}" max="{ends[1]}"{more}'


def maximum(element: Element) -> str:
    """The maximum of a progress element that the brief tells: `max 5`, `from 0 to 8`. It is 1 without one."""
    if told := MAXIMUM.search(element.text):
        return told[1] or told[2]
    return next((one[2] for one in ENDS.finditer(element.text) if one[1] == "0" and float(one[2]) > 0), "1")
