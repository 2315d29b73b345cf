"""The common part of the pieces' fits: a match, and words that several pieces read in the same way.

In: a `Reading` or a sentence of it. Out: `PieceFit` values and texts. Not here: the fits themselves (`fit_*`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from service.builds.generate.blocks.reading import Element, Reading

EXAMPLE = re.compile(  # a text that an element shows. A `'` inside of a word is no mark
    r"\b(?:shows?|displays?|says?|reads?|writes?|like|such as|e\.g\.,?|for (?:example|instance),?|text|form|or|as)"
    r"[\s:(]+"
    r"(?:\"(?P<a>[^\"]*)\"|“(?P<b>[^”]*)”|`(?P<c>[^`]*)`|(?<!\w)'(?P<d>[^']*)'(?!\w))"
    r"|\(\s*[\"“](?P<e>[^\"”]*)[\"”]|(?<=[\"”]),\s*(?:and\s+)?[\"“](?P<f>[^\"”]*)[\"”]",
    re.IGNORECASE,
)
NUMBERED = re.compile(r"(\D{0,20}?)((?:(?<!\w)-|\b)\d+(?:[.,]\d+)?)(\D{0,30})")
KEEPS = r"local ?storage|after a reload|survives?|persist|remember|is kept|are kept|saved"


@dataclass(frozen=True)
class PieceFit:
    """A piece that fits a brief. `ids`: the elements that it takes. `score`: how well it fits."""

    piece: str
    options: dict[str, Any]
    ids: frozenset[str]
    score: float

    def plain(self) -> dict[str, Any]:
        """As a part of a plan, without empty parameters."""
        return {
            "piece": self.piece,
            **{name: value for name, value in self.options.items() if value not in (None, "", [], {})},
        }


def match(piece: str, score: float, options: dict[str, Any], *elements: Element | None) -> PieceFit:
    """A match that takes these elements. Each of them makes it fit better."""
    ids = frozenset(element.id for element in elements if element is not None)
    return PieceFit(piece, options, ids, score + len(ids))


def name(element: Element | None) -> str | None:
    """The element's id."""
    return None if element is None else element.id


def json_value(text: str | None) -> Any:
    """The value of a file of JSON. None if the text is no JSON, or nests deeper than it can be read."""
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return None


def storage_key(reading: Reading, usual: str) -> str | None:
    """The key of localStorage that the brief names, or the usual one of the site if the brief wants something kept.

    A key of the site itself begins with `./`, and the page puts its path there.
    """
    if not reading.says(KEEPS):
        return None
    told = re.search(
        r"local ?storage[^.]{0,40}?\b(?:under|as|key)\s+(?:the\s+)?(?:key\s+|name\s+)?[\"'`]?(?!the\b|"
        r"so\b|key\b)([A-Za-z][\w-]*(?:\.[\w-]+)*)"
        r"|\bkey\s+[\"'`]?([A-Za-z][\w-]*(?:\.[\w-]+)*)",
        reading.brief,
        re.IGNORECASE,
    )
    in_code = re.search(
        r"localStorage\.(?:getItem|setItem)\(\s*['\"`]([\w.-]+)|localStorage\.(?!getItem|setItem|clear|removeItem|length)([A-Za-z]\w*)",
        reading.code,
    )
    hit = told or in_code
    return f"./{usual}" if hit is None else hit[1] or hit[2]


def class_for(reading: Reading, pattern: str, taken: tuple[str, ...] = ()) -> str | None:
    """The class of the brief with such a name, or in a sentence that says so."""
    free = [one for one in reading.classes if one not in taken]
    by_name = next((one for one in free if re.search(pattern, one, re.IGNORECASE)), None)
    if by_name is not None:
        return by_name
    for one in free:
        around = re.search(rf"[^,;.]*\bclass(?:es)?\b[^,;.]*\b{re.escape(one)}\b[^,;.]*", reading.classes[one])
        if around and re.search(pattern, around[0], re.IGNORECASE):
            return one
    return None


def around(element: Element, reading: Reading) -> dict[str, str]:
    """The words around an element's number, as an example of the brief or a check has them: `"4 people"`.

    `one` are those behind a 1: `("1 person" if it is one)`.
    """
    texts = [next(filter(None, match.groups()), "") for match in EXAMPLE.finditer(element.text)]
    texts = [text for text in texts if text not in reading.files and not re.search(r"\.[A-Za-z]\w{1,4}$", text)]
    compared = rf"{re.escape(element.id)}['\"`]\)[^;&|]{{0,40}}===?\s*(['\"`])(.{{0,60}}?)\1"
    texts += [text for _, text in re.findall(compared, reading.code)]
    told = [match.groups() for text in texts if (match := NUMBERED.fullmatch(text))]
    several = [(before, after) for before, number, after in told if number != "1"]
    single = [(before, after) for before, number, after in told if number == "1"]
    unit = [(before, after) for before, after in single if not re.search(r"[A-Za-z]{3}", after)]  # has no plural
    before, after = (several or unit or [("", "")])[0]
    words = {"before": before, "after": after, "one": single[0][1] if several and single else ""}
    return {key: value for key, value in words.items() if value.strip()}


def position_text(element: Element | None) -> str | None:
    """The form of a place among all, as the brief has it: `{at} of {all}` for `1 of 3`."""
    shape = re.search(r"((?:[A-Z][a-z]+ )?)\d+( ?(?:/|of|out of) ?)\d+", element.text) if element else None
    return f"{shape[1]}{{at}}{shape[2]}{{all}}" if shape else None


def text_when(text: str, condition: str) -> str | None:
    """The text that a sentence shows under a condition: `says Loading while it waits`, `"Not found" if ... 404`."""
    hit = re.search(
        r"(?:\"(?P<a>[^\"]{1,60})\"|“(?P<b>[^”]{1,60})”|(?<!\w)'(?P<c>[^'\"]{1,60})'(?!\w)|`(?P<d>[^`]{1,60})`"
        r"|(?P<w>\b[A-Z][\w…]*(?: [a-z]+){0,3}?|\b(?:yes|no)\b))\s+"
        r"(?:if|when|while|for|on|in case of|as long as|otherwise)\b"
        rf"(?:(?!\b(?:and|or) [A-Z])[^,;.\"“]){{0,60}}?(?:{condition})",
        text,
    )
    if hit is not None:
        return str(next(filter(None, hit.groups())))
    turned = re.search(
        rf"\b(?:if|when|while|for|on|in case "
        rf"of)\b[^,;.\"“]{{0,50}}?(?:{condition})[^;.\"“]{{0,40}}?[\"“](?P<q>[^\"”]{{1,60}})[\"”]",
        text,
        re.IGNORECASE,
    )
    return None if turned is None else turned["q"]
