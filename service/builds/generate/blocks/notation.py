"""The notations of ids in a brief, read as one: `<p id="x">`, `p#x`, a name in backticks, a range of ids.

In: a brief's text. Out: the text with `element #x`. Not here: the elements (`reading`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

NAME = r"[\"'`#]?[A-Za-z][\w-]*[\"'`]?"
NAMED = rf"{NAME}(?:\s+\([^()]{{1,60}}\))?"  # with a word about it: `rate (per cent)`
HASHED = r"(?<![\w#&/])#[A-Za-z][\w-]*"
KEYED = re.compile(
    rf"(?<![.\w])(?P<key>id|class)\b(?:\s+(?:is|of|named|called)\b)?\s*[=:]?\s*(?P<one>{NAME})"
    rf"|\b(?P<keys>ids|classes)\b\s*(?:are\s+|[=:]\s*)?(?P<many>{NAMED}(?:\s*,\s*{NAMED})*\s*,?\s+(?:and|or)\s+{NAME}"
    rf"|{NAMED}(?:\s*,\s*{NAMED})+(?=\s*[).:;]))"
    rf"|(?P<hash>{HASHED}(?:(?:\s*\([^()]*\))?\s*(?:,\s*(?:and\s+|or\s+)?|(?:and|or)\s+|(?=#)){HASHED})*(?:\s*\([^()]*\))?)",
    re.IGNORECASE,
)
BLANKS = re.compile(r"[^\S\n]+")  # also those that do not break
SENTENCE = re.compile(r"(?<=[.!?])(?<!e\.g\.)\s+(?=[A-Z\"'`#(])|\n+")
PART = re.compile(
    r"\S.{0,999}(?!\S)|\S{1,1000}"
)  # a longer sentence is read in parts, so the time grows with its length
ID_RANGE = re.compile(
    r"(?:(?<=\bids )|(?P<mark>(?<!\w)#))(?P<stem>[A-Za-z][A-Za-z-]{0,20})(?P<first>\d{1,2})\s?"
    r"(?:to|through|-|–|\.\.\.?|…)\s?#?(?P=stem)(?P<last>\d{1,2})\b"
)
MOST_IN_RANGE = 32
TAGS = {
    "textarea": "textarea", "select": "select", "button": "button", "table": "table", "ul": "list",
    "ol": "ordered list", "img": "image", "canvas": "canvas", "svg": "svg", "a": "link", "form": "form",
    "input": "input", "h1": "heading", "h2": "heading", "h3": "heading", "div": "div", "section": "section",
    "article": "article", "dialog": "dialog element", "progress": "progress element",
}  # fmt: skip
PLAIN_TAGS = {"p", "span", "strong", "em", "b", "output", "label", "time", "small", "pre", "code", "header", "footer"}
MARKUP = re.compile(  # its parts have bounds, because a sender's tags may be long and may never end
    r"<(?P<tag>[a-z]\w{0,40})\b(?P<before>[^<>]{0,200}?)\bid\s{0,9}=\s{0,9}"
    r"[\"'`]?(?P<id>[A-Za-z][\w-]{0,80})(?![\w-])[\"'`]?(?P<after>[^<>]{0,200})>"
)
COLUMNS = re.compile(  # a sentence about the contents of a file
    r"\b(?:columns?|keys?|propert(?:y|ies)|header row)\b|\b(?:csv|tsv|json|file|entry|entries|rows?|records?|objects?)"
    r"[`\"']?\s+(?:has|have|holds?|contains?|with|consists? of)\b",
    re.I,
)
BARE_NAME = re.compile(  # `section step-1`, if a check uses it. A plain word may be any word
    r"\b(?P<noun>sections?|divs?|panels?|paragraphs?|box|field|input|button|select|list|table|form|dialog) "
    r"(?=[A-Za-z-]*[\d-])(?P<id>[A-Za-z][\w-]*)"
)
CODE_NAME = re.compile(r"(?<!id )(?<!ids )`([A-Za-z][\w-]*)`")
SELECTOR = re.compile(r"(?<![\w.<#-])(?P<tag>[a-z]\w{0,8})#(?P<id>[A-Za-z][\w-]*)")


def plain_notation(brief: str, named: Iterable[str] = ()) -> str:
    """The brief with `<p id="x">`, `p#x` and a quoted id written as `element #x`. `named`: ids of the checks."""

    def written(match: re.Match[str]) -> str:
        more = match.groupdict()
        attributes = f"{more.get('before') or ''} {more.get('after') or ''}"
        kind = re.search(r"\btype\s*=\s*[\"'`]?(\w+)", attributes)
        word = TAGS.get(match["tag"], "element")
        if kind is not None:
            word = {"checkbox": "checkbox", "button": "button", "submit": "button"}.get(kind[1], f"{kind[1]} {word}")
        ends = dict(re.findall(r"\b(min|max)\s*=\s*[\"'`]?(-?\d+(?:\.\d+)?)", attributes))
        bounds = (
            f" (from {ends['min']} to {ends['max']})"
            if len(ends) == 2
            else f" (max {ends['max']})"
            if "max" in ends
            else ""
        )
        return f"{word} #{match['id']}{bounds}"

    text = BLANKS.sub(" ", brief)
    text = ID_RANGE.sub(_id_range, text)
    text = re.sub(r"(?m)^[^\S\n]*[-*\u2022]\s+", "", text)
    text = MARKUP.sub(written, text)
    text = re.sub(r"</[a-z]\w*>", "", text)
    text = re.sub(r"[`'\"](#[A-Za-z][\w-]*)[`'\"]", r"\1", text)
    known = set(named)
    text = _code_names(text, known)
    text = BARE_NAME.sub(lambda match: f"{match['noun']} #{match['id']}" if match["id"] in known else match[0], text)
    text = SELECTOR.sub(lambda match: written(match) if {match["tag"]} & (TAGS.keys() | PLAIN_TAGS) else match[0], text)
    return BLANKS.sub(" ", text)  # patterns for the words between two ids take long for many in a row


def _id_range(match: re.Match[str]) -> str:
    """The ids of a range, one by one: `ids d0 to d2` as `ids d0, d1 and d2`."""
    first, last = int(match["first"]), int(match["last"])
    if not 0 < last - first < MOST_IN_RANGE:
        return match[0]
    mark = match["mark"] or ""
    names = [f"{mark}{match['stem']}{number}" for number in range(first, last + 1)]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _code_names(text: str, known: set[str]) -> str:
    """The text with a name in backticks as `#name`, if a check uses it. Columns and told ids stay."""
    if not any(match[1] in known for match in CODE_NAME.finditer(text)):
        return text
    sentences = re.split(f"({SENTENCE.pattern})", text)
    told = {
        name
        for sentence in sentences
        for part in PART.findall(sentence)
        for match in KEYED.finditer(part)
        for name in re.findall(r"[A-Za-z][\w-]*", match["hash"] or match["one"] or match["many"] or "")
        if not (match["key"] or match["keys"] or "").lower().startswith("class")
    }
    of_file = re.search(r"\.(?:csv|tsv|json)\b|\bCSV\b", text) is not None
    return "".join(
        sentence
        if of_file and COLUMNS.search(sentence)
        else CODE_NAME.sub(lambda match: f"#{match[1]}" if match[1] in known - told else match[0], sentence)
        for sentence in sentences
    )
