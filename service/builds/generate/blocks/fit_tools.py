"""Small tools that many briefs ask for: a clock, dates, rows of numbers, passwords, notes, states, steps of a form.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: calculations (`fit_forms`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.fitting import PieceFit, around, class_for, match, name, storage_key, text_when
from service.builds.generate.blocks.phrases import QUOTE
from service.builds.generate.blocks.reading import Element, Reading, first_match


def _outputs(reading: Reading) -> list[Element]:
    return reading.of("output", "box", "unknown", "heading")


def clock(reading: Reading) -> PieceFit | None:
    """The time of day."""
    if not reading.says(r"\bclock\b|current time|time of day|local time") or reading.of("input", "select", "list"):
        return None
    time = first_match(_outputs(reading), r"time|clock|now")
    if time is None or reading.says(r"stop ?watch|timer|count(?:s|ing)? ?down"):
        return None
    date = first_match(_outputs(reading), r"\bdate\b|\btoday\b", [time.id])
    day = first_match(_outputs(reading), r"\bweekday\b|\bday\b", [time.id, name(date) or ""])
    toggle = first_match(reading.of("button", "checkbox"), r"format|toggle|12|24|switch|mode|hour")
    options = {
        "time": time.id,
        "date": name(date),
        "day": name(day),
        "toggle": name(toggle),
        "withoutSeconds": True if re.search(r"\bHH:MM\b(?!:)", time.text) else None,
    }
    return match("clock", 2.0, options, time, date, day, toggle)


WEEKDAY = r"week ?day|day of the week"
DATE_RESULTS = (
    ("age", r"\bage\b|\bold\b|\byears\b"),
    ("weekday", WEEKDAY),
    ("weeks", r"\bweeks\b"),
    ("days", r"\bdays?\b|difference|result|between|until|left"),
)
ON_DAY = re.compile(  # `For today it says "today" and for a date in the past "over"`
    r"\btoday (?:it )?(?:says|shows|reads|is)? ?[\"“]([^\"”]{1,40})[\"”][^.\"“]{0,40}\bpast\b[^.\"“]{0,20}"
    r"[\"“]([^\"”]{1,40})[\"”]"
)


def dates(reading: Reading) -> PieceFit | None:
    """Days between two dates, until a date, since a date, an age, a day of the week."""
    boxes = [
        one
        for one in reading.of("input")
        if re.search(r"\bdate\b|birth|birthday|\bday\b", f"{one.words} {one.text}", re.I)
    ]
    if not 1 <= len(boxes) <= 2 or len(reading.of("input")) != len(boxes) or reading.of("list", "table", "textarea"):
        return None
    problem = first_match(_outputs(reading), r"\b(?:error|problem|message|invalid|warning)\b")
    results, taken = [], []
    for one in _outputs(reading):
        if one is problem:
            continue
        words = f"{one.words}: {one.text}"
        own = one.text if re.search(WEEKDAY, one.text, re.I) else one.words
        what = next((what for what, pattern in DATE_RESULTS if re.search(pattern, own, re.I)), None)
        what = what or next((what for what, pattern in DATE_RESULTS if re.search(pattern, words, re.I)), None)
        if what is not None:
            told = around(one, reading)
            today, past = text_when(one.sentence, r"today|same day"), text_when(one.sentence, r"past|over|before today")
            both = ON_DAY.search(reading.brief) if what == "days" else None
            today, past = (both[1], both[2]) if both else (today, past)
            more = {"today": today, "past": past} if what == "days" else {}
            results.append({"id": one.id, "what": what, **told, **{key: value for key, value in more.items() if value}})
            taken.append(one)
    if not results:
        return None
    button = first_match(reading.of("button"), r"calc|comput|count|show|check|go|submit|find")
    button = button or next(iter(reading.of("button")), None)
    options = {
        "inputs": [one.id for one in boxes],
        "results": results,
        "button": name(button),
        "problem": name(problem),
        "until": True if len(boxes) == 1 and reading.says(r"\buntil\b|\bleft\b|count ?down|remain|\bto go\b") else None,
        "positive": True
        if len(boxes) == 2 and reading.says(r"order|either way|absolute|never negative|positive")
        else None,
    }
    return match("dates", 3.0, options, *boxes, *taken, button, problem)


SEQUENCES = (
    ("fizzbuzz", r"fizz ?buzz"),
    ("fibonacci", r"fibonacci"),
    ("primes", r"\bprimes?\b"),
    ("divisors", r"\bdivisors?\b|\bfactors\b"),
    ("table", r"multiplication table|times table|multiples"),
    ("squares", r"\bsquares\b|square numbers"),
)


COUNTED_ROWS = r"\b(?:from )?1 (?:to|through|up to) (\d+)\b|\bfirst (\d+)\b|\bup to (\d+)\b"


def sequence(reading: Reading) -> PieceFit | None:
    """A list of numbers that follow a rule, up to a typed number."""
    what = next((what for what, words in SEQUENCES if reading.says(words)), None)
    box = next(iter(reading.of("input")), None)
    place = next(iter(reading.of("list", "table")), None)
    place = place or first_match(
        _outputs(reading), r"list|result|numbers|output|primes|table|sequence|factors|divisors"
    )
    if what is None or box is None or place is None or len(reading.of("input")) != 1:
        return None
    others = [one for one in _outputs(reading) if one is not place]
    problem = first_match(others, r"\b(?:error|problem|message|invalid|warning)\b")
    total = first_match(others, r"count|how many|total|number", [name(problem) or ""])
    button = first_match(reading.of("button"), r"show|make|generate|list|go|calc|create|find|compute|run|start")
    shape = re.search(r"(\d+) ?[×x*·] ?(\d+) ?= ?\d+", place.text)
    count = re.search(COUNTED_ROWS, place.text)
    count = count or re.search(COUNTED_ROWS, reading.brief)
    sign = re.search(r"\d ?(×|x|\*|·) ?\d", reading.brief)
    separated = re.search(r"separated by (?:a )?(comma|space|blank)", reading.brief)
    options = {
        "what": what,
        "input": box.id,
        "place": place.id,
        "button": name(button),
        "problem": name(problem),
        "total": name(total),
        "count": int(next(filter(None, count.groups()))) if count and what == "table" else None,
        "turned": True if shape and shape[2] == box.first and shape[1] != box.first else None,
        "sign": sign[1] if sign else None,
        "upTo": True
        if reading.says(r"\bup to\b|\bless than\b|\bbelow\b|not (?:above|greater|larger)|until\b")
        else None,
        "fromOne": True
        if re.search(r"\b1, ?1, ?2\b", reading.brief) and not re.search(r"\b0, ?1, ?1\b", reading.brief)
        else None,
        "between": " " if separated and separated[1] != "comma" else None,
        "atOnce": True if box.first else None,
    }
    return match("sequence", 3.0, options, box, place, button, problem, total)


CHARACTERS = (
    ("upper", r"upper|capital"),
    ("lower", r"lower|small letters"),
    ("digits", r"digit|number"),
    ("symbols", r"symbol|special|sign|punctuation"),
)


def password(reading: Reading) -> PieceFit | None:
    """A password by chance."""
    if not reading.says(r"password") or not reading.says(r"generat|random"):
        return None
    button = first_match(reading.of("button"), r"generat|make|new|create|random")
    outputs = [*_outputs(reading), *[one for one in reading.of("input") if re.search(r"password|result", one.words)]]
    output = first_match(outputs, r"password|result|output|generated")
    if button is None or output is None:
        return None
    length = first_match(
        [one for one in reading.of("input", "select") if one is not output], r"length|long|characters|size|number"
    )
    boxes = {kind: first_match(reading.of("checkbox"), words) for kind, words in CHARACTERS}
    told = {
        kind: one.id if (one := boxes[kind]) else True
        for kind, words in CHARACTERS
        if boxes[kind] or _always(reading, words, kind, any(boxes.values()))
    }
    count = re.search(r"\b(\d+|eight|ten|twelve|sixteen) characters", reading.brief)
    others = [one for one in _outputs(reading) if one is not output]
    problem = first_match(others, r"\b(?:error|problem|message|invalid|warning|hint)\b")
    length_shown = first_match(others, r"length|value|current", [name(problem) or ""])
    copy = first_match(reading.of("button"), r"\bcopy\b", [button.id])
    options = {
        "button": button.id,
        "output": output.id,
        "length": name(length),
        "count": {"eight": 8, "ten": 10, "twelve": 12, "sixteen": 16}.get(count[1]) or int(count[1])
        if count and not length
        else None,
        "kinds": told,
        "problem": name(problem),
        "shown": name(length_shown),
        "copy": name(copy),
    }
    return match("password", 4.0, options, button, output, length, *boxes.values(), problem, length_shown, copy)


def _always(reading: Reading, words: str, kind: str, chosen: bool) -> bool:
    """Whether characters of a kind without a box are used: those that the brief names, or all letters and digits."""
    named = reading.says(words)
    return (
        (kind == "lower") if chosen else named or (kind in ("lower", "upper", "digits") and not reading.says(r"only "))
    )


def notepad(reading: Reading) -> PieceFit | None:
    """Typed text that is kept."""
    boxes = reading.of("textarea") or reading.of("input")
    key = storage_key(reading, "notes")
    if key is None or len(boxes) != 1 or reading.of("list", "table", "select") or reading.files:
        return None
    outputs = _outputs(reading)
    save = first_match(reading.of("button"), r"save|keep|store")
    clear = first_match(reading.of("button"), r"clear|delete|reset|empty|forget", [name(save) or ""])
    state = first_match(outputs, r"\b(?:state|status|saved|message|info|note)\b", [boxes[0].id])
    words = first_match(outputs, r"\bwords?\b", [name(state) or ""])
    letters = first_match(outputs, r"character|letter|chars|length", [name(state) or "", name(words) or ""])
    saved = re.search(
        r"[\"“']([^\"”']*\b[Ss]aved[^\"”']*)[\"”']|\b(Saved)\b", f"{state.text} {state.sentence}" if state else ""
    )
    options = {
        "inputs": [boxes[0].id],
        "key": key,
        "plain": True,
        "button": name(save),
        "clear": name(clear),
        "state": name(state),
        "savedText": (saved[1] or saved[2]) if saved else None,
        "clearedText": text_when(state.sentence, r"clear|delet|empt") if state else None,
        "words": name(words),
        "letters": name(letters),
    }
    return match("notepad", 2.0, options, boxes[0], save, clear, state, words, letters)


COLOURS = ("red", "amber", "yellow", "orange", "green", "blue", "purple", "white", "black", "pink")
SHADES = {"yellow": "gold", "amber": "orange"}


def states(reading: Reading) -> PieceFit | None:
    """One of several states is active, and a button goes on to the next."""
    button = first_match(reading.of("button"), r"next|switch|change|toggle|cycle|advance|step|go")
    if button is None or reading.of("input", "table", "list", "textarea"):
        return None
    lights = [
        one
        for one in reading.elements
        if one.kind in ("box", "output", "unknown") and any(word in one.words.split() for word in COLOURS)
    ]
    shades = [next(word for word in COLOURS if word in one.words.split()) for one in lights]
    if len(set(shades)) < max(2, len(lights)):
        return None  # two lights of one colour
    if not reading.says(r"traffic|light|\bactive\b|\bcycle|one after"):
        return None
    shade = "|".join(shades)
    in_turn = rf"\b(?:{shade})\b(?:\s*(?:,|->|→|then|to|and|,? and then)\s*\b(?:{shade})\b){{{len(shades) - 1},}}"
    told = [*re.finditer(in_turn, reading.brief)]
    spoken = [*dict.fromkeys(re.findall(shade, told[-1][0]))] if told else shades
    order = spoken if len(spoken) == len(shades) else shades
    by_shade = dict(zip(shades, lights, strict=True))
    state = first_match(
        [one for one in _outputs(reading) if one not in lights], r"state|current|status|colou?r|active|light|name|label"
    )
    auto = first_match(reading.of("button"), r"auto|start|play|run", [button.id])
    reset = first_match(reading.of("button"), r"reset|stop|again", [button.id, name(auto) or ""])
    start = re.search(
        rf"\b({shade})\b[^.,;]{{0,20}}\b(?:at first|at the beginning|initially|to begin)"
        rf"|\b(?:at first|at the beginning|initially|starts? (?:with|at|on|as))\b[^.,;]{{0,20}}?\b({shade})\b",
        reading.brief,
    )
    capital = (
        state is not None
        and re.search(rf"\b(?:{'|'.join(word.capitalize() for word in shades)})\b", state.sentence) is not None
    )
    seconds = re.search(r"every (?:(\d+|two|three|five) seconds|second)", reading.brief)
    options = {
        "ids": [by_shade[shade].id for shade in order],
        "names": [shade.capitalize() if capital else shade for shade in order],
        "colours": [SHADES.get(shade, shade) for shade in order],
        "activeClass": class_for(reading, r"active|\bon\b|lit|current"),
        "first": order.index(start[1] or start[2]) if start else None,
        "next": button.id,
        "state": name(state),
        "auto": name(auto),
        "reset": name(reset),
        "interval": 1000 * ({"two": 2, "three": 3, "five": 5}.get(seconds[1] or "", 0) or int(seconds[1] or 1))
        if seconds
        else None,
    }
    return match("states", 3.0, options, button, *lights, state, auto, reset)


def wizard(reading: Reading) -> PieceFit | None:
    """A form in steps."""
    if not reading.says(r"\bsteps?\b|\bwizard\b"):
        return None
    steps = [
        one
        for one in reading.elements
        if one.kind in ("box", "output", "unknown", "form")
        and re.search(r"\bstep\b|\bpage\b", one.words)
        and re.search(r"\d|one|two|three", one.words)
    ]
    next_ = first_match(reading.of("button"), r"next|continue|forward")
    back = first_match(reading.of("button"), r"back|prev")
    if len(steps) < 2 or next_ is None:
        return None
    boxes = reading.of("input", "textarea", "select", "checkbox")
    inside: dict[str, list[str]] = {one.id: [] for one in steps}
    places = {one.id: _place(one, reading) for one in (*steps, *boxes)}
    for box in boxes:
        before = [one for one in steps if places[one.id] < places[box.id]]
        inside[(before or steps)[-1 if before else 0].id].append(box.id)
    outputs = [one for one in _outputs(reading) if one not in steps]
    summary = first_match(outputs, r"summary|review|overview|result")
    problem = first_match(outputs, r"\b(?:problem|error|message|warning|hint)\b", [name(summary) or ""])
    progress = first_match(outputs, r"progress|step|position|indicator", [name(summary) or "", name(problem) or ""])
    shape = re.search(r"((?:[A-Z][a-z]+ )?)\d( ?(?:/|of|out of) ?)\d", progress.text) if progress else None
    options = {
        "steps": [{"id": one.id, "boxes": inside[one.id]} for one in steps],
        "next": next_.id,
        "back": name(back),
        "summary": name(summary),
        "problem": name(problem),
        "progress": name(progress),
        "progressText": f"{shape[1]}{{at}}{shape[2]}{{all}}" if shape else None,
    }
    return match("wizard", 4.0, options, *steps, *boxes, next_, back, summary, problem, progress)


NUMBERS = r" (?:number|integer)s?\b"
WHETHER = r"\b(?:is|whether|if|for|not)\b[^.;]{0,40}"
NO_ADVERB = r"(?! (?:if|when|while|after|before|though|so|more|less|without|in|on|at|the|a|an)\b)"
PROPERTIES = (
    ("leap", r"leap year"),
    ("prime", r"\bprime numbers?\b|\b(?:is|whether|if|not)\b[^.;]{0,40}\bprime\b|\bprime or\b"),
    ("even", rf"\beven{NUMBERS}|\beven (?:or|and) odd\b|\bodd (?:or|and) even\b|{WHETHER}\beven\b{NO_ADVERB}"),
    ("odd", rf"\bodd{NUMBERS}|{WHETHER}\bodd\b"),
    ("square", r"perfect square|square number"),
    ("divisible", r"divisible by (\d+)"),
)


def property_(reading: Reading) -> PieceFit | None:
    """Whether a number has a property, as one of two texts."""
    plain = re.sub(r"[\"“”'`]", "", reading.brief)
    what, words = next((told for told in PROPERTIES if re.search(told[1], plain, re.I)), (None, ""))
    box = next(iter(reading.of("input")), None)
    outputs = _outputs(reading)
    own = [one for one in outputs if re.search(words, re.sub(r"[\"“”'`]", "", f"{one.text} {one.sentence}"), re.I)]
    output = first_match(own or outputs, r"answer|result|verdict|output|says|kind|message|is|")
    if not reading.says(r"\bnumbers?\b|\byears?\b|\bintegers?\b|\bdigits\b"):
        return None
    if what is None or box is None or output is None or len(reading.of("input")) != 1 or reading.of("list", "table"):
        return None
    yes, no = _yes_and_no(what, output, reading)
    by = re.search(r"divisible by (\d+)", reading.brief)
    button = first_match(reading.of("button"), r"check|test|show|go|ask|")
    options = {
        "what": what,
        "by": int(by[1]) if by else None,
        "input": box.id,
        "output": output.id,
        "button": name(button),
        "yesText": yes,
        "noText": no,
        "emptyText": text_when(reading.brief, r"empty|nothing|no number|invalid"),
    }
    return match("property", 2.5, options, box, output, button)


def _yes_and_no(what: str, output: Element, reading: Reading) -> tuple[str, str]:
    """The texts for a number with the property and for one without. A number in an example is the typed one."""
    words = {
        "leap": "leap",
        "prime": "prime",
        "even": "even",
        "odd": "odd",
        "square": "square",
        "divisible": "divisible",
    }[what]
    quoted = [next(filter(None, quote.groups())) for quote in QUOTE.finditer(reading.brief)]
    texts = [
        re.sub(r"\b\d+\b(?! or| digits)", "{number}", text, count=1) for text in quoted if text not in reading.files
    ]
    no = next(
        (
            text
            for text in texts
            if re.search(r"\b(?:not|no|isn't|No|Not)\b", text) or (what == "even" and re.search("odd", text, re.I))
        ),
        None,
    )
    yes = next(
        (text for text in texts if text != no and (re.search(words, text, re.I) or re.match(r"yes\b", text, re.I))),
        None,
    )
    if yes and no:
        return yes, no
    bare = re.search(r"\b(?:says?|shows?|reads?)\s+([\w]+(?: \w+)?)\s+or\s+((?:not \w+)|\w+)", output.text)
    if bare:
        return bare[1], bare[2]
    usual = {"leap": "leap year", "even": "even", "odd": "odd", "square": "square", "divisible": "divisible"}.get(
        what, what
    )
    other = {"even": "odd", "odd": "even"}.get(what, f"not {usual}")
    return yes or usual, no or other


def choice(reading: Reading) -> PieceFit | None:
    """Buttons of which the last one pressed is named."""
    buttons = [
        one for one in reading.of("button") if not re.search(r"reset|clear|next|add|start|stop|submit", one.words)
    ]
    output = first_match(_outputs(reading), r"chosen|choice|selected|selection|picked|current|mood|answer|result")
    if len(buttons) < 2 or output is None or reading.of("input", "list", "table", "canvas", "textarea", "select"):
        return None
    if not re.search(r"chosen|selected|picked|clicked|pressed|which|last", f"{output.text} {output.sentence}"):
        return None
    capital = re.search(
        r"\b(?:" + "|".join(re.escape(one.words.capitalize()) for one in buttons) + r")\b", reading.brief
    )
    options = {
        "buttons": [one.id for one in buttons],
        "texts": [one.label or (one.words.capitalize() if capital else one.words) for one in buttons],
        "output": output.id,
        "first": output.first,
        "activeClass": class_for(reading, r"active|selected|chosen|on\b"),
        "reset": name(first_match(reading.of("button"), r"reset|clear")),
        "key": storage_key(reading, "choice"),
    }
    return match("choice", 1.0, options, *buttons, output)


def _place(one: Element, reading: Reading) -> int:
    """Where the brief first names an element."""
    named = re.search(rf"(?<![\w-]){re.escape(one.id)}(?![\w-])", reading.brief)
    return named.start() if named else len(reading.brief)


FITS = (clock, dates, sequence, password, notepad, states, wizard, property_, choice)
