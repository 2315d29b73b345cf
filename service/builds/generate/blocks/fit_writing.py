"""Tools for writers: find and replace, how often each letter occurs, filler text, a typing test.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: measures of a text (`fit_text`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.fit_boards import AGAIN, outputs
from service.builds.generate.blocks.fitting import PieceFit, around, match, name
from service.builds.generate.blocks.reading import Reading, first_match

REPLACES = (  # the verb with its object
    r"\bfind(?:ing)? (?:and|&) replac|\breplac(?:e|es|ed|ing)\b[^.;]{1,80}\b(?:with|by)\b"
    r"|\b(?:every|each|all)\b[^.;]{1,40}\breplaced\b"
)
OF_WORD = r"(?:per|each|every|of each|of every) (?:different )?"
OFTEN = re.compile(  # how often each letter occurs. `#n counts how often I pressed` is about something else
    rf"\b(?:how (?:often|many times)|frequenc(?:y|ies)|occurrences?|counts?|number of)\b[^.;#]{{0,30}}\b{OF_WORD}"
    r"(?P<one>letter|word)\b"
    rf"|\b{OF_WORD}(?P<two>letter|word)\b[^.;#]{{0,60}}\b(?:how (?:often|many times)|occurs?|occurrences?|frequency"
    r"|counts?|number of times)\b",
    re.I,
)


def replacement(reading: Reading) -> PieceFit | None:
    """Find and replace."""
    if not reading.says(REPLACES) or reading.says(r"\bregex|regular expression|whole words?\b"):
        return None
    source = first_match(reading.of("textarea"), "") or first_match(reading.of("input"), r"^(?:text|source|input)$")
    boxes = [one for one in reading.of("input") if one is not source]
    find = first_match([one for one in boxes if re.search(r"find|search|what|from|old", one.words)], "")
    other = first_match([one for one in boxes if re.search(r"replac|with|to|new", one.words)], "")
    result = first_match(outputs(reading), r"result|output|replaced|text")
    if not (source and find and other and result) or find is other or len(boxes) != 2:
        return None
    if any(re.search(r"\b(?:dates?|days?|years?)\b", f"{one.words} {one.text}", re.I) for one in (find, other)):
        return None
    count = first_match(outputs(reading), r"count|how many|number", [result.id])
    button = next(iter(reading.of("button")), None)
    options = {
        "source": source.id,
        "find": find.id,
        "other": other.id,
        "button": name(button),
        "result": result.id,
        "count": name(count),
        "anyCase": True
        if reading.says(r"capitals? do(?:es)? not matter|case[- ]insensitive|whatever (?:the|its) case")
        else None,
        **(around(count, reading) if count else {}),
    }
    return match("replacement", 5.0, options, source, find, other, button, result, count)


def frequency(reading: Reading) -> PieceFit | None:
    """How often each letter or word occurs, as a table."""
    source = next(iter(reading.of("textarea", "input")), None)
    table = next(iter(reading.of("table")), None)
    if source is None or table is None or len(reading.of("textarea", "input", "select")) != 1 or reading.files:
        return None
    told = OFTEN.search(reading.brief)
    if told is None:
        return None
    unit = (told["one"] or told["two"]).lower()
    options = {
        "source": source.id,
        "table": table.id,
        "heads": [unit.capitalize(), "Count"],
        "words": True if unit == "word" else None,
        "byName": True
        if reading.says(r"alphabetical") and not reading.says(r"most frequent|largest|highest")
        else None,
        "button": name(next(iter(reading.of("button")), None)),
    }
    return match("frequency", 5.0, options, source, table, next(iter(reading.of("button")), None))


def filler(reading: Reading) -> PieceFit | None:
    """Paragraphs of filler text."""
    if not reading.says(r"lorem|filler text|dummy text|placeholder text") or not reading.says(r"\bparagraphs?\b"):
        return None
    box = next(iter(reading.of("input")), None)
    button = first_match(reading.of("button"), r"generate|make|create|go|show|new")
    place = first_match(reading.of("box", "output", "unknown"), r"text|output|result|lorem|paragraphs")
    if box is None or button is None or place is None or len(reading.of("input", "select", "checkbox")) != 1:
        return None
    ends = re.search(r"\b(\d+) (?:to|-|–) (\d+)\b", reading.brief)
    options = {
        "input": box.id,
        "button": button.id,
        "place": place.id,
        "least": int(ends[1]) if ends else 1,
        "most": int(ends[2]) if ends else 50,
    }
    return match("filler", 4.0, options, box, button, place)


def typing(reading: Reading) -> PieceFit | None:
    """How fast and how well a sentence is typed."""
    if not reading.says(r"\btyping (?:test|speed|trainer)|words (?:per|a) minute"):
        return None
    box = next(iter(reading.of("textarea", "input")), None)
    sample = first_match(outputs(reading), r"sample|sentence|text|prompt|quote")
    if reading.says(r"\b(?:ends?|over|stops?|lasts?)\b[^.;]{0,30}\b(?:seconds?|minutes?)\b|time limit|counts? down"):
        return None  # the test of the piece ends with its sentence
    told = re.search(r"[\"“]([^\"”]{8,300})[\"”]", sample.text if sample else "")
    speed = first_match(outputs(reading), r"speed|wpm|words per minute", [name(sample) or ""])
    if box is None or sample is None or told is None or speed is None or len(reading.of("textarea", "input")) != 1:
        return None
    mistakes = first_match(outputs(reading), r"mistakes|errors|wrong", [sample.id, speed.id])
    again = first_match(reading.of("button"), AGAIN)
    options = {
        "input": box.id,
        "sample": sample.id,
        "text": told[1],
        "speed": speed.id,
        "mistakes": name(mistakes),
        "again": name(again),
    }
    return match("typing", 5.0, options, box, sample, speed, mistakes, again)


FITS = (replacement, frequency, filler, typing)
