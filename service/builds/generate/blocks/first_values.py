"""First values of elements, as a brief tells them: `starts at 0`, `(5 at first)`, `"none yet" while the list is empty`.

In: a sentence, or the words about an element. Out: its value, or None. Not here: the elements (`reading`).
"""

from __future__ import annotations

import re

VALUE = (
    r"(?:\"[^\"]*\"|'[^']*'|`[^`]*`|\d{4}-\d\d-\d\d|#[0-9A-Fa-f]{6}\b|\d+ (?:of|/|out of) \d+|[-+]?\d[\d.,:/]*\d|\d"
    r"|(?<![\w.])[A-Za-z][\w-]*)"
)
NUMBER = r"(?:(?<!\w)[-+]?\d[\d.,:]*\d|\b\d\b|(?<=[\s(])[-–—](?=[\s.,;]|$))"  # or a dash in its place
SAID = rf"(?:\"[^\"]*\"|“[^”]*”|'[^']*'|`[^`]*`|{NUMBER})"
BEFORE = r"(?:before|until|as long as|while)"
NONE_YET = r"(?:(?:is|are) (?:still )?empty|nothing|nobody|none|no (?:\w+ ){1,3}?yet|not (?:\w+ )?yet)\b"
WITH = r"\s+(?:with|at|from|as|out\s+at)\s+"
STARTS = rf"(?:(?<!that )(?<!which )(?<!who )\b(?:start|begin)s?|\b(?:start|begin)s?(?={WITH}[-+]?\d))"
STARTING = (  # `#n, starting at 3`, and not `names starting with B`
    r"(?:(?:^[\s)\"'`]*|[,;(–]\s*|\band\s+)(?:start|beginn)ing"
    r"|\b(?:start|beginn)ing(?=\s+(?:at|from|out\s+at)\s+[-+]?\d))"
)
WHOSE = re.compile(r"\bwhose \w+\s+$", re.IGNORECASE)  # `names whose text starts with B`
FIRST = (
    re.compile(rf"{STARTS}{WITH}(?P<value>{VALUE})", re.IGNORECASE),
    re.compile(rf"{STARTING}{WITH}(?P<value>{SAID})", re.IGNORECASE),
    re.compile(r"\((?P<value>[^\s()]{1,12})\)\s+(?:at first|initially|at the start)", re.IGNORECASE),
    re.compile(
        rf"(?P<value>{VALUE})\s*\)?,?\s+(?:at first|initially|by default|at the start|when the page opens|before)\b",
        re.I,
    ),
    re.compile(rf"\b(?:at first|initially|by default)\s+(?:it\s+)?(?:shows|says|is|has)?\s*(?P<value>{VALUE})", re.I),
    re.compile(rf"\bdefaults?\s+(?:(?:to|is|of|value)\s+)?(?P<value>{VALUE})", re.IGNORECASE),
    re.compile(
        rf"(?P<value>{VALUE})\s+(?:to (?:start|begin)(?: with)?|in the beginning|at the beginning|preselected)\b", re.I
    ),
)
SAID_FIRST = (  # of a text on the page, and never of a box. A bare word may be a state of later
    re.compile(
        r"\b(?:(?:before|until)\b(?![^.;,]{0,60}\b(?:answer|repl|respon|load|request|wait|arriv|fetch))"
        rf"|(?:as long as|while)\b(?=[^.;,]{{0,40}}?\b{NONE_YET}))"
        rf"[^.;,]{{0,60}},?\s+(?:it|they)\s+(?:says?|shows?|reads?)\s+(?P<value>{SAID})",
        re.I,
    ),
    re.compile(
        rf"(?P<value>{SAID})\s+(?:(?:while|as long as)\b[^.;,]{{0,40}}?\b{NONE_YET}"
        r"|(?:when|if)\b[^.;,]{0,40}?\b(?:yet\b|(?:list|table|cart|basket|board|history) is (?:still )?empty))",
        re.I,
    ),
    re.compile(rf"(?P<value>{NUMBER})\s+(?:when|if)\b[^.;,]{{0,20}}?\b(?:empty|nothing|nobody|none)\b", re.I),
)
FIRSTS = re.compile(
    rf"\b(?:start|begin|default)s?\s+(?:with|at|"
    rf"to)\s+(?P<values>{VALUE}(?:\s*,\s*{VALUE})*\s*,?\s+and\s+{VALUE})|"
    rf"(?P<first>{VALUE}(?:\s*,\s*{VALUE})*\s*,?\s+and\s+{VALUE})\s+(?:at first|initially|by default|preselected)",
    re.I,
)
BOXES = ("input", "textarea", "select", "checkbox", "button", "table", "list", "image")
NO_VALUE = {
    "hidden",
    "shown",
    "empty",
    "it",
    "the",
    "a",
    "an",
    "all",
    "disabled",
    "light",
    "visible",
    "nothing",
    "them",
    "dash",
}


def first_value(text: str, kind: str = "input") -> str | None:
    """The first value that a text gives an element of this kind."""
    for pattern in FIRST if kind in BOXES else (*FIRST, *SAID_FIRST):
        for match in pattern.finditer(text):
            if WHOSE.search(text[: match.start()]):
                continue
            value = match["value"].strip("\"'`“”").rstrip(".,:")
            if value.lower() not in NO_VALUE and (
                not value.isalpha() or match["value"][0] in "\"'`“" or len(value) < 4 or value[0].isupper()
            ):
                return value
    return None


def own_first_value(text: str, name: str) -> str | None:
    """The first value that a sentence gives this one of several elements: `percent starts at 10`."""
    match = re.search(rf"\b{re.escape(name)}\s+(?=starts?|begins?)", text)
    return first_value(text[match.end() :]) if match else None
