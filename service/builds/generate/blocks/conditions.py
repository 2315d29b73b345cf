"""Conditions in the clauses of a brief: a box is empty, an amount is over a bound, an entry is already there.

In: a clause and the elements of the brief. Out: conditions as `rules.js` tests them: the element, the test, and
a value. Not here: the rules of which they are a part (`rules`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from service.builds.generate.blocks.reading import Element

Condition = dict[str, Any]
HASH = re.compile(r"#([A-Za-z][\w-]*)")
BOXES = ("input", "textarea", "select", "checkbox")
NUMBER = r"(-?\d+(?:[.,]\d+)?)"
LOW = r"(?:below|under|beneath|(?:less|lower|smaller|fewer|younger|shorter|earlier) than|before(?= \d))"
HIGH = r"(?:above|over|beyond|(?:more|greater|higher|larger|bigger|older|longer|later) than|after(?= \d))"
CHARACTERS = r"(?:characters?|letters?|signs|chars?)"
TYPED = r"(?:typed|entered|written|picked|chosen|selected|filled in|given|put in|said|there)"
HAS_BEEN = r"(?:is|has been|was|have been|were)(?: yet| still| already)?"
START = r"(?:start|begin)s?"
PREFIX = r"[\"'`“]?([^\s\"'`”,;]+)[\"'`”]?"
NOUN = r"(?P<np>[#A-Za-z][\w-]*)"
TELLING = re.compile(  # a predicate of a clause: `the text is empty`, `nothing has been typed`
    rf"(?P<none>\bnothing\b[^,;]{{0,12}}?\b{TYPED}\b(?: in(?:to)? (?P<in1>[^,;]+))?"
    rf"|\bthere is nothing in(?:side)? (?P<in2>[^,;]+)|\b(?:has|holds|contains) nothing\b"
    rf"|\bno (?P<np1>[\w -]{{1,30}}?) {HAS_BEEN} {TYPED}\b)"
    rf"|(?P<some>\b(?:something|anything|(?:an?|the) (?P<np2>[\w -]{{1,30}}?)) {HAS_BEEN} {TYPED}\b"
    rf"(?: in(?:to)? (?P<in3>[^,;]+))?)"
    r"|\b(?:is|are|stays?|remains?|isn't|be)(?P<no1>n't)? (?:still |left )?(?P<no2>not )?"
    r"(?P<empty>empty|blank)\b"
    rf"|\b(?:is|are|has|have|contains?|gets?|becomes?) (?P<longer>(?:longer|more) than|over|above) "
    rf"(?P<l>\d+) {CHARACTERS}"
    rf"|\b(?:is|are|has|have|contains?) (?P<shorter>(?:shorter|fewer|less) than|under|below) (?P<s>\d+) {CHARACTERS}"
    rf"|\b(?:is|are|gets?|becomes?|goes) (?P<low>{LOW}) (?P<a>-?\d+(?:[.,]\d+)?)(?! {CHARACTERS})"
    rf"|\b(?:is|are|gets?|becomes?|goes) (?P<high>{HIGH}) (?P<b>-?\d+(?:[.,]\d+)?)(?! {CHARACTERS})"
    r"|\b(?:is|are) (?P<at>-?\d+(?:[.,]\d+)?) or (?:(?P<less>less|lower|smaller|fewer|below)|more|higher|larger"
    r"|above)\b"
    rf"|\b(?P<many>(?P<fewer>fewer|less)|more) than (?P<m>\d+) (?P<np3>[\w-]+) {HAS_BEEN} {TYPED}"
    r"|\b(?:is|are) (?P<no4>not )?(?P<filled>filled)\b(?: in| out)?"
    r"|\b(?:has|have|contains?) (?P<text>some|any|no) (?:text|content|words?|letters?|value|entr(?:y|ies))\b"
    r"|\b(?:is|are) (?P<negative>negative)\b"
    r"|\b(?:is|are) (?P<no3>not )?(?P<ticked>ticked|checked)\b"
    r"|\b(?P<running>runs|is running|is going)\b"
    r"|\b(?:holds|has|contains|is) (?P<number>no number|not a number)\b"
    r"|\b(?:does not|doesn't|do not|don't) (?:hold|have|contain) (?P<number2>a number|numbers?)\b"
    r"|\b(?:is|are) (?P<listed>already)\b[^,;]{0,12}?\b(?:in|on|there|listed)\b",
    re.I,
)
IN_BOX = re.compile(  # `more than 20 letters in the box #nick`
    rf"\b(?P<size>more|fewer|less) than (?P<n>\d+) {CHARACTERS} (?:are )?(?:typed )?in(?:to)? (?P<np>(?:the )?"
    rf"(?:\w+ )?[#\w-]+)",
    re.I,
)
BOUND = rf"(?:(?:{LOW}|{HIGH}) {NUMBER}(?: {CHARACTERS})?|of {NUMBER} or (?:less|lower|below|more|above|higher))"
BOUNDED = re.compile(  # `a discount below 0 or above 100`
    rf"(?P<np>[#A-Za-z][\w-]*(?: ?\(#[\w-]+\)| in the (?:\w+ )?#[\w-]+)?)(?: with| that has| that is)? "
    rf"(?P<all>{BOUND}(?:,? (?:or|and) {BOUND})?)",
    re.I,
)
ONE_BOUND = re.compile(
    rf"(?:(?P<low>{LOW})|(?P<high>{HIGH})) (?P<n>-?\d+(?:[.,]\d+)?)"
    rf"(?P<chars> {CHARACTERS})?|\bof (?P<m>-?\d+(?:[.,]\d+)?) or (?:(?P<less>less|lower|below)|more|above|higher)",
    re.I,
)
EMPTY_NOUN = re.compile(rf"\b(?:empty|blank|missing) {NOUN}", re.I)
NEGATIVE_NOUN = re.compile(rf"\bnegative {NOUN}", re.I)
UNLIKE = re.compile(
    rf"{NOUN} (?:that|which) (?:(?:do|does)(?: not|n't) {START} with {PREFIX}(?: or(?: with)? {PREFIX})?"
    rf"|{START} neither with {PREFIX} nor with {PREFIX})"
    rf"|{NOUN.replace('np', 'np2')} not (?:start|beginn)ing with {PREFIX}(?: or(?: with)? {PREFIX})?",
    re.I,
)
LACKING = re.compile(
    rf"{NOUN} without (?:an? )?[\"'`“]?(?P<a>[@.:/])[\"'`”]?(?=[\s,;.])"
    rf"|\bwithout (?:an? )?[\"'`“]?(?P<b>[@.:/])[\"'`”]? in (?:the |an? )?{NOUN.replace('np', 'np2')}",
    re.I,
)
LISTED = re.compile(
    rf"{NOUN} (?:who|that|which) (?:is|are) (?:[a-z]+ ){{0,3}}?already\b|\b(?P<dup>duplicates?)\b"
    rf"|\bno {NOUN.replace('np', 'np2')} (?:may|can|must|should) [^,;.]{{0,30}}?\btwice\b"
    rf"|\b(?:each|every|an?) {NOUN.replace('np', 'np4')} (?:can|may|must|should|is)[^,;.]{{0,30}}?\b(?:only|just"
    rf"|at most) once\b"
    rf"|\b(?:the same|any) {NOUN.replace('np', 'np3')} (?:[a-z]+ ){{0,4}}twice\b",
    re.I,
)
MUST = re.compile(
    r"(?P<np>[^,;.:]{1,60}?) (?:must (?:be |lie )?|(?:has|have|needs?) to be |should be "
    r"|(?:go|goes|run|runs|range|ranges) (?=from|between)|only (?:accepts?|takes?|allows?) |(?:accepts?|takes?"
    r"|allows?) only |may only be )"
    r"(?:an? |values? |numbers? |whole |amounts? |lie )*"
    rf"(?:(?:between|from) {NUMBER} (?:and|to) {NUMBER}|at least {NUMBER}|(?:at most|up to|no more than) {NUMBER})"
    rf"(?! {CHARACTERS}| digits?)",
    re.I,
)
LIKE = {  # words for the same box
    "address": {"mail", "email", "url", "link", "site", "href", "web", "homepage"}, "percentage": {"percent", "rate"},
    "message": {"text", "note"}, "word": {"term"}, "task": {"todo", "item"}, "e-mail": {"email", "mail"},
    "amount": {"sum", "price", "value"}, "day": {"date"}, "date": {"day", "born", "birthday"}, "title": {"headline"},
}  # fmt: skip
ANY = {
    "it", "text", "box", "field", "input", "value", "entry", "number", "something", "anything", "nothing", "boxes",
    "textarea", "area", "that", "this", "date", "line", "word", "name", "fields", "inputs", "checkbox", "list", "they",
}  # fmt: skip
LISTS = ("list", "table")


@dataclass(frozen=True)
class Words:
    """The elements of a brief, and those of the sentence at hand, to which the words of a clause refer."""

    elements: Sequence[Element]
    here: Sequence[Element] = ()

    def meant(self, noun: str, kinds: tuple[str, ...] = ()) -> list[Element]:
        """The elements that a noun phrase means. None of several that are equally near."""
        able = [one for one in self.elements if (one.kind in kinds if kinds else one.kind not in ("button", "form"))]
        named = set(HASH.findall(noun))
        if named:
            return [one for one in able if one.id in named]
        words = {_single(word) for word in re.findall(r"[a-z][a-z-]*", noun.lower())}
        words |= {other for word in words for other in LIKE.get(word, ())}
        boxes = sorted(able, key=lambda one: one.kind not in BOXES)
        by_id = [one for one in boxes if words & {_single(word) for word in one.words.split()}]
        by_id = by_id or [one for one in boxes if any(_begins(word, one) for word in words - ANY)]
        if by_id:
            return by_id[:1]
        told = [one for one in boxes if (words - ANY) & {_single(word) for word in _nouns(one)}]
        if len(told) == 1:
            return told
        if not words & ANY:
            return []
        able_kinds = (
            LISTS
            if "list" in words
            else ("checkbox",)
            if "checkbox" in words
            else kinds or ("input", "textarea", "select")
        )
        for group in (self.here, self.elements):
            hit = [one for one in group if one.kind in able_kinds]
            if len(hit) == 1 or (hit and words & {"boxes", "fields", "inputs", "they"}):
                return hit
        return []


def _nouns(one: Element) -> list[str]:
    return re.findall(r"[a-z][a-z-]*", re.sub(r"\"[^\"]*\"|#[\w-]+", "", one.text[:90]).lower())


def _begins(word: str, one: Element) -> bool:
    """Whether an element's id is the begin of a word, or the reverse: `#temp` and `temperature`."""
    return any(
        min(len(word), len(own)) > 2 and (word.startswith(own) or own.startswith(word)) for own in one.words.split()
    )


def _single(word: str) -> str:
    return re.sub(r"(?<=[a-z]{2})(?:(?<=ss)es|(?<=[^s])s)$", "", word.lower().removesuffix("'s"))


def _value(text: str) -> float | int:
    number = float(text.replace(",", "."))
    return int(number) if number.is_integer() else number


def predicate(clause: str, words: Words) -> list[Condition]:
    """The conditions of a clause behind `if`, `while` or the like: `the text is empty`."""
    if counted := list(_counted(clause, words)):
        return counted
    hit = TELLING.search(clause)
    if hit is None:
        return []
    before = clause[: hit.start()].strip()
    told: list[Condition] = []
    if hit["none"] or hit["some"]:
        noun = next((hit[key] for key in ("in1", "in2", "in3", "np1", "np2") if hit[key]), before or "it")
        told = [{"is": "empty", **({"not": True} if hit["some"] else {})}]
        elements = words.meant(noun, BOXES if not HASH.search(noun) else ()) or words.meant("it", BOXES)
        return [{"of": one.id, **told[0]} for one in elements]
    if hit["empty"]:
        told = [{"is": "empty", **({"not": True} if hit["no1"] or hit["no2"] else {})}]
    elif hit["longer"]:
        told = [{"is": "longer", "value": int(hit["l"])}]
    elif hit["shorter"]:
        told = [{"is": "shorter", "value": int(hit["s"])}]
    elif hit["low"]:
        told = [{"is": "below", "value": _value(hit["a"])}]
    elif hit["high"]:
        told = [{"is": "above", "value": _value(hit["b"])}]
    elif hit["at"]:
        told = [{"is": "at most" if hit["less"] else "at least", "value": _value(hit["at"])}]
    elif hit["many"]:
        told = [{"is": "below" if hit["fewer"] else "above", "value": int(hit["m"])}]
        before = f"{hit['np3']} {clause[hit.end() :]}"
    elif hit["filled"]:
        told = [{"is": "empty", **({} if hit["no4"] else {"not": True})}]
    elif hit["text"]:
        told = [{"is": "empty", **({} if hit["text"].lower() == "no" else {"not": True})}]
    elif hit["negative"]:
        told = [{"is": "below", "value": 0}]
    elif hit["ticked"]:
        told = [{"is": "ticked", **({"not": True} if hit["no3"] else {})}]
    elif hit["number"] or hit["number2"]:
        told = [{"is": "number", "not": True}]
    elif hit["listed"]:
        return _listed(before or "it", words)
    elif hit["running"]:
        clocks = [one for one in words.elements if one.kind == "output" and re.search(r"\d|time|clock", one.text)]
        return [{"of": one.id, "is": "running"} for one in clocks[:1]]
    kinds = ("checkbox",) if hit["ticked"] else ()
    elements = words.meant(before or "it", kinds)
    return [{"of": one.id, **test} for one in elements for test in told]


def attributes(sentence: str, words: Words) -> list[Condition]:
    """The conditions in the nouns of a sentence: `an empty text`, `a discount below 0 or above 100`."""
    return list(_attributes(sentence, words))


def _counted(sentence: str, words: Words) -> Iterator[Condition]:
    for hit in IN_BOX.finditer(sentence):
        what = "longer" if hit["size"].lower() == "more" else "shorter"
        yield from ({"of": one.id, "is": what, "value": int(hit["n"])} for one in words.meant(hit["np"], BOXES))


def _attributes(sentence: str, words: Words) -> Iterator[Condition]:
    yield from _counted(sentence, words)
    for hit in EMPTY_NOUN.finditer(sentence):
        named = re.match(r" #[\w-]+", sentence[hit.end() :])
        elements = words.meant(named[0], (*BOXES, *LISTS)) if named else words.meant(hit["np"], BOXES)
        yield from ({"of": one.id, "is": "empty"} for one in elements)
    for hit in NEGATIVE_NOUN.finditer(sentence):
        yield from ({"of": one.id, "is": "below", "value": 0} for one in words.meant(_rest(hit, sentence), BOXES))
    for hit in BOUNDED.finditer(sentence):
        elements = words.meant(hit["np"], BOXES)
        for bound in ONE_BOUND.finditer(hit["all"]):
            what = ("shorter", "longer") if bound["chars"] else ("below", "above")
            value = {"is": what[0] if bound["low"] else what[1], "value": _value(bound["n"] or bound["m"])}
            if bound["m"]:
                value["is"] = "at most" if bound["less"] else "at least"
            yield from ({"of": one.id, **value} for one in elements)
    for hit in UNLIKE.finditer(sentence):
        starts = [part for part in hit.groups()[1:] if part and part != hit["np2"]]
        elements = words.meant(hit["np"] or hit["np2"], BOXES)
        yield from ({"of": one.id, "is": "starts", "value": starts, "not": True} for one in elements)
    for hit in LACKING.finditer(sentence):
        value = {"is": "contains", "value": hit["a"] or hit["b"], "not": True}
        yield from ({"of": one.id, **value} for one in words.meant(hit["np"] or hit["np2"], BOXES))
    for hit in LISTED.finditer(sentence):
        yield from _listed(hit["np"] or hit["np2"] or hit["np3"] or hit["np4"] or "it", words)


def _rest(hit: re.Match[str], sentence: str) -> str:
    """The noun with the words behind it that say where it is typed."""
    more = re.match(r" in(?:to)? the (?:\w+ )?#[\w-]+", sentence[hit.end() :])
    return hit["np"] + (more[0] if more else "")


def required(sentence: str, words: Words) -> list[Condition]:
    """The values that a sentence excludes with `must be between 0 and 24`."""
    told: list[Condition] = []
    for hit in MUST.finditer(sentence):
        low, high = hit[2] or hit[4], hit[3] or hit[5]
        for one in words.meant(hit["np"], BOXES)[:1]:
            told += [{"of": one.id, "is": "below", "value": _value(low)}] if low else []
            told += [{"of": one.id, "is": "above", "value": _value(high)}] if high else []
    return told


def _listed(noun: str, words: Words) -> list[Condition]:
    """The box of which a text is already in the only list."""
    places = [one for one in words.here if one.kind in LISTS] or [one for one in words.elements if one.kind in LISTS]
    box = words.meant(noun, ("input", "textarea")) or words.meant("it", ("input", "textarea"))
    return [{"of": box[0].id, "is": "listed", "value": places[0].id}] if len(places) == 1 and box else []
