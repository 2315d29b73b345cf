"""ECMA-262 patterns, as JSON Schema uses them: read once, for the grammar and for the check afterwards.

In: a pattern. Out: a tree for `matching`, and from the tree an expression of Rust's regex crate for the whole text.
Refused: look-around, back-references, word boundaries, Unicode properties, and anchors in the middle of a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NoReturn

from service.engine.schema.keywords import refuse
from service.engine.schema.matching import Chars, Choice, Series, Times, Tree

TOP = 0x10FFFF
Ranges = list[tuple[int, int]]
_DIGIT: Ranges = [(0x30, 0x39)]
_WORD: Ranges = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
_SPACE: Ranges = [(9, 13), (32, 32), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029),
                  (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)]  # fmt: skip
_LINE_ENDS: Ranges = [(10, 10), (13, 13), (0x2028, 0x2029)]
_CONTROL = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "0": 0}
_QUANTIFIER = re.compile(r"[*+?]|\{(\d+)(,(\d*))?\}")
_BRACED = re.compile(r"u\{(0*10[0-9a-fA-F]{4}|0*[0-9a-fA-F]{1,5})\}")
_NAMED = re.compile(r"\?(?::|<[A-Za-z_$][A-Za-z0-9_$]*>)")
MAX_REPEAT = 1000
MAX_SHORTEST = 30_000  # characters that a text needs at least. llguidance writes out what is forced
MAX_GROUPS = 50  # that stand one in the other
ANYTHING = Times(Chars(((0, TOP),)), 0, None, "*")


def translate(pattern: object, pointer: str = "") -> str:
    """The anchored expression of Rust's regex crate for the whole text.

    Raises:
        SchemaUnsupported: if the pattern is outside the subset.
    """
    return written(parse(pattern, pointer))


def written(tree: Tree) -> str:
    """A tree as an anchored expression of Rust's regex crate."""
    return f"^(?:{_written(tree)})$"


def parse(pattern: object, pointer: str = "") -> Tree:
    """The tree of a whole string. Raises SchemaUnsupported."""
    if not isinstance(pattern, str):
        refuse(pointer, "pattern", "must be a string")
    return _Parser(pattern, pointer).parse()


def _written(tree: Tree) -> str:
    match tree:
        case Chars(ranges):
            return _class(ranges)
        case Series(parts):
            return "".join(_written(part) for part in parts)
        case Choice(options):
            return f"(?:{'|'.join(_written(option) for option in options)})"
        case Times(part, _, _, sign):
            return ("(?s:.)" if tree is ANYTHING else f"(?:{_written(part)})") + sign


def _shortest(tree: Tree) -> int:
    """The number of characters that a matching text needs."""
    match tree:
        case Chars():
            return 1
        case Series(parts):
            return sum(map(_shortest, parts))
        case Choice(options):
            return min(map(_shortest, options))
        case Times(part, low, _):
            return low * _shortest(part)


def any_of(texts: Iterable[str]) -> str:
    """The expression for exactly these texts."""
    return f"^(?:{'|'.join(''.join(_class(((ord(char), ord(char)),)) for char in text) for text in texts)})$"


def complement(ranges: Ranges) -> Ranges:
    """Every character that is not in `ranges`."""
    gaps, at = [], 0
    for low, high in sorted(ranges):
        if low > at:
            gaps.append((at, low - 1))
        at = max(at, high + 1)
    return [*gaps, (at, TOP)] if at <= TOP else gaps


@lru_cache(maxsize=1024)
def _class(ranges: tuple[tuple[int, int], ...]) -> str:
    """One character of these. Half of a surrogate pair is no character there."""
    texts = []
    for low, high in sorted(ranges):
        for start, end in ((low, min(high, 0xD7FF)), (max(low, 0xE000), high)):
            if start <= end:
                texts.append(_char(start) if start == end else f"{_char(start)}-{_char(end)}")
    return f"[{''.join(texts)}]" if texts else "[^\\x00-\\x{10ffff}]"  # the latter: no character at all


def _chars(ranges: Ranges) -> Chars:
    return Chars(tuple(ranges))


def _char(code: int) -> str:
    return chr(code) if chr(code).isascii() and chr(code).isalnum() else f"\\x{{{code:x}}}"


_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_NEGATED = {name: complement(ranges) for name, ranges in _CLASSES.items()}
_DOT = _chars(complement(_LINE_ENDS))


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str, pointer: str) -> None:
        self.pattern, self.pointer, self.at, self.depth = pattern, pointer, 0, 0
        self.closing: dict[int, int] | None = None

    def refuse(self, why: str) -> NoReturn:
        refuse(self.pointer, "pattern", f"{why} (character {self.at + 1})", "Use a simpler pattern.")

    def peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def parse(self) -> Tree:
        """The whole pattern. Where it is not anchored, any text may stand before or behind it."""
        tree = self.options(top=True)
        if self.at < len(self.pattern):
            self.refuse("has an unmatched parenthesis")
        return tree

    def options(self, *, top: bool) -> Choice:
        branches = [self.branch(top=top)]
        while self.peek() == "|":
            self.at += 1
            branches.append(self.branch(top=top))
        return Choice(tuple(branches))

    def branch(self, *, top: bool) -> Series:
        start = end = not top
        if top and self.peek() == "(" and self.stands_alone():
            self.at += 1
            return Series((self.group(top=True),))
        if top and self.peek() == "^":
            start, self.at = True, self.at + 1
        parts: list[Tree] = []
        while self.peek() not in ("", "|", ")"):
            if self.peek() == "$" and top and self.pattern[self.at + 1 : self.at + 2] in ("", "|", ")"):
                end, self.at = True, self.at + 1
                break
            parts.append(self.quantified())
        return Series((*([] if start else [ANYTHING]), *parts, *([] if end else [ANYTHING])))

    def quantified(self) -> Tree:
        atom = self.atom()
        quantifier = _QUANTIFIER.match(self.pattern, self.at)
        if quantifier is None:
            return atom
        self.at = quantifier.end()
        if self.peek() == "?":
            self.at += 1  # a lazy quantifier takes the same texts
        if self.peek() in ("+", "*", "?"):
            self.refuse("has a doubled quantifier")
        limits = [int(number) for number in (quantifier[1], quantifier[3]) if number]
        if any(limit > MAX_REPEAT for limit in limits) or (len(limits) == 2 and limits[0] > limits[1]):
            self.refuse(f"repeats more than {MAX_REPEAT} times or backwards")
        signs: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        low, high = signs.get(quantifier[0]) or (limits[0], limits[-1] if quantifier[3] or not quantifier[2] else None)
        if low * _shortest(atom) > MAX_SHORTEST:
            self.refuse(f"needs a text of more than {MAX_SHORTEST} characters")
        return Times(atom, low, high, quantifier[0])

    def atom(self) -> Tree:
        character = self.peek()
        self.at += 1
        if character == "(":
            return self.group()
        if character == "[":
            return _chars(self.character_class())
        if character == ".":
            return _DOT
        if character == "\\":
            return _chars(self.escape())
        if character in "^$*+?":
            self.refuse(f"has {character!r} where it is not supported")
        return _chars([(ord(character), ord(character))])

    def stands_alone(self) -> bool:
        """Whether the group that begins here is a whole branch, so that anchors may stand in it."""
        return self.pattern[self.ends().get(self.at, -1) + 1 :][:1] in ("", "|", ")") and self.at in self.ends()

    def ends(self) -> dict[int, int]:
        """Where each group ends, by where it begins."""
        if self.closing is None:
            self.closing = {}
            opened: list[int] = []
            in_class, skip = False, False
            for at, character in enumerate(self.pattern):
                if skip:
                    skip = False
                elif character == "\\":
                    skip = True
                elif in_class:
                    in_class = character != "]"
                elif character == "[":
                    in_class = True
                elif character == "(":
                    opened.append(at)
                elif character == ")" and opened:
                    self.closing[opened.pop()] = at
        return self.closing

    def group(self, *, top: bool = False) -> Tree:
        if self.peek() == "?":
            opening = _NAMED.match(self.pattern, self.at)
            if opening is None:
                self.refuse("has a look-around or a flag")
            self.at = opening.end()
        self.depth += 1
        if self.depth > MAX_GROUPS:
            self.refuse(f"has groups nested deeper than {MAX_GROUPS}")
        options = self.options(top=top)
        self.depth -= 1
        if self.peek() != ")":
            self.refuse("has an unmatched parenthesis")
        self.at += 1
        return options

    def escape(self) -> Ranges:
        character = self.peek()
        self.at += 1
        if character in _CLASSES:
            return _CLASSES[character]
        if character.lower() in _CLASSES:
            return _NEGATED[character.lower()]
        if character in _CONTROL and not (character == "0" and self.peek().isdigit()):
            return [(_CONTROL[character], _CONTROL[character])]
        if braced := _BRACED.match(self.pattern, self.at - 1):
            self.at = braced.end()
            return [(int(braced[1], 16), int(braced[1], 16))]
        for letter, digits in (("x", 2), ("u", 4)):
            if character == letter:
                text = self.pattern[self.at : self.at + digits]
                if not re.fullmatch(f"[0-9a-fA-F]{{{digits}}}", text):
                    self.refuse("has a broken escape")
                self.at += digits
                return [(int(text, 16), int(text, 16))]
        if character.isalnum() or not character:
            self.refuse(f"has the escape \\{character}, which is not supported")
        return [(ord(character), ord(character))]

    def character_class(self) -> Ranges:
        negated = self.peek() == "^"
        self.at += negated
        ranges: Ranges = []
        while self.peek() != "]":
            if not self.peek():
                self.refuse("has a class without an end")
            low = self.member()
            if self.peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self.member()
                if len(low) == len(high) == 1 and low[0][0] == low[0][1] and high[0][0] == high[0][1]:
                    if low[0][0] > high[0][0]:
                        self.refuse("has a broken range")
                    low = [(low[0][0], high[0][1])]
                else:  # beside a class such as \w the hyphen is a character (ECMA-262, Annex B.1.2)
                    low = [*low, (0x2D, 0x2D), *high]
            ranges += low
        self.at += 1
        return complement(ranges) if negated else ranges

    def member(self) -> Ranges:
        character = self.peek()
        self.at += 1
        if character == "\\":
            if self.peek() == "b":
                self.refuse("has \\b in a class")
            return self.escape()
        return [(ord(character), ord(character))]
