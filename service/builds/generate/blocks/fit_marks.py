"""Pieces of a look: a colour, a slider and its effects, stars.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: texts and pictures (`fit_views`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.counted import repeated
from service.builds.generate.blocks.fitting import PieceFit, around, class_for, match, name, storage_key
from service.builds.generate.blocks.reading import Reading, first_match


def colour(reading: Reading) -> PieceFit | None:
    """A picked or mixed colour, its box and its code."""
    if not reading.says(r"colou?r"):
        return None
    boxes = reading.of("input")
    outputs = reading.of("output", "box", "heading", "unknown", "canvas")
    pick = next(
        (
            one
            for one in boxes
            if re.search(
                r"type (?:is |of )?[\"'`]?colou?r|colou?r (?:input|field|picker|box)|colou?r\b",
                f"{one.words} {one.text}",
            )
        ),
        None,
    )
    sliders = [first_match(boxes, words) for words in (r"\b(red|r)\b", r"\b(green|g)\b", r"\b(blue|b)\b")]
    mixed = all(sliders) and len({one.id for one in sliders if one}) == 3
    painted = first_match(outputs, r"swatch|preview|sample|background|\bbox\b|patch|panel|\bcolou?r\b")
    shades = [one.id for one in outputs if mixed and re.search(r"\b(?:red|green|blue|[rgb])\b", one.words)]
    passed = [name(painted) or "", *shades]
    code = first_match(outputs, r"\b(code|hex)\b", passed) or first_match(outputs, r"\b(value|name)\b", passed)
    rgb = first_match(outputs, r"\brgb\b", [name(painted) or "", name(code) or ""])
    page = reading.says(
        r"background(?: colou?r)? of (?:the )?(?:whole )?(?:page|body)|page'?s? (?:gets|background)|\bbody\b"
    )
    if not (pick or mixed) or (painted is None and not page):
        return None
    values = [
        first_match(
            outputs,
            rf"\b{word}\b.*\b(?:value|number|shown)|(?:value|number|shown)\b.*\b{word}\b",
            [name(painted) or ""],
        )
        for word in ("red", "green", "blue")
    ]
    random_ = first_match(reading.of("button"), r"random|surprise|chance")
    first = re.search(
        r"(#[0-9a-fA-F]{6})\b[^.;]{0,40}?\b(?:at first|to (?:start|begin)|initially|by default|when the page opens)"
        r"|\b(?:starts?|begins?|initially|at first|default)\b[^.;#]{0,30}(#[0-9a-fA-F]{6})\b",
        reading.brief,
    )
    rgb_code = code is not None and re.search(r"\brgb\(", code.text) is not None
    options = {
        "pick": None if mixed else name(pick),
        "first": first[1] or first[2] if first and not mixed else None,
        "sliders": [one.id for one in sliders if one] if mixed else None,
        "painted": [*([painted.id] if painted else []), *(["body"] if page and painted is None else [])],
        "code": None if rgb_code else name(code),
        "rgb": name(code) if rgb_code else name(rgb),
        "capitals": True if code and re.search(r"capital|upper|#(?=[0-9A-F]*[A-F])[0-9A-F]{6}\b", code.text) else None,
        "values": [one.id for one in values if one] if mixed and all(values) else None,
        "random": name(random_),
    }
    taken = [*(sliders if mixed else [pick]), painted, code, rgb, random_]
    return match("colour", 3.0, options, *taken)


STYLES = (  # the property that a slider sets, by the words about it, and its unit
    (r"\bwide\b|\bwidth\b", "width", "%"),
    (r"font[- ]size|text size|size of the (?:text|letters)|letters? (?:get|grow)", "fontSize", "px"),
    (r"opacity|transparen", "opacity", ""),
    (r"rotat|turn", "transform", "deg"),
    (r"rounded|border radius|corners", "borderRadius", "px"),
    (r"\bheight\b|\bhigh\b|\btall\b", "height", "px"),
)


def slider(reading: Reading) -> PieceFit | None:
    """A slider, its value, and the elements that it makes larger or smaller."""
    ranges = [one for one in reading.of("input") if re.search(r"\b(?:slider|range)\b", one.text, re.I)]
    if (
        len(ranges) != 1
        or len(reading.of("input", "select", "textarea")) != 1
        or reading.says(r"colou?r (?:code|value)|random")
    ):
        return None
    outputs = reading.of("output", "box", "unknown", "heading", "image")
    styled = []
    for one in outputs:
        about = (
            f"{one.text} {one.sentence}"
            if one.kind in ("box", "image") or not re.search(r"shows?|displays?|says?", one.text)
            else ""
        )
        if hit := next(((prop, unit) for words, prop, unit in STYLES if re.search(words, about, re.I)), None):
            unit = "px" if hit[0] == "width" and re.search(r"\bpx\b|pixel", about) else hit[1]
            styled.append({"id": one.id, "property": hit[0], "unit": unit})
    own = next(((prop, unit) for words, prop, unit in STYLES if re.search(words, ranges[0].text, re.I)), None)
    target = next((one for one in outputs if not re.search(r"shows?|displays?|says?", one.text)), None)
    if not styled and own and target:  # `the slider sets its font size`
        styled.append({"id": target.id, "property": own[0], "unit": own[1]})
    rest = [one for one in outputs if one.id not in {style["id"] for style in styled}]
    output = first_match(rest, r"value|number|current|shows?|displays?|level|label|size")
    if output is None and not styled:
        return None
    words = around(output, reading) if output else {}
    if output and not words:
        told = re.search(
            r"followed by (?:an? )?(?:(percent|per cent|% )|[\"“']([^\"”']{1,8})[\"”']|(px|°))"
            r"|\bwith (?:an? |the )?(°[CF]?|%|€)|\b\d+(%|px|°C?)",
            f"{output.text} {output.sentence}",
        )
        words = {"after": "%" if told[1] else next(filter(None, told.groups()), "")} if told else {}
    percent = re.search(r"\b100\b", ranges[0].text) is not None
    reset = first_match(reading.of("button"), r"reset|default|normal")
    options = {
        "input": ranges[0].id,
        "output": name(output),
        "before": words.get("before"),
        "after": words.get("after"),
        "styled": styled,
        "percent": True if percent else None,
        "first": ranges[0].first,
        "reset": name(reset),
    }
    return match("slider", 3.0 + len(styled), options, output, reset)


def rating(reading: Reading) -> PieceFit | None:
    """Stars that are clicked."""
    if not reading.says(r"\bstars?\b|\brating\b"):
        return None
    star = class_for(reading, r"star|heart|icon")
    own = [one for one in reading.of("button") if re.search(r"\bstar\b", one.words)]
    places = repeated(reading)
    if len(own) < 2 and not (star and places):
        return None
    outputs = [one for one in reading.of("output", "box", "unknown", "heading") if one.id not in places]
    output = first_match(outputs, r"chosen|result|rating|value|score|text|label|stars")
    shape = re.search(r"\b((?:[A-Z][a-z]+: ?)?)\d+( ?(?:/|of|out of) ?)\d+( stars)?", output.text if output else "")
    alone = re.search(r"[\"“']\d+ (stars?)[\"”']", output.text) if output else None
    reset = first_match([one for one in reading.of("button") if one not in own], r"reset|clear")
    key = storage_key(reading, "rating")
    options = {
        "starClass": star if len(own) < 2 else None,
        "ids": [one.id for one in own] if len(own) > 1 else None,
        "onClass": class_for(reading, r"\bon\b|active|filled|selected|lit|full|gold|chosen", (star or "",)) or "on",
        "output": name(output),
        "text": f"{shape[1]}{{at}}{shape[2]}{{all}}{shape[3] or ''}"
        if shape
        else "{at} stars"
        if alone
        else "{at}"
        if output and re.search(r"number", output.text)
        else None,
        "first": output.first if output else None,
        "reset": name(reset),
        "keeps": True if key else None,
        "key": key,
    }
    containers = [one for one in reading.elements if one.id in places]
    return match("rating", 3.0, options, output, reset, *own, *containers)


def toggles(reading: Reading) -> PieceFit | None:
    """Parts of a grid that a click marks and another click frees."""
    places = repeated(reading)
    item = class_for(reading, r"cell|pixel|seat|square|box|tile|lamp|light|day|item|dot")
    marked = class_for(
        reading, r"\bon\b|active|taken|selected|lit|filled|done|marked|chosen|reserved|painted", (item or "",)
    )
    place = next((one for one in reading.elements if one.id in places), None)
    if (
        place is None
        or item is None
        or marked is None
        or reading.says(r"tic[ -]?tac|memory|\bpairs\b|\bstars?\b|rating")
    ):
        return None
    outputs = [one for one in reading.of("output", "unknown", "heading") if one is not place]
    free = first_match(outputs, r"\bfree\b|\bleft\b|\boff\b|available|remaining")
    price = first_match(outputs, r"price|cost|total|sum", [name(free) or ""])
    count = first_match(
        outputs, r"count|how many|number|taken|\bon\b|marked|selected", [name(free) or "", name(price) or ""]
    )
    unit_price = re.search(r"\b(\d+(?:\.\d+)?) (?:\w+ )?(?:each|apiece|a seat|per)\b", reading.brief)
    clear = first_match(reading.of("button"), r"clear|reset|none|empty|all")
    options = {
        "place": place.id,
        "itemClass": item,
        "onClass": marked,
        "count": name(count),
        "free": name(free),
        "price": name(price) if unit_price else None,
        "each": float(unit_price[1]) if unit_price and price else None,
        "decimals": price.decimals if price else None,
        "clear": name(clear),
    }
    return match("toggles", 2.0, options, place, count, free, price if unit_price else None, clear)


def checklist(reading: Reading) -> PieceFit | None:
    """Checkboxes that are counted."""
    boxes = reading.of("checkbox")
    if len(boxes) < 2 or reading.of("input", "list", "table", "select", "textarea"):
        return None
    outputs = reading.of("output", "unknown", "heading", "box")
    ready = first_match([one for one in outputs if one.hidden], r"")
    percent = first_match(outputs, r"per ?cent|progress", [name(ready) or ""])
    count = first_match(
        outputs, r"count|done|how many|number|ticked|of \d|progress|checked", [name(ready) or "", name(percent) or ""]
    )
    if count is None and percent is None and ready is None:
        return None
    shape = (
        re.search(r"((?:[A-Z][a-z]+ )?)\d+( ?(?:/|of|out of) ?)\d+((?: \w+)?)(?=[\"”']| at| when|[.,])", count.text)
        if count
        else None
    )
    key = storage_key(reading, "checklist")
    options = {
        "boxes": [one.id for one in boxes],
        "count": name(count),
        "text": f"{shape[1]}{{at}}{shape[2]}{{all}}{shape[3]}" if shape else None,
        "percent": name(percent),
        "ready": name(ready),
        "clear": name(first_match(reading.of("button"), r"clear|reset|none|all")),
        "key": key,
    }
    return match("checklist", 2.5, options, *boxes, count, percent, ready)


def gradient(reading: Reading) -> PieceFit | None:
    """Two colours that run into each other."""
    colours = [
        one
        for one in reading.of("input")
        if re.search(r"colou?r|\bfrom\b|\bto\b|start|end", f"{one.words} {one.text}", re.I)
    ]
    angle = first_match([one for one in reading.of("input") if re.search(r"angle|degree", one.words)], "")
    colours = [one for one in colours if one is not angle]
    if not reading.says(r"\bgradient") or len(colours) != 2 or len(reading.of("input", "select")) > 2 + bool(angle):
        return None
    views = reading.of("output", "box", "unknown")
    preview = first_match(views, r"preview|background|area|sample|box")
    css = first_match(views, r"\b(?:css|code|line|output|result)\b", [name(preview) or ""])
    if preview is None:
        return None
    degrees = re.search(r"\b(\d{1,3}) ?(?:deg|°)", reading.brief)
    options = {
        "from": colours[0].id,
        "to": colours[1].id,
        "angle": name(angle),
        "degrees": int(degrees[1]) if degrees else 90,
        "preview": preview.id,
        "css": name(css),
    }
    return match("gradient", 5.0, options, *colours, angle, preview, css)


FITS = (gradient, colour, slider, rating, toggles, checklist)
