"""Pieces that react to clicks: counter, list, timer, tabs, disclosure, theme, board.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: forms (`fit_forms`),
files (`fit_contents`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.fitting import PieceFit, around, class_for, match, name, storage_key
from service.builds.generate.blocks.reading import Element, Reading, first_match
from service.builds.generate.blocks.rules import bounds_of, newest_first

REMOVES = r"\b(remove|delete|erase)"
FORMATS = (
    (r"hh:mm:ss", r"\b00:00:00\b(?!\.)", "hh:mm:ss"),
    (r"mm:ss[.,](?:cc|hh|xx|ss|ms)", r"\b\d\d:\d\d\.00\b", "mm:ss.cc"),
    (r"mm:ss[.,](?:t|d|s|x)\b|tenths", r"\b\d\d:\d\d\.\d\b", "mm:ss.t"),
    (r"mm:ss", r"\b\d\d:\d\d\b", "mm:ss"),
    (r"\bm:ss", r"(?<!\d)\d:\d\d\b", "m:ss"),
    (r"seconds with (?:one|1) decimal", r"\b0\.0\b", "seconds.t"),
)


def counter(reading: Reading) -> PieceFit | None:
    """A number that buttons change."""
    buttons = reading.of("button")
    plus = first_match(buttons, r"\b(plus|inc\w*|increase|add|up|more|likes?|adds one|one more|grows?)\b")
    minus = first_match(buttons, r"\b(minus|dec\w*|decrease|down|less|fewer|sub\w*)\b", [name(plus) or ""])
    value = first_match(
        reading.of("output", "heading"),
        r"count|counter|number|value|total|likes|score|points|clicks|label|level|percent",
    )
    if value is None or plus is None or reading.of("list", "table", "textarea", "select") or reading.of("input"):
        return None
    reset = first_match(buttons, r"reset|zero|clear|back", [plus.id, name(minus) or ""])
    least, most = bounds_of(reading)
    step = re.search(r"\bby (\d+|two|five|ten)\b", reading.brief)
    told = re.fullmatch(r"(-?\d+)\s?%?", value.first or "")
    first = told[1] if told else "0"
    bar = first_match(reading.of("box", "output"), r"^(?:bar|progress|fill)\b", [value.id])
    options = {
        "value": value.id,
        "plus": plus.id,
        "minus": name(minus),
        "reset": name(reset),
        "first": int(first),
        "least": least,
        "most": most,
        "step": {"two": 2, "five": 5, "ten": 10}.get(step[1]) or int(step[1]) if step else None,
        "bar": name(bar),
        **{key: text for key, text in around(value, reading).items() if key != "one"},
    }
    about = " ".join({one.sentence for one in (value, plus, minus) if one is not None})
    if ends := re.search(r"\b(?:between|from) (\d+) (?:and|to) (\d+)\b", about):
        options |= {"least": int(ends[1]), "most": int(ends[2])}
    return match("counter", 2.0 if minus else 0.5, options, value, plus, minus, reset, bar)


def list_(reading: Reading) -> PieceFit | None:
    """A list with entries that people add."""
    lists = reading.of("list")
    item = first_match(reading.of("input", "textarea"), r"item|new|task|todo|entry|name|thing|note|text|what")
    item = item or next(iter(reading.of("input")), None)
    if len(lists) != 1 or item is None or any(file.endswith((".csv", ".json")) for file in reading.files):
        return None
    if reading.says(r"stopwatch|countdown|\bquiz\b"):
        return None
    search = first_match([one for one in reading.of("input") if one is not item], r"search|filter|find")
    filters = _filters(reading)
    filtering = [one for one, _ in filters]
    buttons = [one for one in reading.of("button") if one not in filtering]
    outputs = reading.of("output", "heading")
    add = first_match(buttons, r"add|put|append|save|new|insert|submit|sign|enter")
    clear = first_match(buttons, r"clear|empty|remove|delete|all", [name(add) or ""])
    form = next(iter(reading.of("form")), None)
    if add is None and form is None and not reading.says(r"\benter\b"):
        return None
    count = first_match(outputs, r"count|total|number|how many|left|open|items|remaining")
    empty = first_match(outputs, r"empty|nothing", [name(count) or ""])
    removes = re.search(
        r"button\s+(?:with the (?:text|label) |labell?ed |called |named )?[\"'`“]?(Remove|Delete|Erase|×|✕|x|X)\b",
        reading.brief,
    )
    done = re.search(r"\b(done|complet\w+|bought|checked|finished|struck|strike)\b", reading.brief, re.IGNORECASE)
    options = {
        "item": item.id,
        "add": name(add),
        "list": lists[0].id,
        "count": name(count),
        "clear": name(clear),
        "empty": name(empty),
        "counts": "open" if count and re.search(r"\bleft\b|open|remaining|not done|undone|still", count.text) else None,
        "remove": removes[1] if removes else "Remove" if re.search(REMOVES, reading.brief, re.IGNORECASE) else None,
        "removesBy": "dblclick"
        if reading.says(r"double[- ]?click\w*(?: on)?(?: an?| the| it)?(?: \w+)? (?:removes|deletes)")
        else "click"
        if not removes
        and not done
        and reading.says(r"(?<!double)(?<!double-)\bclick(?:ing)?(?: on)?(?: an?| the)? \w+ (?:removes|deletes)")
        else None,
        "removeClass": class_for(reading, REMOVES[2:]),
        "done": None if not done else "checkbox" if reading.says(r"check ?box|tick") else "click",
        "doneClass": class_for(reading, r"done|complete|bought|checked|finished") if done else None,
        "clears": "done" if clear and re.search(r"done|complete|finished|bought", clear.text) else None,
        "newest": newest_first(reading) or None,
        "sorts": True if reading.says(r"alphabetical|in order of the alphabet|\bsorted\b(?! by)") else None,
        "search": name(search),
        "filters": [{"id": one.id, "shows": shows} for one, shows in filters],
        "keeps": True if storage_key(reading, "list") else None,
        "key": storage_key(reading, f"list-{lists[0].id}"),
    }
    return match("list", 3.0, options, item, add, lists[0], count, clear, empty, form, search, *filtering)


FILTERS = (
    ("done", r"\b(?:completed?|done|finished|bought|checked)\b"),
    ("open", r"\b(?:active|open|pending|undone|todo|to do|remaining|unfinished|left)\b"),
    ("all", r"\b(?:all|every\w*)\b"),
)


def _filters(reading: Reading) -> list[tuple[Element, str]]:
    """The buttons that choose the entries to show, if there are two or more: `all`, `open` and `done`."""
    if not reading.says(r"\bfilter|\blimits?\b|\bonly\b|\bshows?\b[^.]{0,40}\b(?:done|completed|open|active)"):
        return []
    buttons = [one for one in reading.of("button") if not re.search(r"clear|remove|delete|add|mark", one.words)]
    kinds = [(one, next((shows for shows, words in FILTERS if re.search(words, one.words)), None)) for one in buttons]
    told = [(one, shows) for one, shows in kinds if shows is not None]
    return told if len({shows for _, shows in told}) > 1 else []


def timer(reading: Reading) -> PieceFit | None:
    """A stopwatch, or a countdown."""
    if not reading.says(r"stop ?watch|timer|count(?:s|ing)? ?down|pomodoro"):
        return None
    buttons, outputs = reading.of("button"), reading.of("output", "heading", "box")
    start = first_match(buttons, r"\b(start|go|begin|run|toggle|starts)\b")
    display = first_match(outputs, r"time|display|remaining|left|clock|elapsed|watch|seconds|counter|timer")
    display = display or next((one for one in outputs if re.fullmatch(r"[\d:.]+", one.first or "")), None)
    if start is None or display is None:
        return None
    stop = first_match(buttons, r"\b(stop|pause|hold|halt|stops|pauses|holds)\b", [start.id])
    reset = first_match(buttons, r"\b(reset|clear|zero|resets|back)\b", [start.id, name(stop) or ""])
    lap = first_match(buttons, r"\b(lap|laps|split|round)\b", [start.id, name(stop) or "", name(reset) or ""])
    laps = next(iter(reading.of("list")), None)
    length = first_match(reading.of("input", "select"), r"minute|second|duration|length|time|from")
    done = first_match(outputs, r"done|over|end|finish|message|alarm|up|ring", [display.id])
    done = done or next((one for one in outputs if one.hidden and one is not display), None)
    down = length is not None or reading.says(r"count(?:s|ing)? ?down|egg|time left|remaining|pomodoro")
    text = f"{display.text} {display.sentence}"
    shape = next(
        (form for words, example, form in FORMATS if re.search(words, text, re.I) or re.search(example, text)), None
    )
    plain = re.search(r"\bseconds (?:that are )?left\b|\b(?:number of|remaining|left) seconds\b", text) is not None
    plain = plain or re.fullmatch(r"\d+", display.first or "") is not None
    usual = "seconds" if plain else "mm:ss" if down else None
    shape = shape or next((form for words, _, form in FORMATS if reading.says(words)), usual)
    long = re.search(r"(\d+)[ -](minute|second)", reading.brief)
    texts = re.search(
        r"text[^.]{0,40}?[\"'`“]?(Start|Go|Begin)[\"'`”]?[^.]{0,50}?\b(Stop|Pause|Hold)",
        start.sentence + " " + reading.brief,
    )
    counted = display.first if not length and not long and re.fullmatch(r"\d+", display.first or "") else None
    seconds = (
        counted is not None
        or re.search(r"second", f"{length.id} {length.text}" if length else long[2] if long else "") is not None
    )
    options = {
        "display": display.id,
        "start": start.id,
        "stop": name(stop),
        "reset": name(reset),
        "lap": name(lap),
        "laps": name(laps),
        "length": name(length),
        "done": name(done) if down else None,
        "down": down or None,
        "format": shape,
        "unit": "seconds" if down and seconds else None,
        "first": (length.first if length else None)
        or (long[1] if long and down else counted or _length(display) if down else None),
        "toggles": True if stop is None else None,
        "startText": texts[1] if texts else None,
        "stopText": texts[2] if texts else None,
        "newest": newest_first(reading) or None,
    }
    return match("timer", 4.0, options, start, display, stop, reset, lap, laps, length, done if down else None)


def _length(display: Element) -> str | None:
    """The minutes of a countdown by its first text: `25:00`."""
    told = re.fullmatch(r"(\d+):(\d\d)", display.first or "")
    return f"{int(told[1]) + int(told[2]) / 60:g}" if told else None


def _pairs(reading: Reading, word: str) -> tuple[list[Element], list[Element]] | None:
    """As many buttons as panels, in the order of the brief."""
    buttons = [one for one in reading.of("button", "link", "unknown") if re.search(word, one.words)] or reading.of(
        "button", "link"
    )
    ids = {one.id for one in buttons}
    panels = [
        one for one in reading.elements if one.kind in ("box", "output", "unknown", "heading") and one.id not in ids
    ]
    return (buttons, panels) if len(buttons) == len(panels) >= 1 else None


NAMED_TABS = re.compile(
    r"\btabs(?: (?:named|called|labell?ed|with the (?:names|labels)))?:?\s+"
    r"((?:[\"“]?[A-Z][\w-]*[\"”]?(?:,\s+and\s+|,\s+|\s+and\s+))+[\"“]?[A-Z][\w-]*)"
)


def _named_tabs(reading: Reading) -> PieceFit | None:
    """Tabs of which the brief tells the names, and panels with the same ids. The page makes their buttons."""
    told = NAMED_TABS.search(reading.brief)
    names = re.findall(r"[A-Z][\w-]*", told[1]) if told else []
    by_id = {one.id.lower(): one for one in reading.of("box", "output", "unknown")}
    panels = [by_id.get(tab.lower()) for tab in names]
    if len(names) < 2 or not all(panels):
        return None
    ids = [panel.id for panel in panels if panel]
    holds = {
        one: [
            element.id
            for element in reading.elements
            if element.id not in ids and re.search(rf"\b[Ii]n (?:the )?(?:tab |panel )?[\"“]?{tab}\b", element.sentence)
        ]
        for one, tab in zip(ids, names, strict=True)
    }
    options = {"names": names, "panels": ids, "holds": {key: value for key, value in holds.items() if value}}
    return match("tabs", 4.0, options, *panels)


def tabs(reading: Reading) -> PieceFit | None:
    """Panels, one of them at a time."""
    if (named := _named_tabs(reading)) is not None:
        return named
    if not reading.says(r"\btabs?\b") or (pairs := _pairs(reading, r"\btab\b|show")) is None or len(pairs[0]) < 2:
        return None
    buttons, panels = pairs
    start = re.search(r"(?:^|(?<=\.))(?:at first\b[^.]*|[^.]*\bat first\b)", reading.brief)
    first = next(
        (at for at, panel in enumerate(panels) if start and re.search(rf"\b{re.escape(panel.id)}\b", start[0])), 0
    )
    options = {
        "tabs": [one.id for one in buttons],
        "panels": [one.id for one in panels],
        "first": first,
        "activeClass": class_for(reading, r"active|selected|current|chosen"),
    }
    return match("tabs", 3.0, options, *buttons, *panels)


def disclosure(reading: Reading) -> PieceFit | None:
    """Panels that buttons show and hide."""
    if not reading.says(r"accordion|aria-expanded|frequent|\bFAQ|show(?:s|n)?\b[^.]{0,60}\bhide|expand|collaps|fold"):
        return None
    single = (
        True
        if reading.says(r"only one|one at a time|(?:closes|hides) the others?|others? (?:close|are closed|is hidden)")
        else None
    )
    if (pairs := _pairs(reading, r"toggle|more|question|show|q\d")) is not None:
        ids = {"buttons": [one.id for one in pairs[0]], "panels": [one.id for one in pairs[1]]}
        return match("disclosure", 2.0, {**ids, "single": single}, *pairs[0], *pairs[1])
    button = class_for(reading, r"question|button|toggle|header|title|trigger")
    panel = class_for(reading, r"answer|panel|content|body|text", (button or "",))
    if button is None or panel is None:
        return None
    number = re.search(r"\b(two|three|four|five|six|[2-9])\b", reading.brief)
    count = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}.get(number[1]) or int(number[1]) if number else 3
    options = {"buttonClass": button, "panelClass": panel, "single": single, "count": count}
    return match("disclosure", 3.0, options)


def theme(reading: Reading) -> PieceFit | None:
    """Light and dark."""
    if not reading.says(r"\bdark\b"):
        return None
    button = first_match(reading.of("button", "checkbox"), r"theme|dark|mode|night|light|toggle|switch")
    if button is None:
        return None
    attribute = re.search(
        r"\b(data-(?!text)[\w-]+)", reading.brief + " " + reading.code.replace("dataset.theme", "data-theme")
    )
    root = (
        reading.says(r"\bhtml\b(?! button)|document ?element|root element|<html>") or "documentElement" in reading.code
    )
    while_ = (
        r"(?:\b(?:is|says|reads|shows|and|be|to|or|it)\s+|[\"'`“])([A-Z☀☾🌙][\w-]*(?: "
        r"\w+)?)[\"'`”]?\s+(?:while|when|if|in)\s+(?:the page |it |the theme )?(?:is )?(light|dark)"
    )
    texts = {state: text for text, state in re.findall(while_, reading.brief)}
    options = {
        "button": button.id,
        "on": "html" if root else None,
        "attribute": attribute[1] if attribute else None,
        "name": class_for(reading, r"dark|night|theme"),
        "key": storage_key(reading, "theme"),
        "lightText": texts.get("light"),
        "darkText": texts.get("dark") if texts.get("light") else None,
    }
    state = first_match(reading.of("output"), r"state|status|current|theme|mode", [button.id])
    options["state"] = name(state)
    return match("theme", 2.0, options, button, state)


def kanban(reading: Reading) -> PieceFit | None:
    """Cards in columns."""
    if not reading.says(r"kanban|\bboard\b|columns?\b[^.]{0,60}\b(?:card|task)"):
        return None
    columns = reading.of("list")
    if len(columns) < 2:
        columns = [
            one
            for one in reading.of("box", "unknown")
            if re.search(r"to ?do|doing|done|progress|column|backlog|review|ready", one.words)
        ]
    item = next(iter(reading.of("input", "textarea")), None)
    if len(columns) < 2 or item is None:
        return None
    add = first_match(reading.of("button"), r"add|new|create|put")
    ids = [one.id for one in columns]
    counts = [
        first_match(reading.of("output"), rf"(?:^| ){re.escape(one.words)} |count {re.escape(one.words)}")
        for one in columns
    ]
    next_ = class_for(reading, r"next|move|right|forward|advance")
    back = class_for(reading, r"back|left|prev", (next_ or "",))
    gone = class_for(reading, r"delete|remove|trash", (next_ or "", back or ""))
    form = next(iter(reading.of("form")), None)
    total = first_match(reading.of("output"), r"total|count|all", [name(one) or "" for one in counts])
    options = {
        "columns": ids,
        "item": item.id,
        "add": name(add),
        "next": next_ or ("next" if reading.says(r"button[^.]{0,60}(?:next|moves?)") else None),
        "back": back,
        "remove": gone,
        "cardClass": class_for(reading, r"card|item", (next_ or "", back or "", gone or "")),
        "counts": [one.id for one in counts if one] if all(counts) else None,
        "count": name(total),
        "keeps": True if storage_key(reading, "board") else None,
        "key": storage_key(reading, "board"),
    }
    return match("kanban", 5.0, options, *columns, item, add, form, *(counts if all(counts) else []))


FITS = (counter, list_, timer, tabs, disclosure, theme, kanban)
