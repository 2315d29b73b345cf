"""Lists of another kind than entries: tags, a ranking, suggestions while somebody types.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: entries that are added and
done (`fit_controls`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.counted import COUNTS
from service.builds.generate.blocks.fit_boards import outputs
from service.builds.generate.blocks.fit_data import columns, numeric
from service.builds.generate.blocks.fitting import PieceFit, class_for, match, name, storage_key
from service.builds.generate.blocks.reading import Reading, first_match

ITEM = r"[\"“]?[A-Z][\w -]{0,24}?[\"”]?"
ITEMS = re.compile(
    rf"\b(?:with|holds|contains|has|:)\s+(?P<all>{ITEM}(?:,\s+{ITEM})*,?\s+and\s+[\"“]?[A-Z][\w-]*[\"”]?)"
)
MOST = rf"\b(?:at most|up to|no more than|maximum of|maximally) (\d+|{'|'.join(COUNTS)})\b ?"
TYPING = (  # the suggestions follow the typed text
    r"\bwhile\b[^.;]{0,30}\btyp|\bas\b[^.;]{0,20}\btyp|\btyping\b|\btyped\b|\bauto-?complet|\btype-?ahead"
    r"|\b(?:begins?|starts?|beginning|starting) with\b|\bcontain"
)


def _number(word: str) -> int:
    return int(word) if word.isdigit() else COUNTS.index(word.lower())


def _column(file: str, reading: Reading) -> str | None:
    """The column of a table of which the entries are suggested: the one that the brief names, or the first of texts."""
    names = columns(file, reading.files[file])
    brief = reading.brief.replace(file, "")
    numbers = numeric(file, reading.files[file])
    texts = [one for one in names if one not in numbers]
    places = {
        one: hit.start()
        for one in texts
        if (hit := re.search(rf"\b{re.escape(re.sub(r'y$', '', one))}(?:y|ies|e?s)?\b", brief, re.I))
    }
    return min(places, key=lambda one: places[one], default=next(iter(texts), None))


def tags(reading: Reading) -> PieceFit | None:
    """Short texts beside each other, each with a button that removes it."""
    if not reading.says(r"\btags?\b|\bchips?\b|\bkeywords?\b"):
        return None
    box = first_match(reading.of("input"), r"tag|chip|keyword|new|word")
    class_ = class_for(reading, r"tag|chip|keyword|label|pill")
    place = first_match(reading.of("box", "output", "unknown", "list"), r"tags|chips|keywords|list")
    add = first_match(reading.of("button"), r"\badd\b|plus|put|enter")
    if box is None or class_ is None or place is None or len(reading.of("input", "select", "textarea")) != 1:
        return None
    count = first_match([one for one in outputs(reading) if one is not place], r"count|number|how many|total")
    clear = first_match(reading.of("button"), r"clear|all|reset", [name(add) or ""])
    most = re.search(rf"{MOST}(?:tags|chips|keywords|labels|of them)\b", reading.brief, re.I)
    options = {
        "input": box.id,
        "add": name(add),
        "place": place.id,
        "tagClass": class_,
        "count": name(count),
        "clear": name(clear),
        "once": True if reading.says(r"\btwice\b|duplicate|already|same tag") else None,
        "comma": True if reading.says(r"\bcomma\b") else None,
        "most": _number(most[1]) if most else None,
        "key": storage_key(reading, "tags"),
    }
    return match("tags", 5.0, options, box, add, place, count, clear)


def ranking(reading: Reading) -> PieceFit | None:
    """A list of which the entries change places."""
    place = next(iter(reading.of("list")), None)
    up, down = class_for(reading, r"^up$|higher"), class_for(reading, r"^down$|lower")
    told = ITEMS.search(place.text) if place else None
    if place is None or up is None or down is None or told is None or reading.of("input", "textarea", "select"):
        return None
    texts = [text.strip('"“”') for text in re.split(r",?\s+and\s+|,\s+", told["all"])]
    first = first_match(outputs(reading), r"winner|first|top|best|favourite|leader")
    options = {
        "list": place.id,
        "items": texts,
        "upText": "Up",
        "downText": "Down",
        "upClass": up,
        "downClass": down,
        "first": name(first),
        "key": storage_key(reading, "ranking"),
    }
    return match("ranking", 5.0, options, place, first)


def suggestions(reading: Reading) -> PieceFit | None:
    """Entries of a file that begin with the typed text, or hold it."""
    if not reading.says(r"\bsuggest|\bauto-?complet|\btype-?ahead") or not reading.says(TYPING):
        return None
    if any(re.search(r"\b(?:send|submit|add|post|save|suggest)\b", one.words) for one in reading.of("button")):
        return None  # a suggestion that somebody sends
    file, place = reading.file(".json", ".txt", ".csv"), next(iter(reading.of("list")), None)
    box = next(iter(reading.of("input")), None)
    if file is None or place is None or box is None or len(reading.of("input")) != 1 or reading.of("table"):
        return None
    most = re.search(MOST, reading.brief, re.I)
    options = {
        "file": file,
        "input": box.id,
        "list": place.id,
        "column": _column(file, reading) if file.lower().endswith(".csv") else None,
        "most": _number(most[1]) if most else 10,
        "within": None if reading.says(r"\b(?:begins?|starts?|beginning|starting) with") else True,
    }
    return match("suggestions", 5.0, options, box, place)


FITS = (tags, ranking, suggestions)
