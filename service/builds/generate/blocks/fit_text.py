"""The piece that works on a typed text: its measures, its forms, and its limits.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: numbers (`fit_forms`).
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from service.builds.generate.blocks.fitting import PieceFit, around, class_for, match, name, text_when
from service.builds.generate.blocks.phrases import Level, levels
from service.builds.generate.blocks.reading import Element, Reading, first_match
from service.builds.generate.blocks.rules import disabled_by_a_rule

MEASURES = (
    ("slug", r"\bslug\b"),
    ("rot13", r"\brot[- ]?13\b"),
    ("longest", r"\blongest\b"),
    ("frequent", r"\b(?:most (?:common|frequent|used))\b"),
    ("unique", r"\b(?:unique|different|distinct) words\b"),
    ("minutes", r"reading time|\bminutes (?:it takes )?to read\b|minutes of reading"),
    ("upper", r"upper ?case|capital letters|\bcapitals\b"),
    ("lower", r"lower ?case$|in lower ?case(?! with dashes)|small letters"),
    ("sorted", r"\bsorted\b|ascending|alphabetical"),
    ("spaces", r"without (?:spaces|blanks)"),
    ("paragraphs", r"\bparagraphs\b"),
    ("roman", r"\broman\b"),
    ("binary", r"\bbinary\b"),
    ("octal", r"\boctal\b"),
    ("morse", r"\bmorse\b"),
    ("hex", r"\bhex(?:adecimal)?\b"),
    ("same", r"\bmirror\b|the same text|what (?:is|was) typed"),
    ("left", r"\bleft\b|remain|counts? down"),
    ("words", r"\bwords?\b"),
    ("letters", r"character|letter|length|\blong\b|chars?\b"),
    ("sentences", r"sentence"),
    ("lines", r"\blines?\b"),
    ("vowels", r"vowel"),
    ("reversed", r"revers|backwards"),
)


FIGURES = (  # of numbers in a text
    ("smallest", r"\bmin|smallest|lowest"),
    ("largest", r"\bmax|largest|highest"),
    ("mean", r"\bmean\b|average|\bavg\b"),
    ("median", r"\bmedian\b"),
    ("sum", r"\bsum\b|\btotal\b"),
    ("figures", r"\bcount\b|how many"),
)


def text(reading: Reading) -> PieceFit | None:
    """Measures of the typed text."""
    source = first_match(reading.of("textarea"), "") or next(iter(reading.of("input")), None)
    if source is None or reading.of("list", "table"):
        return None
    shift = _shift(reading, source)
    if len(reading.of("input", "textarea", "select")) != (1 if shift is None else 2):
        return None
    button = first_match(reading.of("button"), r"check|count|show|test|reverse|go|make|convert|turn")
    limited = next((one for one in reading.of("button") if disabled_by_a_rule(one, reading)), None)
    clear = first_match(reading.of("button"), r"clear|reset|empty", [name(button) or "", name(limited) or ""])
    results: list[dict[str, Any]] = []
    taken = []
    palindrome = reading.says(r"palindrom|same backwards")
    timed = reading.says(r"\bto read\b|\breading\b|\bwords (?:a|per) minute\b")
    forms = _forms(reading)
    numbers = reading.says(r"\bnumbers\b[^.]{0,40}\b(?:per line|a line|separated|commas?)\b")
    for one in reading.of("output", "heading", "box", "unknown"):
        if palindrome and re.search(r"result|answer|verdict|says|palindrom", f"{one.words} {one.text}"):
            measure: str | None = "palindrome"
        elif timed and re.search(r"\bminutes?\b", one.words):
            measure = "minutes"
        elif shift is not None and not results:
            measure = "shifted"
        else:
            measure = next((what for what, words in MEASURES if re.search(words, one.words)), None)
            measure = measure or next(
                (what for what, words in MEASURES if not forms and re.search(words, one.text, re.I)), None
            )
        if measure is None and re.search(r"\b(?:count|counter|length)\b", one.words) and reading.says("character"):
            measure = "letters"
        if numbers:
            figure = next((what for what, words in FIGURES if re.search(words, one.words)), None)
            figure = figure or next((what for what, words in FIGURES if re.search(words, one.text, re.I)), None)
            measure = figure or measure
        graded = levels(one.text)
        if graded:
            ends = [{"below": end} for end in _ends(graded)] + [{}]
            texts = [{**end, "text": level.name} for end, level in zip(ends, graded, strict=True)]
            of = "words" if re.search(r"\bwords\b", one.text) else "letters"
            results.append({"id": one.id, "what": "range", "of": of, "texts": texts})
            taken.append(one)
        elif measure is not None:
            if one.decimals is not None and measure in dict(FIGURES):
                results.append({"id": one.id, "what": measure, "decimals": one.decimals})
                taken.append(one)
                continue
            words = around(one, reading) if measure in ("letters", "words", "left", "lines", "sentences") else {}
            results.append(
                {"id": one.id, "what": measure, **{key: text for key, text in words.items() if key != "one"}}
            )
            taken.append(one)
    output = (
        first_match(
            [one for one in reading.of("output", "box", "unknown") if one not in taken], r"out|result|text|converted|"
        )
        if forms
        else None
    )
    if output is not None:
        button = None
    if not results and output is None:
        return None
    most = re.search(
        r"\b(?:of|at most|up to|maximum of|limit(?:ed)? (?:of|to)|more than|down from)\s+(\d{2,5})\b"
        r"|\b(\d{2,5}) characters|\b0 ?/ ?(\d{2,5})\b|\bbeyond (\d{2,5})\b",
        reading.brief,
    )
    reveal = first_match(
        [one for one in reading.of("checkbox", "button") if one not in (button, clear)],
        r"\b(?:reveal|plain|show|visible)\b",
    )
    no = re.search(r"[\"'`“]?\b([\w ]{1,20}?)[\"'`”]? (?:otherwise|if not|when not|else)\b", reading.brief)
    pace = re.search(r"\b(\d{2,4}) (?:words (?:a|per|each|every) minute|wpm)\b", reading.brief, re.IGNORECASE)
    options = {
        "source": source.id,
        "shift": name(shift),
        "results": results,
        "button": name(button),
        "clear": name(clear),
        "forms": forms if output else None,
        "output": name(output),
        "capitals": True if reading.says(r"\bcapitals?\b|upper ?case") else None,
        "perMinute": int(pace[1]) if pace else None,
        "most": int(next(filter(None, most.groups()))) if most else None,
        "reveal": name(reveal) if re.search(r"pass|\bpw\b", source.words) else None,
        "overClass": class_for(reading, r"over|too|long|limit|warn|error|danger|negative|exceed|more than"),
        "yesText": text_when(reading.brief, r"same|palindrom|is one") if palindrome else None,
        "noText": re.sub(r"^(?:and|or) ", "", no[1].strip()) if palindrome and no else None,
    }
    pressed = [one for one in reading.of("button") if output and one.id in {form["button"] for form in forms}]
    score = 1.0 if not palindrome else 2.0
    return match("text", score, options, source, shift, *taken, button, clear, limited, output, *pressed)


def _shift(reading: Reading, source: Element) -> Element | None:
    """The box of the places by which letters move in a cipher."""
    if not reading.says(
        r"\bcipher|\bcaesar|\bencrypt|\bencod|\bsecret\b|\balphabet|\bletters? (?:is|are)? ?(?:moved?|shifted)"
    ):
        return None
    boxes = [one for one in reading.of("input") if one is not source]
    return first_match(boxes, r"shift|key|offset|places|positions|steps|rotat|\bmove") if len(boxes) == 1 else None


FORMS = (
    ("upper", r"\b(?:upper|capitals?)\b"),
    ("lower", r"\b(?:lower|small)\b"),
    ("title", r"\b(?:title|capitali[sz]e)\b"),
    ("reversed", r"\brevers"),
    ("spaces", r"\b(?:spaces|blanks|trim)\b"),
    ("slug", r"\bslug\b"),
    ("sortedLines", r"\b(?:sort|sorts|alphabetical)\b"),
    ("uniqueLines", r"\b(?:unique|duplicates?|distinct|dedupe?)\b"),
    ("numberedLines", r"\b(?:numbers?|numbered)\b"),
)


def _forms(reading: Reading) -> list[dict[str, str]]:
    """The buttons that write the text in another form, if there are two or more."""
    told = [
        (one, next((what for what, words in FORMS if re.search(words, one.words)), None))
        for one in reading.of("button")
    ]
    if not reading.says(r"\blines\b"):
        told = [(one, what) for one, what in told if what is None or not what.endswith("Lines")]
    forms = [{"button": one.id, "what": what} for one, what in told if what is not None]
    return forms if len(forms) > 1 else []


def _ends(in_order: list[Level]) -> list[float]:
    """The whole number at which each of these ranges but the last one has ended."""
    ends = []
    for one, following in pairwise(in_order):
        over = one.up_to if one.up_to is not None else following.above
        end = one.below if one.below is not None else following.least
        ends.append(end if end is not None else (over or 0) + 1)
    return ends


FITS = (text,)
