"""The options of a select as a brief tells them: `offering small, medium and large`, `(ALL, INFO)`, `Monday to Friday`.

In: the words about an element. Out: its options. Not here: the elements (`reading`), first values (`first_values`).
"""

from __future__ import annotations

import re

LONGEST_RANGE = 200  # of numbers
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
CYCLES = (WEEKDAYS, tuple(day[:3] for day in WEEKDAYS), MONTHS, tuple(month[:3] for month in MONTHS))
TO = r"\s?(?:to|through|until|up to|-|–)\s?"
RANGE = re.compile(
    rf"(?<![\w.:/-])(?:(?P<first>\d{{1,4}}){TO}(?P<last>\d{{1,4}})(?:,? in steps of (?P<step>\d{{1,3}}))?"
    r"(?![\w:/-]|\.\d)"
    + "".join(
        rf"|(?P<from{at}>{'|'.join(names)}){TO}(?P<to{at}>{'|'.join(names)})\b" for at, names in enumerate(CYCLES)
    )
    + ")"
)
ITEM = r"[\"'`]?[\w°/²-]+[\"'`]?"
OPTIONS = re.compile(
    r"\b(?:offer(?:s|ing)?|options?|choices?|choose between|values?)\b[^:(,.]{0,24}?(?:\bare\b|:|\bof\b|\()?\s*"
    rf"(?P<list>{ITEM}(?:\s*,\s*{ITEM})*\s*,?\s+(?:and|or)\s+[\"'`]?[\w°/²-]+)",
    re.IGNORECASE,
)
WITH_OPTIONS = re.compile(
    r"\s*,?\s*(?:that |which )?(?:with|of|between|from|goes from|lists|has|holds|contains)\s+"
    r"(?:(?:the\s+)?(?:options?|entries|numbers?|days|weekdays|months|hours|minutes|years)\s+)?(?:from\s+)?"
    rf"(?P<list>{ITEM}(?:\s*,\s*{ITEM})*\s*,?\s+(?:and|or)\s+[\"'`]?[\w°/²-]+)"
    r"(?![\w°/²-])(?!\s+(?:\w+\s+)?(?:to|through|until|up to)\s)"  # `from 1-3 players to 4`
)
BRACKET = re.compile(r"^\s*,?\s*\((?P<list>[^()]*,[^()]*)\)")
SEVERAL = re.compile(r",|\s(?:and|or)\s")
FIRST_OF_THEM = re.compile(r"\s+(?:at first|initially|by default|preselected|is the default|to start with)\b")
OPEN = re.compile(r"(?:an?|the|all the|each|every|its|their|one (?:option|entry|per|for|of)\b)(?:\s|$)", re.I)


def options(text: str, kind: str, name: str, bracket: str = "") -> tuple[str, ...]:
    """The options that the words behind an element tell. `bracket`: the text in brackets right behind its id."""
    if kind not in ("select", "unknown"):
        return _of(BRACKET.search(text) or OPTIONS.search(text), name)
    text = RANGE.sub(_written_out, text)
    told = _of(BRACKET.search(text), name) or _of(OPTIONS.search(text), name)
    if told or kind == "unknown":
        return told
    within = RANGE.sub(_written_out, bracket)
    if SEVERAL.search(within) and (told := _closed(parts(FIRST_OF_THEM.sub("", within.partition(";")[0])), name)):
        return told
    return _of(WITH_OPTIONS.match(text), name)


def parts(text: str) -> list[str]:
    """The parts of `a, b and c`, without quotes."""
    split = [part.strip() for part in re.split(r"\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or)\s+", text)]
    return [part.strip("\"'`") for part in split if part and part.lower() not in ("each", "every")]


def _of(match: re.Match[str] | None, name: str) -> tuple[str, ...]:
    if match is None:
        return ()
    told = parts(match["list"])
    after = match.string[match.end() :]
    if told and re.fullmatch("one", told[-1], re.I) and re.match(r"\s+(?:option|entry|per|for|of|more)\b", after):
        told = told[:-1]  # `All and one per genre`
    return _closed(told, name)


def _closed(told: list[str], name: str) -> tuple[str, ...]:
    """The options that are told as texts. `the towns` stands for some of the data, and the own name is none."""
    return tuple(dict.fromkeys(part for part in told if part.lower() != name.lower() and not OPEN.match(part)))


def _written_out(match: re.Match[str]) -> str:
    """A range as a list: `1 to 3` as `1, 2 and 3`."""
    told = _numbers(match) if match["first"] else _names(match)
    return f"{', '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else match[0]


def _numbers(match: re.Match[str]) -> list[str]:
    first, last, step = int(match["first"]), int(match["last"]), int(match["step"] or 1)
    if not step or not 0 < last - first < LONGEST_RANGE * step:
        return []
    width = len(match["first"]) if match["first"].startswith("0") else 1
    return [f"{number:0{width}}" for number in range(first, last + 1, step)]


def _names(match: re.Match[str]) -> list[str]:
    at = next(at for at in range(len(CYCLES)) if match[f"from{at}"])
    names = CYCLES[at]
    first, last = names.index(match[f"from{at}"]), names.index(match[f"to{at}"])
    return [names[number % len(names)] for number in range(first, last + 1 + (len(names) if last < first else 0))]
