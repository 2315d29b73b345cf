"""Reads the rules in a brief's clauses: a button that is disabled while a text is empty, amounts that are refused.

In: a `Reading`. Out: `Rule` values of a small vocabulary. The page does them beside its pieces (`pieces/rules.js`), so
each piece has them without patterns of its own.

Not here: the words of clauses (`clauses`), conditions (`conditions`), the work of a piece itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from service.builds.generate.blocks.clauses import (
    ADDS,
    AFTER,
    ASKS,
    BOUNDS,
    CLEARED,
    CLICKED,
    EMPTIED,
    ENDS,
    IGNORED,
    KEY,
    KEY_DOES,
    LASTING,
    LEAST,
    LIMIT,
    MARK,
    MESSAGE,
    MOST,
    NEW_TAB,
    NEWEST,
    NOT_MORE,
    OFF,
    ON,
    OTHERWISE,
    OUTPUTS,
    PROBLEM,
    QUOTED,
    REFUSED,
    SHOWN,
    SHOWN_WHILE,
    STRICT,
    SUB,
    TOO_LONG,
    TURNED,
    TURNS,
    WITHOUT,
)
from service.builds.generate.blocks.conditions import (
    BOXES,
    HASH,
    TELLING,
    Condition,
    Words,
    attributes,
    predicate,
    required,
)
from service.builds.generate.blocks.formats import date_form, number_form
from service.builds.generate.blocks.notation import KEYED, PART, SENTENCE, plain_notation
from service.builds.generate.blocks.reading import NOT_NAMES, Element, Reading

MOST_SENTENCES, LONGEST = 200, 600


@dataclass(frozen=True)
class Rule:
    """A rule of the page.

    `effect`: disabled, refused, text, date, number, key, cleared, limit, bounds, marks, order or tab.
    `of` are the elements that it changes. `when` are conditions of which one is enough. A refused action is told in
    `message`. A lasting rule holds at each moment, and others when the button of the page is pressed.
    """

    effect: str
    of: tuple[str, ...] = ()
    when: tuple[Condition, ...] = ()
    text: str | None = None
    message: str | None = None
    least: int | None = None
    most: int | None = None
    lasting: bool = False
    sentence: str = field(default="", compare=False)

    def plain(self) -> dict[str, Any]:
        """As a parameter of the page."""
        own = {
            "effect": self.effect, "of": list(self.of), "when": list(self.when), "text": self.text,
            "message": self.message, "least": self.least, "most": self.most, "lasting": self.lasting,
        }  # fmt: skip
        return {key: value for key, value in own.items() if value not in (None, [], False)}


def rules_of(reading: Reading) -> tuple[Rule, ...]:
    """The rules of a brief, in its order."""
    return _rules(reading.brief, reading.elements)


@lru_cache(maxsize=8)
def _rules(brief: str, elements: tuple[Element, ...]) -> tuple[Rule, ...]:
    told: list[Rule] = []
    before: list[Element] = []
    by_id = {one.id: one for one in elements}
    parts = [part for whole in SENTENCE.split(_hashed(brief, by_id)) for part in PART.findall(whole)]
    sentences = [part[:LONGEST] for part in parts[:MOST_SENTENCES]]
    for number, sentence in enumerate(sentences):
        here = [by_id[name] for name in HASH.findall(sentence) if name in by_id]
        following = sentences[number + 1] if number + 1 < len(sentences) else ""
        earlier = sentences[number - 1] if number else ""
        told += _Sentence(sentence, earlier, following, elements, here, before).rules()
        before = here or before
    longer = TOO_LONG.search(brief) or any(one["is"] == "longer" for rule in told for one in rule.when)
    return tuple(rule for rule in _joined(told) if not (longer and rule.effect == "limit"))


def _hashed(brief: str, known: dict[str, Element]) -> str:
    """The brief with each id as `#id`, whatever its notation."""

    def hashed(match: re.Match[str]) -> str:
        key = (match["key"] or match["keys"] or "").lower()
        names = [name for name in re.findall(r"[A-Za-z][\w-]*", match["one"] or match["many"] or "") if name in known]
        if match["hash"] or key.startswith("class") or not names or names[0].lower() in NOT_NAMES:
            return match[0]
        return ", ".join(f"#{name}" for name in names[:-1]) + (" and " if names[1:] else "") + f"#{names[-1]}"

    text = KEYED.sub(hashed, plain_notation(brief, known))
    return re.sub(r",? (?:with (?:the )?|having (?:the )?|called )(?=#)", " ", text)


def _joined(told: Sequence[Rule]) -> Iterator[Rule]:
    """The rules, with all reasons of a disabled button in one."""
    done: set[str] = set()
    for rule in told:
        if rule.effect != "disabled":
            yield rule
        elif rule.of[0] not in done:
            done.add(rule.of[0])
            same = [other for other in told if other.effect == "disabled" and other.of == rule.of]
            when = tuple(condition for other in same for condition in other.when)
            yield Rule("disabled", rule.of, when, lasting=True, sentence=rule.sentence)


class _Sentence:
    """One sentence and its words on the elements."""

    def __init__(
        self,
        text: str,
        earlier: str,
        following: str,
        elements: Sequence[Element],
        here: list[Element],
        before: list[Element],
    ) -> None:
        self.text, self.earlier, self.following, self.elements = text, earlier, following, elements
        self.plain = QUOTED.sub(lambda quote: f'"{"·" * (len(quote[0]) - 2)}"', text)
        self.here, self.before = here, before
        self.by_id = {one.id: one for one in elements}
        self.words = Words(elements, here or before)

    def rules(self) -> Iterator[Rule]:
        subordinate = [
            (hit, conditions)
            for hit in SUB.finditer(self.plain)
            if (conditions := predicate(hit["clause"], self.words))
        ]
        disabled = list(self._disabled(subordinate))
        yield from disabled
        refused = [] if disabled else list(self._refused(subordinate))
        yield from refused
        if not refused and not disabled:
            yield from self._texts(subordinate)
        if (written := date_form(self.text, self._is_output)) is not None:
            yield Rule("date", (written[0],), text=written[1], lasting=True, sentence=self.text)
        if (written := number_form(self.text, self._is_output)) is not None:
            yield Rule("number", (written[0],), text=written[1], lasting=True, sentence=self.text)
        yield from self._keys()
        yield from self._cleared()
        yield from self._limits()
        yield from self._bounds()
        yield from self._marks()
        if NEWEST.search(self.plain):
            yield Rule("order", text="newest", sentence=self.text)
        if NEW_TAB.search(self.text):
            yield Rule("tab", lasting=True, sentence=self.text)

    def _buttons(self, at: int) -> list[Element]:
        """The button that the words left of a place mean."""
        left = [self.by_id[name] for name in HASH.findall(self.plain[:at]) if name in self.by_id]
        for group in (left[::-1], self.here, self.before, self.elements):
            hit = [one for one in group if one.kind == "button"]
            if hit and (group is left or len(hit) == 1 or group[0] is hit[0]):
                return hit[:1]
            if len(hit) > 1:
                return []
        return []

    def _disabled(self, subordinate: list[tuple[re.Match[str], list[Condition]]]) -> Iterator[Rule]:
        for pattern, on in ((OFF, False), (ON, True)):
            hit = pattern.search(self.plain)
            if hit is None:
                continue
            near = [(sub, told) for sub, told in subordinate if not sub.start() < hit.start() < _end(sub)]
            without = [] if near else self._without() or attributes(self.plain, self.words)
            if not near and not without:
                continue
            word = near[0][0]["word"].lower() if near else "without"
            conditions = [condition for _, told in near[:1] for condition in told] or without
            turned = (word in TURNED) != on
            if on and word in TURNED:
                continue
            left = self.plain[: hit.start()]
            disables = re.match(r"\bdisable", hit[0], re.I)  # `an empty box disables the button`
            buttons = [] if disables else self._buttons(len(left))
            for button in buttons or self._buttons(len(self.plain)):
                when = tuple(_turned(condition) if turned else condition for condition in conditions)
                yield Rule("disabled", (button.id,), when, lasting=True, sentence=self.text)
                return

    def _refused(self, subordinate: list[tuple[re.Match[str], list[Condition]]]) -> Iterator[Rule]:
        strong, weak = REFUSED.search(self.plain), IGNORED.search(self.plain)
        must = required(self.plain, self.words)
        conditions: list[Condition] = []
        if not must and re.match(r"(?:if not|otherwise|other|else|anything else|everything else)\b", self.plain, re.I):
            must = required(self.earlier, Words(self.elements, self.before))
        lasting = [one for sub, told in subordinate if sub["word"].lower() in TURNED for one in told]
        told_in = [hit["id"] or hit["in"] for hit in MESSAGE.finditer(self.plain)]
        named = [name for name in told_in if name in self.by_id]
        if must and (OTHERWISE.search(self.plain) or strong):
            conditions = must
        elif not strong and not weak and lasting and ADDS.search(self.plain):
            conditions = [one for one in lasting if one["is"] in ("empty", "listed") and not one.get("not")]
        elif not strong and not weak and any(STRICT.search(self.by_id[name].words) for name in named):
            conditions = [one for _, told in subordinate for one in told if one["is"] in BOUNDS]
        elif strong or weak:
            hit = strong or weak
            assert hit is not None
            conditions = (
                attributes(self.plain, self.words)
                or self._without()
                or [condition for sub, told in subordinate if sub["word"].lower() not in TURNED for condition in told]
            )
        if not conditions:
            return
        ignored = not named and (weak is None or not re.search(r"(?:twice|once)$", weak[0], re.I))
        message, text = self._message({one["of"] for one in conditions}, quiet=strong is None and not must and ignored)
        of = [match["id"] or match["left"] for match in EMPTIED.finditer(self.plain)]
        subs = [sub for sub, _ in subordinate]
        of = [
            name
            for name in of
            if self._is_output(name) and not any(f"#{name} " in sub["clause"] for sub in subs) and name != message
        ]
        yield Rule("refused", tuple(of), tuple(conditions), text, message, sentence=self.text)

    def _without(self) -> list[Condition]:
        """The boxes that are empty by `without a text in the box`."""
        hits = WITHOUT.finditer(self.plain)
        return [{"of": one.id, "is": "empty"} for hit in hits for one in self.words.meant(hit["np"], BOXES)[:1]]

    def _is_output(self, name: str) -> bool:
        return name in self.by_id and self.by_id[name].kind in OUTPUTS

    def _message(self, tested: set[str], *, quiet: bool) -> tuple[str | None, str | None]:
        """The element that tells of a refusal, and its text."""
        for where in (self.text, self.following if re.match(r"#|The |In |Then ", self.following) else ""):
            hits = [(hit["id"] or hit["in"], hit["what"] or hit["before"]) for hit in MESSAGE.finditer(where)]
            able = [(name, what) for name, what in hits if self._is_output(name) and name not in tested]
            named = [(name, what) for name, what in able if PROBLEM.search(self.by_id[name].words)]
            for name, what in named or (able if where is self.text else []):
                quote = QUOTED.search(what or "")
                return name, (quote[1] or quote[2]) if quote else None
            if quiet:
                return None, None
        problems = [one for one in self.elements if one.kind in OUTPUTS and PROBLEM.search(one.words)]
        return (problems[0].id, None) if len(problems) == 1 else (None, None)

    def _texts(self, subordinate: list[tuple[re.Match[str], list[Condition]]]) -> Iterator[Rule]:
        told = [(sub.start(), sub["word"].lower(), conditions) for sub, conditions in subordinate]
        told += [
            (hit.start(), "if", [{"of": one.id, "is": "empty"}])
            for hit in WITHOUT.finditer(self.plain)
            for one in self.words.meant(hit["np"], BOXES)[:1]
        ]
        for at, word, conditions in told:
            usual = {"empty": False, "number": True}  # and whether it is turned
            able = [one for one in conditions if bool(one.get("not")) == usual.get(one["is"])]
            if not able or word in TURNED:
                continue
            hits = [*SHOWN.finditer(self.text), *SHOWN_WHILE.finditer(self.text), *ASKS.finditer(self.text)]
            hit = min(hits, key=lambda one: min(abs(one.end() - at), abs(one.start() - at)), default=None)
            if hit is None:
                continue
            places = self.words.meant(hit["np"], OUTPUTS) or self._only_output(hit["np"])
            if len(places) != 1:
                continue
            text = f"Please enter {hit['what']}." if "what" in hit.groupdict() else hit["q"][1:-1]
            yield Rule("text", (places[0].id,), tuple(able), text, lasting=word in LASTING, sentence=self.text)

    def _only_output(self, noun: str) -> list[Element]:
        """The only output of the brief, if the noun is `the paragraph` or the like."""
        outputs = [one for one in self.elements if one.kind in OUTPUTS]
        generic = re.search(r"\b(?:paragraph|element|line|it|output|message|text)\b", noun)
        return outputs if len(outputs) == 1 and generic else []

    def _keys(self) -> Iterator[Rule]:
        for hit in KEY.finditer(self.plain):
            escape = hit["key"].lower().startswith("esc")
            rest = f"{self.plain[: hit.start()]} {hit['after']}"
            starts = re.match(r" (?:works|does|in (?:the |a )?(?:\w+ )?(?:#|box|field|input))", hit["after"], re.I)
            if not KEY_DOES.search(rest) or not (hit["noun"] or starts or (hit["pressed"] or "the").strip() != "the"):
                continue
            box = [one for one in self.here if one.kind in ("input", "textarea")] or [
                one for one in (*self.before, *self.elements) if one.kind in ("input", "textarea")
            ]
            buttons = [one for one in (*self.here, *self.before, *self.elements) if one.kind == "button"]
            if escape:
                near = [one for one in (*self.here, *self.before) if one.kind in (*OUTPUTS, "list")]
                box = self.words.meant(hit["after"], (*OUTPUTS, "select", "input")) or box or near
            if box and buttons:
                key = "Escape" if escape else "Enter"
                yield Rule("key", (box[0].id,), text=key, message=buttons[0].id, lasting=True, sentence=self.text)
            return

    def _cleared(self) -> Iterator[Rule]:
        hit = CLEARED.search(self.plain)
        if hit is None or not AFTER.search(self.plain) or re.search(r"\b(?:at first|initially)\b", self.plain, re.I):
            return
        boxes = [one for one in self.here if one.kind in ("input", "textarea")]
        if not boxes:
            several = re.search(r"boxes|fields|inputs|form|they", hit[0], re.I)
            able = [one for one in (*self.before, *self.elements) if one.kind in ("input", "textarea")]
            boxes = list(dict.fromkeys(able)) if several else able[:1]
        if boxes:
            yield Rule("cleared", tuple(one.id for one in boxes), sentence=self.text)

    def _limits(self) -> Iterator[Rule]:
        """The most characters that a box takes. A limit of which the brief tells the excess is another rule."""
        hit = next((one for one in LIMIT.finditer(self.plain) if one["most"] or one["last"] or one["not"]), None)
        if hit is None or OFF.search(self.plain) or REFUSED.search(self.plain):
            return
        more = re.match("more", hit["most"] or "", re.I)
        if more and not hit["not"] and not NOT_MORE.search(self.plain[: hit.start("n")].rstrip()):
            return
        boxes = [one for one in self.here if one.kind in ("input", "textarea")]
        boxes = boxes or self.words.meant(self.plain[: hit.start()], ("input", "textarea"))
        if len(boxes) == 1 and not any(one.kind in OUTPUTS for one in self.here):
            yield Rule("limit", (boxes[0].id,), most=int(hit["n"]), lasting=True, sentence=self.text)

    def _bounds(self) -> Iterator[Rule]:
        """The ends between which a number of the page stays, without a word on a box."""
        low, high, ends = LEAST.search(self.plain), MOST.search(self.plain), ENDS.search(self.plain)
        outputs = [one for one in self.here or self.before if one.kind in OUTPUTS]
        if any(one.kind in BOXES for one in self.here) or not (low or high or ends):
            return
        least = (low["n"] or low["m"] or low["l"] or "0") if low else ends["a"] if ends else None
        most = (high["n"] or high["m"] or high["l"] or high["s"]) if high else ends["b"] if ends else None
        of = tuple(one.id for one in outputs[:1])
        yield Rule("bounds", of, least=_whole(least), most=_whole(most), sentence=self.text)

    def _marks(self) -> Iterator[Rule]:
        """Entries of a list to which a click gives a class, and from which another click takes it."""
        hit, mark = CLICKED.search(self.plain), MARK.search(self.plain)
        if not hit or not mark or not (TURNS.search(self.plain) or TURNS.search(self.following[:60])):
            return
        noun = re.match(r"(?: on| of)?(?: an?| the| any| each| every| one) ([\w-]+)", self.plain[hit.end() :])
        kinds = ("list", "table", "box")
        places = [one for one in self.here if one.kind in kinds]
        places = places or self.words.meant(noun[1] if noun else "", kinds) or self.here
        if len(places) == 1 and not any(one.kind == "button" for one in self.here):
            yield Rule("marks", (places[0].id,), text=mark["name"], lasting=True, sentence=self.text)


def _whole(text: str | None) -> int | None:
    return None if text is None else 0 if text.lower() == "zero" else int(text)


def newest_first(reading: Reading) -> bool:
    """Whether new entries stand in front of the earlier ones."""
    return any(rule.effect == "order" for rule in rules_of(reading))


def disabled_by_a_rule(button: Element, reading: Reading) -> bool:
    """Whether the page disables a button by a rule, so a piece may leave it to the rule."""
    return any(rule.effect == "disabled" and rule.of == (button.id,) for rule in rules_of(reading))


def bounds_of(reading: Reading) -> tuple[int | None, int | None]:
    """The least and the most value of a number that the page counts."""
    told = [rule for rule in rules_of(reading) if rule.effect == "bounds"]
    least = next((rule.least for rule in told if rule.least is not None), None)
    return least, next((rule.most for rule in told if rule.most is not None), None)


def _end(sub: re.Match[str]) -> int:
    """Where the condition of a clause has ended: `while it runs #start is disabled`."""
    told = TELLING.search(sub["clause"])
    return sub.start("clause") + (told.end() if told else 0)


def _turned(condition: Condition) -> Condition:
    """The opposite of a condition."""
    rest = {key: value for key, value in condition.items() if key != "not"}
    return rest if condition.get("not") else {**rest, "not": True}
