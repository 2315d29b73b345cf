"""How a sentence wants a date or a number to be written: `like 1 January 2020`, `with a euro sign in front`.

In: a sentence, and the ids of its outputs. Out: an output's id with the form of its text. Not here: decimals
(`reading`), the page (`pieces/rules.js`).
"""

from __future__ import annotations

import re
from collections.abc import Callable

HASH = re.compile(r"#([A-Za-z][\w-]*)")
MONTH = r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
DATES = (
    ("D MMMM YYYY", rf"\d{{1,2}} {MONTH} \d{{4}}"),
    ("MMMM D, YYYY", rf"{MONTH} \d{{1,2}}, \d{{4}}"),
    ("DD.MM.YYYY", r"\d\d\.\d\d\.\d{4}|DD\.MM\.YYYY"),
    ("DD/MM/YYYY", r"\d\d/\d\d/\d{4}|DD/MM/YYYY"),
    ("MM/DD/YYYY", r"MM/DD/YYYY"),
    ("D MMMM YYYY", r"written out|month as a word|(?:a person|people|humans?) writes? (?:dates|them|it)"),
)
LIKE = re.compile(
    r"\b(?:like|as|such as|form|format|e\.g\.|for instance|written|for example|style|looks|full|words)\b",
    re.I,
)
SIGNS = {"euro": "€", "dollar": "$", "pound": "£", "yen": "¥", "percent": "%", "per cent": "%", "degree": "°"}
MONEY = r"[€$£¥]|EUR|USD|GBP|CHF"
EXAMPLE = re.compile(  # `€ 37.50`, `12 km`, `1,234,567`
    rf"(?<![\w.,#-])(?P<before>(?:{MONEY})\s?)?(?P<number>\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|\d+(?:\.\d+)?)"
    rf"(?P<after>\s?(?:{MONEY}|%|°C?|(?!of\b|or\b|to\b|and\b|in\b|on\b|at\b|if\b|is\b|as\b|for\b|px\b|pm\b|am\b|the\b)"
    r"[a-z]{1,3}(?:/[a-z]{1,2})?[²³]?(?![\w-])))?(?![\w]|[-/:]\d)"
)
IN_WORDS = re.compile(
    rf"\bwith (?:an? |the )?(?P<sign>{'|'.join(SIGNS)}) sign (?P<place>in front|before|at the (?:front|beginning)"
    r"|behind|after|at the end)"
    rf"|\bfollowed by (?:an? |the )?(?P<behind>{'|'.join(SIGNS)}) sign",
    re.I,
)
UNIT = re.compile(
    r"\b(?:followed by|ends (?:in|with)|with the unit|and the unit) [\"'`“]?(?P<unit>(?!(?:an?|the|its?|all|by|or"
    r"|two|one|each)\b)[A-Za-z%°€/²³]{1,5})[\"'`”]?"
    r"(?=[\s,.;)]|$)"
)
THOUSANDS = re.compile(
    r"\bthousands? separators?\b|\bcommas? (?:between|for|at|as)[^.;]{0,12}\bthousands\b"
    r"|\bthousands\b[^.;]{0,20}\bcommas?\b"
    r"|\bgroups? of three digits\b",
    re.I,
)


def date_form(text: str, is_output: Callable[[str], bool]) -> tuple[str, str] | None:
    """The output that shows a date, and the form of the date: `D MMMM YYYY`."""
    if not re.search(r"\b(?:dates?|day|birthday)\b", text, re.I):
        return None
    for shape, pattern in DATES:
        hit = re.search(pattern, text)
        if hit is None:
            continue
        left = text[: hit.start()]
        names = [name for name in HASH.findall(left) if is_output(name)]
        if not names and "written" in hit[0]:
            names = [name for name in HASH.findall(text) if is_output(name)][:1]
            left = text
        return (names[-1], shape) if names and LIKE.search(left[left.rindex(f"#{names[-1]}") :] + hit[0]) else None
    return None


def number_form(text: str, is_output: Callable[[str], bool]) -> tuple[str, str] | None:
    """The output that shows an amount, and the form around the number: `€ {}`. `{,}` has commas between thousands."""
    for hit in EXAMPLE.finditer(text):
        grouped = "," in hit["number"]
        names = [name for name in HASH.findall(text[: hit.start()]) if is_output(name)]
        if not names or not (grouped or hit["before"] or hit["after"]):
            continue
        about = text[text.rindex(f"#{names[-1]}", 0, hit.start()) : hit.start()]
        if "#" in about[1:]:
            continue  # another element is nearer
        bracketed = about.endswith("(") and text[hit.end() : hit.end() + 1] in (")", ",", ";")
        if bracketed or re.search(
            r"(?:\b(?:like|as|for instance|for example|form|written)\b|e\.g\.)[ (:,]*$", about, re.I
        ):
            return names[-1], f"{hit['before'] or ''}{{{',' if grouped else ''}}}{hit['after'] or ''}"
    for pattern in (IN_WORDS, UNIT, THOUSANDS):
        told = pattern.search(text)
        names = [name for name in HASH.findall(text[: told.start()]) if is_output(name)] if told else []
        if told is None or not names:
            continue
        if pattern is THOUSANDS:
            return names[-1], "{,}"
        if pattern is UNIT:
            return names[-1], f"{{}} {told['unit']}"
        sign = SIGNS[(told["sign"] or told["behind"]).lower()]
        front = re.search(r"front|before|beginning", told["place"] or "", re.I)
        if sign == "%":
            return names[-1], "{}%"
        return names[-1], f"{sign}{{}}" if front else f"{{}} {sign}"
    return None
