"""Pieces that take several typed values: rows of a table, a form that is checked, a sentence.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit. Not here: calculations (`fit_forms`), a list of
one box (`fit_controls`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from service.builds.generate.blocks.fitting import PieceFit, around, class_for, match, name, storage_key, text_when
from service.builds.generate.blocks.phrases import QUOTE, blanks
from service.builds.generate.blocks.reading import Element, Reading, first_match
from service.builds.generate.blocks.refusals import above_0, optional
from service.builds.generate.blocks.rules import newest_first

FIGURE = (
    r"amount|price|cost|quantity|qty|\bnumber\b|\bcount\b|score|grade|points?|hours?|minutes?|\bage\b|weight|distance"
    r"|\bkm\b|calories|kcal|\bmarks?\b|credits?|litres?|steps?|reps|pages|salary|sum|goals|rating"
)
QUANTITY, PRICE = r"quantity|qty|pieces|how many|number of|units?\b|count", r"price|cost|\brate\b"
SEARCHES = r"\b(search|filter|find|query)\b"
REMOVES = (
    r"(?:button|link)s?\s+(?:with the (?:text|label) |labell?ed |called |named |that says |saying )?[\"'`“]?"
    r"(Remove|Delete|Erase|×|✕|x|X)\b|\b(Remove|Delete|Erase) buttons?\b"
)
PROBLEM = r"\b(problem|error|err|invalid|warning|warn|alert|hint|fault|wrong)s?\b"
PROBLEM_OR_MESSAGE = rf"{PROBLEM}|\b(message|msg|feedback|status|note|notice)\b"
RESULTS = (
    ("balance", r"balance|net\b|left over"),
    ("average", r"average|\bmean\b"),
    ("count", r"\bcount\b|how many|number of|\bentries\b"),
    ("best", r"\bnames?\b[^.]{0,40}\b(?:best|most|highest|largest|longest|dearest|top)\b"),
    ("largest", r"largest|highest|maximum|\bmax\b|biggest|longest"),
    ("smallest", r"smallest|lowest|minimum|\bmin\b|shortest"),
    ("total", r"total|\bsums?\b|together|altogether|in all|grand|overall"),
)
SPENT = re.compile(r"\b(?:expenses?|spen[dt]|spending|costs?|out(?:goings?|flows?)?|withdraw\w*|debits?|minus)\b", re.I)


def records(reading: Reading) -> PieceFit | None:
    """Rows or entries that people add with several boxes, and their sums."""
    if any(file.endswith((".csv", ".json", ".tsv")) for file in reading.files) or reading.says(r"\bquiz\b|stopwatch"):
        return None
    boxes = [one for one in reading.of("input", "textarea", "select", "checkbox") if not _searches(one)]
    place = next(iter(reading.of("table")), None) or next(iter(reading.of("list")), None)
    entry = class_for(reading, r"entry|card|item|comment|post|review|message|row|expense|contact|book|note")
    if place is None and (entry is not None or reading.says(r"\blisted\b|\blists?\b")):
        place = first_match(
            reading.of("box", "output"), rf"list|entries|comments|posts|reviews|messages|cards|items|{entry or 'list'}"
        )
    buttons = reading.of("button")
    add = first_match(buttons, r"add|put|append|save|new|insert|submit|sign|enter|post|send|record|log")
    form = next(iter(reading.of("form")), None)
    if place is None or (add is None and form is None) or not boxes:
        return None
    if not reading.says(r"\b(?:add|append|enter|insert|record|put|post|log|new|sav|sign|collect|creat)"):
        return None
    able = optional(reading, boxes)
    if able is None:
        return None
    clear = first_match(buttons, r"clear|empty|reset|delete all|remove all", [name(add) or ""])
    outputs = [one for one in reading.of("output", "heading", "box", "unknown") if one is not place]
    problem = first_match(outputs, PROBLEM_OR_MESSAGE)
    outputs = [one for one in outputs if one is not problem]
    numbers = [one for one in boxes if one.kind in ("input", "select") and _is_figure(one)]
    quantity, price = first_match(numbers, QUANTITY), first_match(numbers, PRICE)
    product = [quantity.id, price.id] if quantity and price and quantity is not price else None
    empty = first_match(
        [one for one in outputs if one.hidden or one.label or QUOTE.search(one.text)], r"\b(empty|none|nothing)\b"
    )
    results, taken = _results(reading, [one for one in outputs if one is not empty], boxes, counts=bool(numbers))
    if place.kind != "table" and len(boxes) < 2 and not any(one["what"] not in ("count",) for one in results):
        return None
    whole = f"{place.sentence} {' '.join(one.sentence for one in boxes)}"
    removes = re.search(REMOVES, reading.brief)
    order = re.search(r"\b(?:sorted|ordered) by (?:the |their )?(\w+)([^.;]{0,30})", reading.brief)
    ordered = first_match(boxes, rf"\b{re.escape(order[1])}") if order else None
    decimals = next((one.decimals for one in (*taken, place) if one.decimals is not None), None)
    search = next((one for one in reading.of("input") if _searches(one)), None)
    filter_ = next((one for one in reading.of("select") if _searches(one)), None)
    positive = above_0(reading, numbers)
    signed = (one.id for one in boxes if 0 < len([1 for text in one.options if SPENT.search(text)]) < len(one.options))
    options = {
        "place": place.id,
        "fields": [_field(one, reading, one in numbers, one.id in able, one.id in positive) for one in boxes],
        "add": name(add),
        "form": name(form),
        "clear": name(clear),
        "product": product,
        "figure": None if product else numbers[-1].id if numbers else None,
        "subtotal": told[0].capitalize()
        if product
        and (
            told := re.search(
                r"sub-?total|line total|row total|product of|multiplied|\btotal\b(?=[^.]{0,30}\brow)", whole, re.I
            )
        )
        else None,
        "decimals": decimals,
        "results": results,
        "sign": next(signed, None),
        "problem": name(problem),
        "problemText": _quoted(problem),
        "empty": name(empty),
        "remove": next(filter(None, removes.groups()))
        if removes
        else "Delete"
        if reading.says(r"\b(?:delete|remove)[sd]?\b")
        else None,
        "removeClass": class_for(reading, r"delete|remove"),
        "entryClass": entry if place.kind != "table" else None,
        "text": blanks(f"{place.text} {(entry and reading.classes[entry]) or ''}", boxes)
        if place.kind != "table"
        else None,
        "link": _link(boxes) if place.kind != "table" and reading.says(r"\blinks?\b") else None,
        "order": name(ordered),
        "down": True if order and re.search(r"descend|largest|highest|newest|most", order[2]) else None,
        "newest": newest_first(reading) or None,
        "search": name(search),
        "filter": name(filter_),
        "filterField": name(_same_options(filter_, boxes)) if filter_ else None,
        "keeps": True if storage_key(reading, "records") else None,
        "key": storage_key(reading, f"records-{place.id}"),
    }
    return match("records", 3.5, options, place, *boxes, add, form, clear, problem, empty, search, filter_, *taken)


def _link(boxes: Sequence[Element]) -> list[str] | None:
    """The boxes of a link's text and address."""
    url = first_match(boxes, r"\b(?:url|link|href)\b")
    text = next((one for one in boxes if one is not url), None)
    return [text.id, url.id] if url and text else None


def _searches(one: Element) -> bool:
    return (
        re.search(SEARCHES, one.words) is not None or re.search(r"\b(?:search|filter)s?\b", one.text[:60]) is not None
    )


def _same_options(select: Element, boxes: Sequence[Element]) -> Element | None:
    """The box with the options of a filter."""
    own = {text.lower() for text in select.options}
    return next((one for one in boxes if one.options and own >= {text.lower() for text in one.options}), None) or next(
        (one for one in boxes if one.kind == "select"), None
    )


def _is_figure(one: Element) -> bool:
    if one.kind == "select" and not all(re.fullmatch(r"\d+", option) for option in one.options):
        return False
    if re.search(r"\b(?:name|title|text|date|phone|e-?mail|note|description)\b", one.words):
        return False
    return re.search(FIGURE, one.words) is not None or re.match(r"number\b", one.text, re.I) is not None


def _field(one: Element, reading: Reading, number: bool, able: bool, positive: bool) -> dict[str, Any]:
    """A box: its column's name, whether it takes a number, and the values that it refuses."""
    ends = re.search(r"\b(?:from|between) (\d+) (?:to|and) (\d+)\b", one.text) if number else None
    field: dict[str, Any] = {"id": one.id, "label": (one.label or one.words).capitalize()}
    if number:
        field |= {"number": True}
    if positive:
        field |= {"above": 0}
    if ends:
        field |= {"least": int(ends[1]), "most": int(ends[2])}
    if not able and one.kind != "checkbox":
        field |= {"needed": True}
    if re.search(r"\b(?:e ?)?mail\b", one.words) and reading.says(r"@|valid e-?mail"):
        field |= {"check": "email"}
    if re.search(r"\b(?:url|link|address)\b", one.words) and reading.says(
        r"https?\b|valid (?:url|link|address)|\blinks?\b"
    ):
        field |= {"check": "url"}
    return field | ({"first": one.first} if one.first else {})


def _results(
    reading: Reading, outputs: Sequence[Element], boxes: Sequence[Element], *, counts: bool
) -> tuple[list[dict[str, Any]], list[Element]]:
    """The figures of the rows, and their elements. One may be of the rows with an option of a select only."""
    selects = [one for one in boxes if one.options]
    results, taken = [], []
    for one in outputs:
        of = next(
            (
                (box, option)
                for box in selects
                for option in box.options
                if re.search(rf"\b{re.escape(option.lower())}s?\b", one.words)
            ),
            None,
        )
        words = f"{one.words}: {one.text}"
        what = next((what for what, pattern in RESULTS if re.search(pattern, one.words, re.I)), None)
        if what == "total" and re.search(r"how many|number of (?:entries|rows|items|lines|people|tasks)", one.text):
            what = "count"
        what = what or next((what for what, pattern in RESULTS if re.search(pattern, words, re.I)), None)
        if what is None and of is not None and re.search(r"\bsums?\b|total", one.sentence, re.I):
            what = "total"
        if what is None or (what != "count" and not counts):
            continue
        result = {
            "id": one.id,
            "what": what,
            **({"decimals": one.decimals} if one.decimals is not None and what != "count" else {}),
        }
        if of is not None:
            result |= {"field": of[0].id, "equals": of[1]}
        if one.first and not re.fullmatch(r"[-+]?[\d.,]+", one.first):
            result |= {"none": one.first}
        results.append({**result, **around(one, reading)})
        taken.append(one)
    return results, taken


def _quoted(element: Element | None) -> str | None:
    """The only text in quotes in the words about an element."""
    if element is None:
        return None
    texts = {next(filter(None, quote.groups())) for quote in QUOTE.finditer(element.text)} - {element.id}
    return texts.pop() if len(texts) == 1 else None


WRITTEN = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "ten": 10, "twelve": 12}
COUNT = rf"(\d+|{'|'.join(WRITTEN)})"


def validation(reading: Reading) -> PieceFit | None:
    """A form that names its faults, and thanks."""
    boxes = reading.of("input", "textarea", "checkbox", "select")
    buttons, form = reading.of("button"), next(iter(reading.of("form")), None)
    if reading.of("table", "list", "canvas") or not boxes or reading.says(r"https?://|\bfetch\b|quiz"):
        return None
    able = optional(reading, boxes)
    if able is None:
        return None
    send = first_match(
        buttons, r"send|submit|sign|register|join|book|order|save|log|subscribe|create|go|continue|check"
    )
    if send is None and form is None:
        return None
    outputs = reading.of("output", "box", "heading", "unknown")
    errors = {one.id: error for one in boxes if (error := _error_of(one, outputs, boxes))}
    free = [one for one in outputs if one not in errors.values()]
    done = first_match(free, r"\b(ok|success|thanks?|welcome|done|confirm\w*|sent|result|registered)\b")
    problem = first_match([one for one in free if one is not done], PROBLEM)
    problem = problem or first_match([one for one in free if one is not done and not errors], PROBLEM_OR_MESSAGE)
    if done is None and problem is not None and not re.search(PROBLEM, problem.words):
        done, problem = problem, problem
    if not (errors or problem) or not reading.says(
        r"missing|empty|wrong|invalid|valid|must|need|at least|required|\berror|too short|not filled|fill"
    ):
        return None
    disables = send is not None and re.search(
        r"\b(?:disabled|not enabled|enabled only|only enabled|can(?:not| only) be (?:pressed|clicked))\b",
        f"{send.text} {send.sentence}",
    )
    good, bad = _texts(reading, done if problem is done else None)
    text = done and (blanks(done.text, boxes) or blanks(done.sentence, boxes))
    text = text or (good and (blanks(f'"{good}"', boxes) or good)) or (done and _thanks(done))
    options = {
        "fields": [_checked(one, reading, boxes, errors.get(one.id), one.id in able) for one in boxes],
        "button": name(send),
        "form": name(form),
        "disables": True if disables else None,
        "live": True
        if reading.says(
            r"while (?:some|any|typing|they|people|the user)|as (?:they|some|people|you)|on every|immediately|\blive\b"
        )
        else None,
        "problem": name(problem),
        "problemText": bad if problem is done else _quoted(problem),
        "hidesProblem": True if problem and problem.hidden else None,
        "done": name(done),
        "doneText": text,
        "hidesDone": True if done and done.hidden else None,
        "hidesForm": True
        if form and reading.says(r"form (?:is hidden|disappears|is removed)|hides the form|replac\w+ the form")
        else None,
        "empties": True
        if reading.says(
            r"(?:fields?|boxes|box|inputs?|form) (?:is|are|get) (?:then )?(?:emptied|cleared|reset|empty again)"
            r"|(?:clears?|empties|resets?) (?:the |all )?(?:form|fields|boxes|inputs)"
        )
        else None,
    }
    return match("validation", 3.0, options, *boxes, send, form, problem, done, *errors.values())


BAD = r"\b(?:invalid|empty|missing|wrong|incorrect|errors?|not|no|without|fill|required|fails?|fewer|short)\b"


def _texts(reading: Reading, element: Element | None) -> tuple[str | None, str | None]:
    """The texts of one element for a right and for a wrong form: those in quotes, by the words beside them."""
    if element is None:
        return None, None
    good: list[str] = []
    bad: list[str] = []
    for part in re.split(r"(?<=[.;])\s|,\s(?=(?:and|or|otherwise|else|if)\b)|;", reading.brief):
        for quote in QUOTE.finditer(part):
            text = next(filter(None, quote.groups()))
            wrong = re.search(BAD, part.replace(text, ""), re.I)
            (bad if wrong and not re.match(r"otherwise\b", part, re.I) else good).append(text)
    return (good[0] if good else None), (bad[0] if bad else None)


def _thanks(done: Element) -> str:
    """The text of an element that tells of success."""
    bare = re.search(
        r"\b(?:says|shows|reads)\s+((?:[A-Z][\w']*)(?: [a-z]+){0,2}?)(?=[.,;]| and\b| when\b| if\b)", done.text
    )
    return _quoted(done) or done.label or (bare[1] if bare else "Thank you.")


def _error_of(one: Element, outputs: Sequence[Element], boxes: Sequence[Element]) -> Element | None:
    """The element for the faults of this box: `email-error` beside `email`."""
    for other in outputs:
        rest = re.sub(PROBLEM_OR_MESSAGE, "", other.words).strip()
        if rest != other.words and rest and (rest == one.words or (len(boxes) > 1 and rest in one.words.split())):
            return other
    return None


def _checked(
    one: Element, reading: Reading, boxes: Sequence[Element], error: Element | None, able: bool
) -> dict[str, Any]:
    """A box and its checks, each with the text for a fault."""
    about = _about(one, reading)
    label = (one.label or one.words).lower()
    checks: list[dict[str, Any]] = []

    def refuse(rule: str, text: str, *values: Any) -> None:
        checks.append({"rule": rule, "text": text, **({"values": list(values)} if values else {})})

    quoted = _quoted(error)
    if one.kind == "checkbox":
        refuse("needed", f"Please tick: {label}.")
    elif not able:
        refuse("needed", f"The {label} is missing.")
    if re.search(r"\b(?:e ?)?mail\b", one.words):
        refuse("email", "An e-mail address needs an @ with text on both sides.")
    password = next((box for box in boxes if re.search(r"pass(?:word)?\b|\bpw\b", box.words)), None)
    if re.search(r"repeat|confirm|again|repetition", one.words) and password and password is not one:
        refuse("same", "It is not the same.", password.id)
        about = ""
    if least := re.search(
        rf"\b(?:at least|minimum of|min\.?|not? (?:less|shorter|fewer) than)\s+{COUNT}\s+(?:characters?|letters|signs)",
        about,
        re.I,
    ):
        refuse("least", f"At least {_count(least[1])} characters.", _count(least[1]))
    if most := re.search(
        rf"\b(?:at most|up to|no more than|maximum of)\s+{COUNT}\s+(?:characters?|letters)", about, re.I
    ):
        refuse("most", f"At most {_count(most[1])} characters.", _count(most[1]))
    if exact := re.search(rf"\b(?:exactly |has |have |be |of )?{COUNT}[ -]digits?\b(?! and)", about):
        refuse("digits", f"{_count(exact[1])} digits.", _count(exact[1]))
    elif re.search(r"\b(?:only|consists? of) digits\b|\bdigits only\b", about):
        refuse("digits", "Digits only.")
    elif re.search(r"\b(?:a|one|1) (?:digit|number)\b", about) and least:
        refuse("digit", "It needs a digit.")
    if re.search(r"upper-?\s?case|capital letter", about):
        refuse("upper", "It needs a capital letter.")
    if re.search(r"lower-?\s?case", about):
        refuse("lower", "It needs a small letter.")
    if re.search(r"special character|symbol", about):
        refuse("special", "It needs a special character.")
    between = re.search(r"\b(?:between|from) (\d+) (?:and|to) (\d+)\b(?! (?:characters|letters))", about)
    aged = re.search(r"\bat least (\d+)\b(?! (?:characters|letters|digits))|\b(\d+) (?:or older|or more|years)", about)
    if between:
        refuse("between", f"A number from {between[1]} to {between[2]}.", int(between[1]), int(between[2]))
    elif aged and not least and re.search(r"\bage\b|number|guests|people|quantity|year", f"{one.words} {one.text}"):
        refuse("between", f"At least {aged[1] or aged[2]}.", int(aged[1] or aged[2]))
    if quoted:
        checks = [{**check, "text": quoted} for check in checks]
    hides = {"hides": True} if error and error.hidden else {}
    return {"id": one.id, "checks": checks, **({"error": error.id} if error else {}), **hides}


def _about(one: Element, reading: Reading) -> str:
    """The parts of the brief's sentences that speak of this box."""
    names = {word for word in one.words.split() if len(word) > 2} | {one.id.lower()}
    if re.search(r"\bpw\b|pass", one.words):
        names.add("password")
    parts = re.split(r"[;:.]\s|,\s(?:and\s)?(?=(?:an?|the|its|every)\s)|\n", reading.brief)
    return ". ".join(part for part in parts if any(re.search(rf"\b{re.escape(word)}", part, re.I) for word in names))


def _count(word: str) -> int:
    return int(word) if word.isdigit() else WRITTEN[word.lower()]


def message(reading: Reading) -> PieceFit | None:
    """A sentence with the typed text."""
    boxes = reading.of("input", "select", "textarea")
    if not boxes or reading.of("table", "list", "canvas") or reading.says(r"https?://|\bfetch\b"):
        return None
    for output in reading.of("output", "box", "heading", "unknown"):
        sentences = [output.text, *(one.text for one in reading.of("button")), output.sentence, reading.brief]
        text = next((told for words in sentences if (told := blanks(words, boxes))), None)
        if text is None:
            continue
        used = [one for one in boxes if f"{{{one.id}}}" in text]
        button = first_match(reading.of("button"), r"")
        options = {
            "inputs": [one.id for one in used],
            "output": output.id,
            "text": text,
            "emptyText": text_when(reading.brief, r"empty|nothing|blank|no name|missing|without"),
            "button": name(button),
            "form": name(next(iter(reading.of("form")), None)),
            "live": True
            if reading.says(r"while (?:some|any|typing|they|people)|as (?:they|some|people|you)|\blive\b|immediately")
            else None,
            "empties": True if reading.says(r"box (?:is|gets) (?:then )?emptied") else None,
        }
        return match("message", 2.0, options, *used, output, button)
    return None


FITS = (records, validation, message)
