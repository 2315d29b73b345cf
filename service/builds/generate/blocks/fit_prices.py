"""A list of prices in several languages, with a bill.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: other texts in several
languages (`fit_contents`).
"""

from __future__ import annotations

import json
import re
from typing import Any

from service.builds.generate.blocks.fitting import PieceFit, match
from service.builds.generate.blocks.reading import Reading, first_match

CURRENCIES = {"€": "EUR", "$": "USD", "£": "GBP"}


def _value(text: str | None) -> Any:
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


def _columns(entries: list[dict[str, Any]], words: set[str]) -> tuple[str, str, str] | None:
    """The columns of the key, the group and the price. Keys differ, groups repeat, and both have texts."""
    names = [name for name in entries[0] if all(name in entry for entry in entries)]
    named = [name for name in names if {str(entry[name]) for entry in entries} <= words]
    keys = [name for name in named if len({entry[name] for entry in entries}) == len(entries)]
    groups = [name for name in named if name not in keys]
    prices = [
        name for name in names if all(isinstance(entry[name], int | float) and entry[name] >= 0 for entry in entries)
    ]
    return (keys[0], groups[0], prices[0]) if len(keys) == len(groups) == len(prices) == 1 else None


def pricelist(reading: Reading) -> PieceFit | None:
    """Entries of a file with prices, in the language of a select, by groups, with their sum in a bill."""
    files = {name: _value(text) for name, text in reading.files.items() if name.lower().endswith(".json")}
    texts = next((name for name, value in files.items() if _is_texts(value)), None)
    entries = next((name for name, value in files.items() if _is_entries(value)), None)
    select = first_match(reading.of("select"), r"lang|locale")
    place = next(iter(reading.of("list")), None)
    total = first_match(reading.of("output", "unknown"), r"total|bill|sum")
    if texts is None or entries is None or select is None or place is None or total is None:
        return None
    words = set.intersection(*(set(own) for own in files[texts].values()))
    told = _columns(files[entries], words)
    sign = re.search(r"[€$£](?=\s?\d)|(?<=\d)\s?[€$£]", reading.brief)
    if told is None or sign is None or not reading.says(r"\badds\b|\bbill\b"):
        return None
    key, group, price = told
    groups = list(dict.fromkeys(entry[group] for entry in files[entries]))
    buttons = {
        name: first_match([one for one in reading.of("button") if name in one.words.split()], "") for name in groups
    }
    if not all(buttons.values()) or len(reading.of("button")) != len(groups):
        return None
    headings = {one.id: one.id for one in reading.of("heading") if one.id in words}
    parameter = re.search(r"\?(\w+)=", reading.brief)
    options = {
        "texts": texts,
        "entries": entries,
        "select": select.id,
        "codes": list(files[texts]),
        "first": select.first if select.first in files[texts] else next(iter(files[texts])),
        "parameter": parameter[1] if parameter else None,
        "elements": headings,
        "groups": {name: one.id for name, one in buttons.items() if one},
        "list": place.id,
        "total": total.id,
        "key": key,
        "group": group,
        "price": price,
        "currency": CURRENCIES[sign[0].strip()],
    }
    taken = [one for one in reading.of("heading") if one.id in headings]
    return match("pricelist", 6.0, options, select, place, total, *buttons.values(), *taken)


def _is_texts(value: Any) -> bool:
    """Whether these are texts by language and key."""
    return (
        isinstance(value, dict)
        and len(value) > 1
        and all(re.fullmatch(r"[a-z]{2}(?:-\w+)?", code) and isinstance(own, dict) for code, own in value.items())
    )


def _is_entries(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, dict) for entry in value)


FITS = (pricelist,)
