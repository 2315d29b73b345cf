"""Pieces that make a small site: the facts of a JSON document, a menu with links, a gallery of small pictures.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: tables and charts (`fit_data`), a
looked-up answer (`fit_contents`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from service.builds.generate.blocks.fit_contents import PICTURES
from service.builds.generate.blocks.fitting import PieceFit, around, class_for, json_value, match, name, position_text
from service.builds.generate.blocks.notation import SENTENCE
from service.builds.generate.blocks.reading import Element, Reading, first_match

LIKE = {  # words of a brief for keys of a document
    "title": ("name", "title"), "name": ("name", "title"), "description": ("text", "about", "summary"),
    "price": ("cost", "amount"), "date": ("day", "released", "published", "on"), "author": ("by", "writer"),
    "address": ("street", "place"), "phone": ("telephone", "tel"), "opening": ("hours",),
}  # fmt: skip
SCALES = r"proportion|\bscal|\bchange\w* with\b|accordingly|\bmultipl|\badjust|\bconvert|for (?:so|that|as) many"
TAB = re.compile(
    r"(?:\b(?:tab of the (?:browser|page)|browser(?:'s)? tab|(?:document|page)(?:'s)? title"
    r"|title of the (?:page|document|tab))\b)(?P<rest>[^.;]*)",
    re.I,
)
TELLS = r"(?:says|tells|reads|contains|holds|describes|lists|has|shows|gives|explains)\b"
HEADING = re.compile(
    r"\bthe (?P<one>[\w ]{1,30}?) (?:is|becomes|stands in|goes into) the (?:page's |main )?heading\b"
    r"|\bheading (?:is|shows|has|says|carries|names|reads) the (?P<two>[\w' ]{1,30})",
    re.I,
)


def facts(reading: Reading) -> PieceFit | None:
    """The values and lists of a JSON document, each in an element of its own."""
    file = reading.file(".json")
    document = _document(reading.files.get(file or ""))
    if file is None or document is None or reading.of("table", "canvas", "svg") or reading.says(r"\bquiz\b"):
        return None
    single = {path: value for path, value in _paths(document) if not isinstance(value, list | dict)}
    several = {path: value for path, value in _paths(document) if isinstance(value, list)}
    taken: list[Element] = []
    fields, lists = [], []
    for one in reading.of("output", "heading", "box", "unknown"):
        if (key := _key(one, single)) is not None:
            fields.append({"id": one.id, "path": key, **_words(one, reading)})
            taken.append(one)
    for one in reading.of("list"):
        if (key := _key(one, several)) is not None:
            keys = _order(several[key], reading)
            lists.append({"id": one.id, "path": key, **({"keys": keys} if keys else {})})
            taken.append(one)
    scale = next(
        (one for one in reading.of("input") if (key := _key(one, single)) and isinstance(single[key], int | float)),
        None,
    )
    if scale is not None and not reading.says(SCALES):
        scale = None
    if len(taken) < 2 and scale is None:
        return None
    told = HEADING.search(reading.brief)
    tab = TAB.search(reading.brief)
    options = {
        "file": file,
        "fields": fields,
        "lists": lists,
        "scale": name(scale),
        "scaleBy": _key(scale, single) if scale else None,
        "heading": _named((told["one"] or told["two"]), single) if told else None,
        "tab": _named(tab["rest"], single) if tab else None,
    }
    return match("facts", 3.0, options, scale, *taken)


def _document(text: str | None) -> dict[str, Any] | None:
    value = json_value(text)
    return value if isinstance(value, dict) else None


def _paths(document: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    for key, value in document.items():
        yield key, value
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", part) for inner, part in value.items())


def _key(one: Element, values: dict[str, Any]) -> str | None:
    """The value that an element shows, by its id or else by the words about it."""
    return _named(one.words, values) or _named(re.sub(r"#[\w-]+", "", one.text), values)


def _named(text: str, values: dict[str, Any]) -> str | None:
    words = [_stem(word) for word in re.findall(r"[a-z]+", text.lower())]
    for path in values:
        own = [_stem(word) for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", path.rpartition(".")[2])]
        if own and all(word in words for word in own):
            return path
    for path in values:
        if any(_stem(word) in words for word in LIKE.get(path.rpartition(".")[2].lower(), ())):
            return path
    return None


def _stem(word: str) -> str:
    return re.sub(r"(?<=\w{3})(?:s|es)$", "", word.lower())


def _words(one: Element, reading: Reading) -> dict[str, str]:
    return {key: text for key, text in around(one, reading).items() if key != "one"}


def _order(entries: list[Any], reading: Reading) -> list[str]:
    """The keys of a list's entries in the order in which a sentence names them."""
    if not entries or not isinstance(entries[0], dict):
        return []
    best: list[str] = []
    for sentence in SENTENCE.split(reading.brief):
        places = {
            key: hit.start() for key in entries[0] if (hit := re.search(rf"\b{re.escape(key)}s?\b", sentence, re.I))
        }
        if len(places) > max(1, len(best)):
            best = sorted(places, key=lambda key: places[key])
    return best or list(entries[0])


def menu(reading: Reading) -> PieceFit | None:
    """Links to the sections of the page, in a menu that a button may open."""
    if not reading.says(r"\bmenu\b|\bnav(?:igation)?\b|table of contents"):
        return None
    able = reading.of("box", "output", "unknown", "list")
    place = first_match(able, r"^(?:.* )?(?:menu|nav|navigation|links|drawer|sidebar|toc)(?: |$)")
    sections = [one for one in reading.of("box") if one is not place]
    if place is None or len(sections) < 2 or not reading.says(r"\blinks?\b|leads? to|jumps? to|points? to"):
        return None
    if any(re.search(rf"\b{re.escape(one.id)}[`\"']?,? {TELLS}", reading.brief, re.I) for one in sections):
        return None  # their own texts, and this piece only has their names
    button = first_match(reading.of("button"), r"menu|nav|toggle|open|burger|more")
    options = {
        "menu": place.id,
        "button": name(button),
        "links": [{"id": one.id, "text": _title(one, reading)} for one in sections],
        "closes": True
        if reading.says(
            r"(?:click\w*|choos\w+|following|press\w*|tap\w*)[^.]{0,30}\blinks?\b[^.]{0,30}\b(?:close|shut|hide)"
        )
        else None,
    }
    return match("menu", 3.0, options, place, button, *sections)


def _title(one: Element, reading: Reading) -> str:
    """The name of a section as the brief writes it: `Opening hours` for `opening-hours`."""
    pattern = r"[\s-]+".join(map(re.escape, one.words.split()))
    hit = next(
        (part for part in re.finditer(rf"(?<![#\w-]){pattern}\b", reading.brief, re.I) if part[0][0].isupper()), None
    )
    return hit[0] if hit else one.words.capitalize()


def gallery(reading: Reading) -> PieceFit | None:
    """Small pictures, of which one is shown large."""
    files = sorted((file for file in reading.files if file.lower().endswith(PICTURES)), key=_told(reading))
    if len(files) < 2 or not reading.says(
        r"thumb|\b(?:small|little|tiny) (?:pictures?|images?|photos?)|gallery|preview"
    ):
        return None
    places = reading.of("box", "list", "output", "unknown")
    thumbs = first_match(places, r"thumb|gallery|small|preview|strip|row|pictures|images|photos")
    large = first_match(reading.of("image"), r"")
    if thumbs is None or large is None:
        return None
    caption = first_match(reading.of("output", "heading", "unknown"), r"caption|name|title|alt|text|label", [thumbs.id])
    position = first_match(
        reading.of("output", "unknown"), r"position|number|count|\d (?:of|/) \d", [thumbs.id, name(caption) or ""]
    )
    buttons = reading.of("button")
    next_ = first_match(buttons, r"\b(?:next|forward|right)\b")
    previous = first_match(buttons, r"\b(?:prev\w*|back|left)\b", [name(next_) or ""])
    bare = [re.sub(r"\.\w+$", "", file.rpartition("/")[2]) for file in files]
    start = re.search(r"\bat (?:first|the (?:start|beginning))\b,? (?:the )?([\w-]+)", reading.brief, re.I)
    first = next((at for at, text in enumerate(bare) if start and text.lower() == start[1].lower()), 0)
    options = {
        "thumbs": thumbs.id,
        "large": large.id,
        "pictures": [{"file": file, "text": text} for file, text in zip(files, bare, strict=True)],
        "caption": name(caption),
        "position": name(position),
        "positionText": position_text(position),
        "next": name(next_),
        "previous": name(previous),
        "chosenClass": class_for(reading, r"chosen|active|select|current|on\b|marked|highlight"),
        "first": first or None,
        "keys": True if reading.says(r"\barrow|\bkeys?\b|keyboard") else None,
        "wraps": True
        if reading.says(r"\bround\b|\bwraps?\b|starts? (?:over|again)|after the last|from the last|endless|in a circle")
        else None,
    }
    return match("gallery", 4.0, options, thumbs, large, caption, position, next_, previous)


def _told(reading: Reading) -> Any:
    """The place of a file in the brief: by its name, or by its name without the ending."""

    def place(file: str) -> tuple[int, str]:
        bare = re.sub(r"\.\w+$", "", file)
        places = [at for text in (file, bare) if (at := reading.brief.find(text)) >= 0]
        return (places[0] if places else len(reading.brief), file)

    return place


FITS = (facts, menu, gallery)
