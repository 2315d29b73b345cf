"""The piece that converts units, and the units that it knows.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: other forms (`fit_forms`).
"""

from __future__ import annotations

import re
from typing import Any

from service.builds.generate.blocks.fitting import PieceFit, json_value, match, name
from service.builds.generate.blocks.reading import Element, Reading, decimals, first_match

LB, OZ, INCH = 0.45359237, 0.028349523125, 0.0254
UNITS: dict[str, dict[str, Any]] = {  # names, and the factor to the unit of its kind. Temperatures have an offset
    "length": {
        "mm": 0.001,
        "cm": 0.01,
        "m": 1,
        "km": 1000,
        "in": INCH,
        "inch": INCH,
        "ft": 0.3048,
        "foot": 0.3048,
        "yd": 0.9144,
        "mi": 1609.344,
        "mile": 1609.344,
        "nmi": 1852,
        "metre": 1,
        "meter": 1,
        "kilometre": 1000,
        "kilometer": 1000,
        "centimetre": 0.01,
        "centimeter": 0.01,
        "millimetre": 0.001,
        "yard": 0.9144,
        "miles": 1609.344,
        "feet": 0.3048,
    },
    "mass": {
        "mg": 1e-6,
        "g": 0.001,
        "kg": 1,
        "t": 1000,
        "lb": LB,
        "lbs": LB,
        "oz": OZ,
        "st": 14 * LB,
        "stone": 14 * LB,
        "gram": 0.001,
        "kilogram": 1,
        "pound": LB,
        "ounce": OZ,
        "tonne": 1000,
    },
    "volume": {
        "ml": 0.001,
        "cl": 0.01,
        "dl": 0.1,
        "l": 1,
        "L": 1,
        "litre": 1,
        "liter": 1,
        "gal": 3.785411784,
        "pt": 0.473176473,
        "cup": 0.2365882365,
        "tbsp": 0.01478676478,
        "tsp": 0.00492892159,
        "gallon": 3.785411784,
        "pint": 0.473176473,
    },
    "time": {
        "ms": 0.001,
        "s": 1,
        "min": 60,
        "h": 3600,
        "d": 86400,
        "second": 1,
        "minute": 60,
        "hour": 3600,
        "day": 86400,
        "week": 604800,
    },
    "data": {
        "bit": 0.125,
        "B": 1,
        "KB": 1000,
        "MB": 1e6,
        "GB": 1e9,
        "TB": 1e12,
        "KiB": 1024,
        "MiB": 1048576,
        "GiB": 1073741824,
    },
    "speed": {"m/s": 1, "km/h": 1 / 3.6, "mph": 0.44704, "kn": 1852 / 3600, "knot": 1852 / 3600},
    "temperature": {
        "C": (1, 0),
        "F": (5 / 9, -160 / 9),
        "K": (1, -273.15),
        "°C": (1, 0),
        "°F": (5 / 9, -160 / 9),
        "celsius": (1, 0),
        "fahrenheit": (5 / 9, -160 / 9),
        "kelvin": (1, -273.15),
    },
}


def converter(reading: Reading) -> PieceFit | None:
    """Two selects of units."""
    selects = reading.of("select")
    value = first_match(reading.of("input"), r"value|amount|number|quantity|input")
    value = value or next(iter(reading.of("input")), None)
    result = first_match(reading.of("output", "unknown", "box"), r"result|output|converted|answer|value")
    if len(selects) != 2 or value is None or result is None:
        return None
    from_ = first_match(selects, r"from|source|first") or selects[0]
    to = next(one for one in selects if one is not from_)
    file = reading.file(".json")
    rates = _rates(reading.files.get(file)) if file else None
    known = (
        rates
        or _told_rates(reading, [*from_.options, *to.options])
        or units([*from_.options, *to.options])
        or units(re.findall(r"[°\w/]+", reading.brief))
    )
    if known is None:
        return None
    swap = first_match(reading.of("button"), r"swap|switch|exchange|revers|flip")
    button = first_match(reading.of("button"), r"convert|calc|go", [name(swap) or ""])
    options = {
        "value": value.id,
        "from": from_.id,
        "to": to.id,
        "result": result.id,
        "swap": name(swap),
        "button": name(button),
        "units": known,
        "file": file if rates else None,
        "decimals": result.decimals,
        "enterSwaps": True if reading.says(r"\bEnter\b") else None,
        "showsUnit": True if re.search(r"with (?:its|the) unit|and (?:its|the) unit", result.text) else None,
    }
    return match("converter", 3.0, options, value, from_, to, result, swap, button)


def _told_rates(reading: Reading, options: list[str]) -> dict[str, dict[str, float]] | None:
    """The factors of rates that the brief states: `1 EUR is 1.10 USD and 0.85 GBP`."""
    names = "|".join(re.escape(one) for one in dict.fromkeys(options))
    told = re.search(rf"\b(?:1|one) ({names})\b\s*(?:is|are|=|equals)\s*([^;]*)", reading.brief) if names else None
    if told is None:
        return None
    pairs = re.findall(rf"(\d+(?:\.\d+)?)\s*({names})\b", told[2])
    rates = {told[1]: {"factor": 1.0}, **{unit: {"factor": 1 / float(rate)} for rate, unit in pairs if float(rate)}}
    return rates if len(rates) == len(set(options)) > 1 else None


def _rates(text: str | None) -> dict[str, dict[str, float]] | None:
    """The factors of a file of rates: each name with its amount for one of the unit of all."""
    value = json_value(text)
    rates = value.get("rates", value) if isinstance(value, dict) else None
    if not isinstance(rates, dict) or len(rates) < 2:
        return None
    if not all(isinstance(rate, int | float) and rate > 0 for rate in rates.values()):
        return None
    return {name_: {"factor": 1 / rate} for name_, rate in rates.items()}


def units(names: list[str]) -> dict[str, dict[str, float]] | None:
    """The units of one kind among these names, with their factors. None if there are less than two."""
    best: dict[str, dict[str, float]] = {}
    for kind in UNITS.values():
        hit = {}
        for text in dict.fromkeys(names):
            key = next((key for key in (text, text.lower(), text.lower().rstrip("s")) if key in kind), None)
            if key is not None:
                factor = kind[key]
                hit[text] = (
                    {"factor": factor[0], "offset": factor[1]} if isinstance(factor, tuple) else {"factor": factor}
                )
        if len(hit) > len(best):
            best = hit
    return best if len(best) > 1 else None


def conversion(reading: Reading) -> PieceFit | None:
    """Amounts of the same in several units: one box and results, or boxes that follow each other."""
    if reading.of("select", "list", "table", "checkbox") or not reading.says(
        r"convert|\bsame\b|\beach other\b|updates? the other|\binto\b"
    ):
        return None
    parts = [one for one in reading.elements if one.kind in ("input", "output", "unknown", "heading", "box")]
    unit_of: dict[str, dict[str, float]] = {}
    for kind in UNITS:
        own = {one.id: factors for one in parts if (factors := _unit(one, kind)) is not None}
        if len(own) > len(unit_of):
            unit_of = own
    boxes = [one for one in reading.of("input") if one.id in unit_of]
    if len(unit_of) < 2 or not boxes or len(reading.of("input")) != len(boxes):
        return None
    amounts = [one for one in parts if one.id in unit_of]
    if any(re.search(r"\bshows?\b|\bsays?\b", one.text) for one in parts if one not in amounts):
        return None  # it shows something else too
    usual = decimals(reading.brief)
    button = first_match(reading.of("button"), r"convert|calc|go")
    options = {
        "amounts": [
            {
                "id": one.id,
                **unit_of[one.id],
                **(
                    {}
                    if (places := one.decimals if one.decimals is not None else usual) is None
                    else {"decimals": places}
                ),
            }
            for one in amounts
        ],
        "boxes": [one.id for one in boxes],
        "button": name(button),
        "trims": True if reading.says(r"\b(?:where|if|when|as) (?:needed|necessary)|\bat most\b") else None,
        "first": boxes[0].first,
    }
    return match("conversion", 2.0, options, *amounts, button)


IN_UNIT = r"\b(?:in|into|as|to|the)\s+([°\w/]+)"


def _unit(one: Element, kind: str) -> dict[str, float] | None:
    """The unit of this kind that an element's id names, or else the words about it."""
    in_text = r"\b(?:in|into|as|to|with|of|takes?|the|and|,)\s+([°\w/]+)" if one.kind == "input" else IN_UNIT
    for words, pattern in ((one.words, r"[°\w/]+"), (one.text, in_text)):
        for text in re.findall(pattern, words):
            key = next(
                (key for key in (text, text.lower(), text.lower().rstrip("s")) if key in UNITS[kind] and len(key) > 1),
                None,
            )
            if key is not None:
                factor = UNITS[kind][key]
                return {"factor": factor[0], "offset": factor[1]} if isinstance(factor, tuple) else {"factor": factor}
    return None


FITS = (converter, conversion)
