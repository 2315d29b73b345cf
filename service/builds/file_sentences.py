"""Sentences about a file of the site, as code: `data.csv is there`, `about.md has three words`.

In: a check's sentence. Out: an expression for the page, or None. A whole sentence must be understood, so no other one
is judged by half of it. A small model takes such a file for an element of the page. `Chart.js is there` is about a
library, which any file may hold.

Not here: sentences about licence, README and attachments (`verify`), all other ones (`check-to-js`).
"""

from __future__ import annotations

import json
import re

from service.builds.generate.libraries import script_file

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
LONGEST = 400  # characters of a sentence
FILE = r"(?:the\s)?(?P<file>file\s)?[`'\"]?(?P<path>[\w./-]{1,120}\.[A-Za-z]\w{0,5})[`'\"]?\s"
COUNT = rf"\d{{1,6}}|{'|'.join(NUMBERS)}"
TEXT = r"(?:the )?(?:\w+ ){0,2}[\"“](?P<text>[^\"“”]{1,200})[\"”]"
FORMS = {
    "there": r"(?:is (?:there|present|committed|in the repo(?:sitory)?)|exists)",
    "absent": r"(?:is not (?:there|present|committed|in the repo(?:sitory)?)|does not exist)",
    "holds": rf"(?:contains|includes|has|mentions) {TEXT}",
    "lacks": rf"(?:does not (?:contain|include|have|mention)|lacks|has no) {TEXT}",
    "words": rf"has (?:between )?(?P<low>{COUNT})(?:\s?(?:-|–|to|and)\s?(?P<high>{COUNT}))? words",
    "json": r"is valid JSON",
    "image": r"is a valid (?:image|SVG)",
}
LIBRARIES = {
    "alpine",
    "anime",
    "d3",
    "day",
    "express",
    "moment",
    "next",
    "node",
    "p5",
    "pixi",
    "react",
    "three",
    "tone",
    "vue",
}
HOSTS = {"ai", "app", "com", "dev", "io", "net", "org"}  # endings of addresses and of names, not of files
PATTERNS = {form: re.compile(FILE + rest + r"\.?", re.IGNORECASE) for form, rest in FORMS.items()}


def as_code(sentence: str) -> str | None:
    """The expression of a sentence about a file, or None. The text of a page is not its file's, so a page has none."""
    if len(sentence) > LONGEST:
        return None
    plain = re.sub(r"\s+", " ", sentence).strip()
    for form, pattern in PATTERNS.items():
        hit = pattern.fullmatch(plain)
        if hit is None or (path := _path(hit)) is None:
            continue
        if not (form in ("holds", "lacks", "words") and re.search(r"\.html?$", path, re.I)):
            return _expression(form, path, hit)
    return None


def _path(hit: re.Match[str]) -> str | None:
    """The file's path in the site. None for the name of a library or a host, and for a path out of the site."""
    path = re.sub(r"^(?:\./|/(?!/))", "", hit["path"])
    stem, _, ending = path.rpartition(".")
    if path.startswith("/") or ".." in path.split("/") or ending.lower() in HOSTS:
        return None
    if ending == "js" and "/" not in path and not hit["file"]:
        library = script_file(path) is not None or stem.lower() in LIBRARIES or stem[0].isupper()
        return None if library else path
    return path


def _expression(form: str, path: str, hit: re.Match[str]) -> str:
    address = json.dumps(f"./{path}")
    read = f"fetch({address}).then(r => r.ok ? r.text() : null)"
    if form == "there":
        return f"fetch({address}).then(r => r.ok)"
    if form == "absent":
        return f"fetch({address}).then(r => r.status === 404)"
    if form in ("holds", "lacks"):
        return f"{read}.then(t => t !== null && {'!' if form == 'lacks' else ''}t.includes({json.dumps(hit['text'])}))"
    if form == "words":
        low = _number(hit["low"])
        high = _number(hit["high"]) if hit["high"] else low
        count = "t.trim().split(/\\s+/).filter(Boolean).length"
        return f"{read}.then(t => t !== null && {count} >= {low} && {count} <= {high})"
    if form == "json":
        return f"fetch({address}).then(r => r.json()).then(() => true)"
    return (
        f"new Promise(done => {{ const i = new Image(); i.onload = () => done(true); i.onerror = () => done(false); "
        f"i.src = {address}; }})"
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else NUMBERS.index(text.lower())
