"""Boxes that may stay empty by the words of a brief, and those that refuse amounts of 0 and less.

In: a `Reading` and its boxes. Out: the ids of boxes. Not here: the pieces that refuse (`fit_entries`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from service.builds.generate.blocks.reading import Element, Reading

ABOVE_0 = (
    r"\b0 or less|zero or less|negative|positive|(?:greater|more|larger|higher) than (?:0|zero)|above (?:0|zero)|not 0"
)
REFUSES = (
    r"\brefus|\breject|\bmust\b|\bonly\b|not (?:accept|allow|tak)|\binvalid|\berror|\bwarn|\bignored?\b"
    r"|\b(?:has|have) to\b"
)
POSITIVE = r"\bpositive (?:whole |decimal )?(?:number|amount)s?\b"
MAY_BE_EMPTY = re.compile(
    r"\b(?:optional|voluntary|not (?:required|needed|mandatory)"
    r"|(?:may|can) (?:be |stay |remain )?(?:left )?(?:empty|blank|out|missing))\b",
    re.I,
)
NAMED_BEFORE = re.compile(  # `the note`, `note and phone are`, `note (`
    r"([\w-]+)[\"'`)]?(?: (number|box|field|address|text))?(?:,? and (?:the )?([\w-]+))?"
    r"(?:\s*\(|,? (?:which |that )?(?:is |are )?)(?:an? )?$",
    re.I,
)
NAMED_AFTER = re.compile(r"\s([\w-]+)(?: ([\w-]+))?")  # `optional phone number`
MOST_SAID = 100  # of these in one brief


def above_0(reading: Reading, numbers: Sequence[Element]) -> set[str]:
    """The boxes that refuse amounts of 0 and less by a sentence: those that it names, or all."""
    hit: set[str] = set()
    parts = re.split(r"(?<=[.;])\s", reading.brief) if numbers else []
    told = (
        part
        for part in parts
        if re.search(POSITIVE, part, re.I) or (re.search(ABOVE_0, part, re.I) and re.search(REFUSES, part, re.I))
    )
    for part in islice(told, MOST_SAID):
        words = f" {' '.join(re.findall(r'[a-z]+|[0-9]+', part.lower()))} "
        named = {box.id for box in numbers if f" {box.words} " in words or f" {box.words}s " in words}
        if not named and not re.search(r"balance|total|\bsum\b", part):
            named = {box.id for box in numbers}
        hit |= named
    return hit


def optional(reading: Reading, boxes: Sequence[Element]) -> set[str] | None:
    """The boxes that may stay empty. None if the brief says so of a box without naming it."""
    hit: set[str] = set()
    names = {box.id: {box.id.lower(), *box.words.split()} for box in boxes}
    for match in islice(MAY_BE_EMPTY.finditer(reading.brief), MOST_SAID):
        before = NAMED_BEFORE.search(reading.brief, max(0, match.start() - 80), match.start())
        after = NAMED_AFTER.match(reading.brief, match.end(), match.end() + 40)
        told = [part for side in (before, after) if side for part in side.groups() if part]
        words = {word for part in told for word in (part.lower(), *part.lower().split("-"))}
        named = {name for name, own in names.items() if own & words}
        if not named and re.search(r"optional|\bleft\b", match[0], re.I):
            named = {box.id for box in boxes if match[0] in box.text and _alone(box, boxes)}
            if not named:
                return None
        hit |= named
    return hit


def _alone(box: Element, boxes: Sequence[Element]) -> bool:
    """Whether the words about this box are about no other one."""
    return [other.text for other in boxes].count(box.text) == 1
