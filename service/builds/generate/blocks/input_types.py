"""The type of an input: the one that the brief tells, or the one that its id tells.

In: an element. Out: a word for the attribute `type`. Not here: the other kinds of elements (`reading`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.reading import Element

SPOKEN = {  # the word left of `field`, and the type
    "e-mail": "email", "telephone": "tel", "phone": "tel", "colour": "color", "web address": "url",
    "datetime": "datetime-local", "slider": "range",
}  # fmt: skip
TYPE = (
    r"(?P<type>number|range|slider|datetime-local|datetime|date|time|month|week|e-?mail|url|web address|tel|telephone"
    r"|phone|password|colou?r|search|file)"
)
FIELD = r"[ -](?:input|field|box|picker|chooser|entry)(?:s|es)?\b"
LEFT = re.compile(rf"(?:{TYPE}{FIELD})", re.I)  # `date field #born`
RANGE = re.compile(r"(?P<type>number\b|range\b|slider)", re.I)  # `range #share`
RIGHT = re.compile(
    rf"\s*,?\s*\(?(?:(?:is|are)\s+)?(?:an?\s+)?(?:\w+\s+)?{TYPE}(?:{FIELD}|\))", re.I
)  # `#b, a date field`
OF_TYPE = re.compile(rf"(?:\b(?:of|with|has) (?:the )?|\()type\s*[:=]?\s*[\"'`]?{TYPE}\b", re.I)
BY_NAME = (
    ("color", r"\bcolou?r\b"),
    ("password", r"password|repeat|confirm"),
    ("email", r"e-?mail"),
    ("date", r"\bdate\b"),
    ("range", r"slider|range"),
    ("search", r"search|filter"),
    ("url", r"\burl\b"),
)


def input_type(element: Element, first: str) -> str:
    """The type of an input with this first value."""
    if re.fullmatch(r"#[0-9a-f]{6}", first, re.I):
        return "color"
    text = element.text
    own = re.search(rf"(?<![\w-]){re.escape(element.id)}(?![\w-])", text)
    told = (
        LEFT.match(text) or OF_TYPE.search(text) or (RIGHT.match(text, own.end()) if own else None) or RANGE.match(text)
    )
    if told:
        word = told["type"].lower()
        return SPOKEN.get(word, word)
    for kind, words in BY_NAME:
        if re.search(words, element.words, re.I) or (kind == "color" and re.search(words, text, re.I)):
            return kind
    return "text"
