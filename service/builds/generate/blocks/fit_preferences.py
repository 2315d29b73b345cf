"""Settings of a page that are kept: an attribute of the page, a class of its body, the size of its letters.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: one button for dark mode
(`fit_controls`).
"""

from __future__ import annotations

import re
from typing import Any

from service.builds.generate.blocks.fitting import PieceFit, match, name, storage_key
from service.builds.generate.blocks.reading import Element, Reading, first_match


def _setting(one: Element) -> dict[str, Any] | None:
    """The change that a control makes, by the words about it."""
    text = f"{one.text} "
    attribute = re.search(r"\b(data-[\w-]+)\b", text)
    if attribute and one.kind == "select" and one.options:
        near = r"[^.;]{0,40}?"
        body = re.search(rf"\b{attribute[1]}\b{near}\bbody\b|\bbody\b{near}\b{attribute[1]}\b", text)
        place = {"on": "body"} if body and not re.search(r"\bhtml\b|\broot\b|\bdocument", text, re.I) else {}
        return {"id": one.id, "kind": "attribute", "name": attribute[1], "first": one.first or one.options[0], **place}
    if one.kind == "input" and re.search(r"\b(?:font|text|letter)[- ]size|size of the (?:text|letters|font)", text):
        return {"id": one.id, "kind": "size", "first": int(one.first)} if one.first and one.first.isdigit() else None
    toggled = re.search(r"\bclass [\"'`]?([a-z][\w-]*)", text)
    if toggled and one.kind == "checkbox" and re.search(r"\bbody\b", text):
        return {"id": one.id, "kind": "class", "name": toggled[1], "first": False}
    return None


def preferences(reading: Reading) -> PieceFit | None:
    """Two or more settings. A control of which the use is not told leaves the brief to others."""
    fields = reading.of("select", "input", "checkbox")
    settings = [_setting(one) for one in fields]
    told = [setting for setting in settings if setting is not None]
    if len(told) < 2 or len(told) < len(settings):
        return None
    reset = first_match(reading.of("button"), r"reset|default|standard|back")
    options = {"settings": told, "reset": name(reset), "key": storage_key(reading, "preferences")}
    return match("preferences", 5.0, options, *fields, reset)


FITS = (preferences,)
