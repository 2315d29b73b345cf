"""Pieces that show contents: a looked-up answer, Markdown, a quiz, languages, a picture.

In: a `Reading`. Out: a `PieceFit`, or None if the piece does not fit.
Not here: tables and charts (`fit_data`), forms (`fit_forms`), buttons (`fit_controls`).
"""

from __future__ import annotations

import re

from service.builds.generate.blocks.fitting import PieceFit, class_for, match, name, storage_key, text_when
from service.builds.generate.blocks.reading import Element, Reading, first_match

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".avif")
CODES = {
    "english": "en",
    "german": "de",
    "french": "fr",
    "spanish": "es",
    "italian": "it",
    "portuguese": "pt",
    "dutch": "nl",
    "polish": "pl",
    "turkish": "tr",
    "hindi": "hi",
}
GITHUB = {
    "avatar": "avatar_url",
    "image": "avatar_url",
    "picture": "avatar_url",
    "repos": "public_repos",
    "repositories": "public_repos",
    "created": "created_at",
    "since": "created_at",
    "joined": "created_at",
    "followers": "followers",
    "following": "following",
    "login": "login",
    "bio": "bio",
    "profile": "html_url",
    "link": "html_url",
}


def lookup(reading: Reading) -> PieceFit | None:
    """An answer of another host, with its states."""
    url = re.search(r"https?://[^\s\"'`<>),]+(?:<\w+>[^\s\"'`),]*)?|\bapi\.[\w.]{1,200}/[^\s\"'`),]+", reading.brief)
    github = reading.says(r"github") and reading.says(r"\buser")
    if (url is None and not github) or not reading.says(r"fetch|look|ask|API|search|load|github"):
        return None
    box = next(iter(reading.of("input")), None)
    place = next(iter(reading.of("list", "table")), None)
    if place is None and reading.says(r"\blists?\b|\ball\b|titles|names|each|every"):
        place = first_match(
            reading.of("box", "output"), r"list|posts|users|items|results|names|titles|entries|todos|comments|facts"
        )
    if box is None:
        return None if url is None or place is None else _listed(reading, url[0].rstrip(".,;:"), place)
    address = url[0].rstrip(".,;:") if url else "https://api.github.com/users/{value}"
    address = re.sub(r"\{\w+\}|<\w+>|(?<=[/=]):\w+|(?<=[/=])[A-Z][A-Z_]+\b|\.\.\.|…", "{value}", address, count=1)
    if "{value}" not in address:
        address = f"{address.rstrip('/')}/{{value}}" if "=" not in address[-1:] else address + "{value}"
    form, button = next(iter(reading.of("form")), None), next(iter(reading.of("button")), None)
    outputs = reading.of("output", "image", "link", "heading", "box", "unknown")
    state = first_match(outputs, r"\b(state|status|error|err|message|msg|note|info|problem|loading)\b")
    keys = list(dict.fromkeys(re.findall(r"[{,]\s*['\"]?([A-Za-z_]\w*)['\"]?\s*:", reading.code)))
    fields = [{"id": one.id, "path": path(one, keys, github=bool(github))} for one in outputs if one is not state]
    about = f"{state.text} {state.sentence}" if state else reading.brief
    options = {
        "form": name(form),
        "input": box.id,
        "button": name(button),
        "url": address,
        "fields": fields,
        "state": name(state),
        "loadingText": text_when(about, r"wait|load|ask|under way|running|request|until"),
        "missingText": text_when(about, r"404|not exist|no such|not found|unknown|nobody"),
        "failedText": text_when(about, r"error|fail|network|wrong"),
        "emptyText": text_when(about, r"empty"),
        "dates": True if reading.says(r"YYYY-MM-DD|as a date|\bdate\b") else None,
    }
    return match("lookup", 4.0, options, form, box, button, state, *(one for one in outputs))


def _listed(reading: Reading, address: str, place: Element) -> PieceFit:
    """The entries of another host's answer, as a list."""
    outputs = [one for one in reading.of("output", "heading", "box", "unknown") if one is not place]
    button = first_match(reading.of("button"), r"load|fetch|get|show|refresh|reload")
    state = first_match(outputs, r"\b(state|status|error|message|note|info|problem|loading)\b")
    count = first_match(outputs, r"count|how many|number|total", [name(state) or ""])
    keys = list(dict.fromkeys(re.findall(r"[{,]\s*['\"]?([A-Za-z_]\w*)['\"]?\s*:", reading.code)))
    words = f"{place.text} {place.sentence}"
    usual = [key for key in ("title", "name", "text", "body", "email") if re.search(rf"\b{key}s?\b", words)]
    paths = [key for key in keys if re.search(rf"\b{re.escape(key)}s?\b", words)] or usual or ["title"]
    about = f"{state.text} {state.sentence}" if state else reading.brief
    first = re.search(r"\bfirst (\d+|three|five|ten)\b", reading.brief)
    options = {
        "url": address,
        "button": name(button),
        "state": name(state),
        "list": {"id": place.id, "paths": paths},
        "count": name(count),
        "most": {"three": 3, "five": 5, "ten": 10}.get(first[1]) or int(first[1]) if first else None,
        "loadingText": text_when(about, r"wait|load|ask|under way|running|request|until"),
        "failedText": text_when(about, r"error|fail|network|wrong"),
    }
    return match("lookup", 3.0, options, place, button, state, count)


def path(element: Element, keys: list[str], *, github: bool) -> str:
    """The key of the answer that an element shows."""
    words = f"{element.words} {element.text}".lower()
    own = re.sub(r"[\s-]+", "_", element.words)
    if own in keys or element.id in keys:
        return own if own in keys else element.id
    for key in keys:
        if any(
            part[:4] == own_part[:4]
            for part in key.lower().split("_")
            for own_part in own.split("_")
            if len(own_part) > 2 and len(part) > 2
        ):
            return key
    for key in keys:
        if re.search(rf"\b{re.escape(key.lower().replace('_', ' '))}\b", words) or re.search(
            rf"\b{re.escape(key.lower())}\b", words
        ):
            return key
    known = next((key for word, key in GITHUB.items() if github and re.search(rf"\b{word}", words)), None)
    return known or own


def markdown(reading: Reading) -> PieceFit | None:
    """Markdown as HTML."""
    if not reading.says(r"markdown|marked"):
        return None
    source = next(iter(reading.of("textarea", "input")), None)
    outputs = [
        one for one in reading.elements if one.kind in ("box", "output", "unknown", "heading") and one is not source
    ]
    preview = first_match(outputs, r"preview|output|html|render|result|content|view|article|post|document")
    file = reading.file(".md", ".markdown", ".txt")
    if preview is None or (source is None and file is None):
        return None
    minutes = first_match(outputs, r"reading time|minutes (?:it takes )?to read|minutes of reading", [preview.id])
    words = first_match(outputs, r"\bwords?\b", [preview.id, name(minutes) or ""])
    letters = first_match(outputs, r"character|letter|chars", [preview.id, name(words) or ""])
    clear = first_match(reading.of("button"), r"clear|reset|empty")
    contents = first_match(reading.of("list"), r"content|toc|outline|heading|links")
    others = [one for one in outputs if one not in (preview, minutes, words, letters)]
    latest = first_match(others, r"(?:first|newest|latest|top)\b[^.]{0,40}\b(?:heading|version|section|entry)")
    newest = first_match(reading.of("checkbox"), r"newest|latest|older|only the first|only the last")
    level = re.search(
        r"\b(first|second|third|[123])(?:st|nd|rd)?[- ]level|\bh([1-4])\b|\blevel[- ]([123])", reading.brief
    )
    number = next(filter(None, level.groups())) if level else "2"
    first = None
    if file is None and reading.says(r"example|sample|at first|when the page opens|starts? with"):
        quoted = re.search(r"[\"“`](#[^\"”`]*)[\"”`]", reading.brief)
        first = (
            quoted[1].replace("\\n", "\n")
            if quoted
            else "# Example\n\nA paragraph with **bold** and *italic* text.\n\n- one\n- two\n\n`code`\n"
        )
    options = {
        "source": name(source),
        "preview": preview.id,
        "words": name(words),
        "letters": name(letters),
        "clear": name(clear),
        "file": file,
        "first": first,
        "minutes": name(minutes),
        "titles": True if reading.says(r"(?:document|page)(?:'s)? title[^.]{0,60}\bheading") else None,
        "highlights": True if reading.says(r"highlight") else None,
        "contents": name(contents),
        "latest": name(latest),
        "newestOnly": name(newest),
        "level": f"h{ {'first': '1', 'second': '2', 'third': '3'}.get(number, number) }"
        if contents or latest or newest
        else None,
    }
    return match("markdown", 5.0, options, source, preview, words, letters, clear, minutes, contents, latest, newest)


def quiz(reading: Reading) -> PieceFit | None:
    """Questions of a file, one after the other."""
    file = reading.file(".json")
    if file is None or not reading.says(r"\bquiz\b|\bquestions?\b"):
        return None
    outputs = reading.of("output", "heading", "box", "unknown", "list")
    question = first_match(outputs, r"question")
    choices = first_match(outputs, r"choices?|options?|answers?", [name(question) or ""])
    if question is None or choices is None:
        return None
    taken = [question.id, choices.id]
    score = first_match(outputs, r"score|points|result|how many", taken)
    why = first_match(outputs, r"\bwhy\b|explanation|reason", [*taken, name(score) or ""])
    free = [one for one in outputs if one is not why]
    feedback = first_match(free, r"feedback|verdict|right|wrong|correct", [*taken, name(score) or ""])
    bar = next(iter(reading.of("progress")), None)
    progress = first_match(
        free,
        r"progress|number|position|which question|\d+ of \d+",
        [*taken, name(score) or "", name(feedback) or ""],
    )
    buttons = reading.of("button")
    next_ = first_match(buttons, r"next|continue|forward")
    again = first_match(buttons, r"again|restart|anew|reset|new|retry|start", [name(next_) or ""])
    verdicts = re.search(r"\bsays [\"'`“]?(\w[\w ]*?)[\"'`”]? or [\"'`“]?(\w+)", feedback.text) if feedback else None
    shape = re.search(
        r"[\"“`]?((?:[A-Z][\w ]*: ?)?)(\d+|N|X|n)( ?(?:of|/|out of) ?)(\d+|M|Y|N|m)\b", score.text if score else ""
    )
    options = {
        "file": file,
        "question": question.id,
        "choices": choices.id,
        "score": name(score),
        "feedback": name(feedback),
        "progress": name(progress),
        "why": name(why),
        "bar": name(bar),
        "rightClass": class_for(reading, r"right|correct|good"),
        "wrongClass": class_for(reading, r"wrong|incorrect|bad|false"),
        "next": name(next_),
        "again": name(again),
        "inItems": True if choices.kind == "list" else None,
        "scoreText": f"{shape[1]}{{score}}{shape[3]}{{all}}"
        if shape
        else "{score}"
        if score and not re.search(r"\bof\b|/", score.text) and score.first == "0"
        else None,
        "hidesScore": score.hidden if score else None,
        "running": True if score and score.first is not None and not score.hidden else None,
        "rightText": verdicts[1] if verdicts else text_when(feedback.sentence, r"right|correct") if feedback else None,
        "wrongText": verdicts[2]
        if verdicts
        else text_when(feedback.sentence, r"wrong|not|else|otherwise")
        if feedback
        else None,
    }
    return match("quiz", 5.0, options, question, choices, score, feedback, progress, why, bar, next_, again)


def _named_texts(reading: Reading, file: str | None) -> dict[str, str]:
    """The headings, buttons and links that a text of the file is for, by their ids: `tab-food` shows `food`."""
    keys = set(re.findall(r"\"([A-Za-z][\w-]*)\"\s*:\s*\"", reading.files.get(file or "") or ""))
    told = {
        one.id: next((key for key in (one.id, one.words.split()[-1]) if key in keys), "") for one in reading.elements
    }
    return {one.id: told[one.id] for one in reading.of("heading", "button", "link") if told[one.id]}


def languages(reading: Reading) -> PieceFit | None:
    """A page in several languages."""
    spoken = [CODES[word] for word in re.findall(r"[a-z]+", reading.brief.lower()) if word in CODES]
    if not reading.says(r"language|translat|bilingual") and len(set(spoken)) < 2:
        return None
    file = reading.file(".json")
    select = first_match(reading.of("select"), r"lang|locale|")
    switches = [
        one
        for one in reading.of("button")
        if re.search(r"lang|switch|toggle|translat|\b(en|de|fr|es|it|pt|nl)\b", f"{one.words} {one.text}")
    ]
    if select is None and not switches:
        return None
    codes = [option for option in (select.options if select else ()) if re.fullmatch(r"[a-z]{2}", option)] or list(
        dict.fromkeys(spoken)
    )
    texts, parts = _texts(reading, codes)
    if file is None and not texts:
        return None
    if file is not None:
        codes = [code for code in codes if f'"{code}"' in (reading.files[file] or "")] or codes
    single = switches[0] if len(switches) == 1 and select is None else None
    labels = re.findall(
        r"\b(EN|DE|FR|ES|IT|English|Deutsch|Fran[cç]ais|Espa[nñ]ol|Italiano|German|French|Spanish|"
        r"Italian)\b(?=[\"'`”]? (?:while|when|if|in))",
        single.text if single else "",
    )
    options = {
        "file": file,
        "texts": texts or None,
        "select": name(select),
        "button": name(single),
        "buttons": [one.id for one in switches] if len(switches) > 1 else None,
        "codes": codes or None,
        "attribute": hit[1] if (hit := re.search(r"\b(data-(?!theme)[\w-]+)", reading.brief)) else None,
        "elements": {one.id: one.id for one in parts} or _named_texts(reading, file) or None,
        "key": storage_key(reading, "lang"),
        "buttonTexts": dict(zip(codes, labels, strict=True)) if len(labels) == len(codes) > 1 else None,
    }
    return match("languages", 4.0, options, select, *switches, *parts)


def _texts(reading: Reading, codes: list[str]) -> tuple[dict[str, dict[str, str]], list[Element]]:
    """The texts that the brief gives its elements in each language: `says "Hello" in English and "Hallo" in German`."""
    texts: dict[str, dict[str, str]] = {}
    parts = []
    for one in reading.of("output", "heading", "box", "unknown", "link"):
        quotes = re.findall(r"[\"“`]([^\"”`]{1,200})[\"”`]", one.text)
        if len(codes) > 1 and len(quotes) == len(codes):
            parts.append(one)
            for code, quote in zip(codes, quotes, strict=True):
                texts.setdefault(code, {})[one.id] = quote
    return texts, parts


def picture(reading: Reading) -> PieceFit | None:
    """A picture by its address."""
    parameter = re.search(r"\?(\w+)=", reading.brief) or re.search(
        r"\b(?:query|address|URL) parameter [\"'`]?(\w+)", reading.brief
    )
    image = next(iter(reading.of("image")), None) or first_match(
        reading.of("unknown", "output", "box"), r"image|img|photo|picture"
    )
    by_address = reading.says(
        r"(?:address|url|link) of (?:an?|the) (?:picture|image|photo)|(?:picture|image|photo) (?:by|"
        r"from) (?:its|an?|the) (?:address|url)"
    )
    if image is None or (parameter is None and not by_address):
        return None
    address = first_match(
        reading.of("output", "link", "unknown", "heading"), r"address|source|url|src|caption|where", [image.id]
    )
    state = first_match(
        reading.of("output", "unknown"), r"error|state|status|message|problem", [image.id, name(address) or ""]
    )
    button = first_match(reading.of("button"), r"show|load|open|go")
    box = first_match(reading.of("input"), r"url|address|link|source")
    options = {
        "image": image.id,
        "parameter": parameter[1] if parameter else None,
        "first": reading.file(*PICTURES),
        "address": name(address),
        "state": name(state),
        "input": name(box),
        "button": name(button),
        "failedText": text_when(reading.brief, r"load|error|fail|found") if state else None,
    }
    return match("picture", 3.0, options, image, address, state, button, box)


def json_text(reading: Reading) -> PieceFit | None:
    """Typed JSON, written out or refused."""
    if not reading.says(r"\bJSON\b") or not reading.says(r"format|pretty|indent|valid|minif"):
        return None
    source = next(iter(reading.of("textarea")), None)
    if source is None or reading.files:
        return None
    others = [one for one in (*reading.of("output", "box", "unknown"), *reading.of("textarea")) if one is not source]
    state = first_match(others, r"\b(?:error|status|state|problem|message|valid|verdict|result)\b")
    output = first_match([one for one in others if one is not state], r"output|formatted|pretty|result|json")
    buttons = reading.of("button")
    minify = first_match(buttons, r"minif|compact|compress")
    button = first_match(buttons, r"format|pretty|indent|check|valid", [name(minify) or ""])
    spaces = re.search(r"\b(\d|two|four) (?:spaces|blanks)", reading.brief)
    options = {
        "source": source.id,
        "output": name(output),
        "state": name(state),
        "button": name(button),
        "minify": name(minify),
        "indent": {"two": 2, "four": 4}.get(spaces[1]) or int(spaces[1]) if spaces else None,
        "validText": text_when(reading.brief, r"is valid|valid|right|correct") if state else None,
        "invalidText": text_when(reading.brief, r"not valid|invalid|wrong|broken|not JSON|no JSON") if state else None,
        "clear": name(first_match(buttons, r"clear|reset|empty")),
    }
    return match("json", 4.0, options, source, output, state, button, minify)


def textfile(reading: Reading) -> PieceFit | None:
    """The text of a file."""
    file = reading.file(".txt")
    if file is None:
        return None
    outputs = reading.of("output", "box", "unknown")
    place = next((one for one in outputs if file in one.text), None)
    place = place or first_match(
        [one for one in outputs if re.search(r"\btext\b|content|poem|story|letter", one.text)], r""
    )
    if place is None or reading.of("textarea") or reading.says(r"\blines?\b|markdown"):
        return None
    return match("textfile", 0.5, {"file": file, "place": place.id}, place)


FITS = (lookup, markdown, quiz, languages, picture, json_text, textfile)
