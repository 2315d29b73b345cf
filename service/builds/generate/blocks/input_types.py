"""The type of an input: the one that the brief tells, or the one that its id tells.

In: an element and its `Reading`. Out: a word for the attribute `type`. Not here: other kinds of elements (`reading`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.reading import Element, Reading

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
VALUES = {  # the only ones that such an input takes. With another one its value is empty
    "date": r"\d{4}-\d\d-\d\d", "time": r"\d\d:\d\d(?::\d\d)?", "month": r"\d{4}-\d\d", "week": r"\d{4}-W\d\d",
    "datetime-local": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?",
}  # fmt: skip
ANY_VALUE = re.compile("|".join(VALUES[kind] for kind in ("datetime-local", "date", "week", "month", "time")))
AMOUNT = re.compile(  # `a month field #m (1 to 12)`, `a time field #t in minutes`
    r"(?<![\w-])\d|\bnumbers?\b|\b(?:milli)?seconds?\b|\bminutes?\b|\bhours?\b|\b(?:ms|min|sec)\b"
    r"|\bin (?:days|weeks|months|years)\b",
    re.I,
)


def input_type(element: Element, first: str, reading: Reading) -> str:
    """The type of an input with this first value. One that would refuse the told values is a text."""
    kind, name = _told_type(element, first), re.escape(element.id)
    exact = reading.says(rf"\btype\s*[=:]?\s*[\"'`]?{kind}\b") or re.search(
        rf"[#'\"`]{name}['\"`]\)\.type\b", reading.code
    )
    if kind not in VALUES or exact:
        return kind
    values = re.findall(  # also `put('m', 7)`
        rf"(?:[#'\"`]{name}['\"`]\)\.value\s*=\s*|\w\(\s*['\"`]#?{name}['\"`]\s*,\s*)"
        r"(?:['\"`]([^'\"`]+)['\"`]|(-?\d[\d.]*))",
        reading.code,
    )
    told = [first, *(text or number for text, number in values)]
    if any(value and re.fullmatch(VALUES[kind], value) is None for value in told):
        return "text"
    about = ANY_VALUE.sub("", element.text)
    shows = re.search(rf"(?<![\w-]){name}[\"'`)]*\s+shows?\b", about)  # `a time box #clock shows the seconds`
    return "text" if kind in ("time", "month", "week") and (shows or AMOUNT.search(about)) else kind


def _told_type(element: Element, first: str) -> str:
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
