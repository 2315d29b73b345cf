"""A grammar as a small tree, and its text in llguidance's dialect of Lark.

In: literals, terminals (regular expressions over whole lexemes), rules, sequences, alternatives and repetitions.
Out: the text of a Lark grammar that begins at `start`. It knows nothing of JSON Schema.

The dialect (llguidance docs/syntax.md): upper-case names are terminals, whose bodies may use `&` (and) and `~` (not);
lower-case names are rules; `{m,n}` repeats; string literals are JSON strings; regular expressions are those of Rust's
regex crate, matched over Unicode characters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Text:
    """Exactly these characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Name:
    """A rule (lower case) or a terminal (upper case)."""

    name: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other; an empty sequence matches the empty string."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of the options."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """At least `low` and at most `high` times; `high` None: without a limit."""

    part: Node
    low: int
    high: int | None


Node: TypeAlias = Text | Name | Sequence | Either | Repeat


def sequence(*parts: Node | str) -> Node:
    """The parts in order, with nested sequences opened.

    Neighbouring literals stay apart: llguidance's lexer is greedy and looks one byte ahead, so a literal that begins
    like a longer one (a comma, and a comma with the next key) would be lost in it. Every piece of JSON punctuation,
    every key and every scalar is a lexeme of its own, in every grammar.
    """
    flat: list[Node] = []
    for part in parts:
        node: Node = Text(part) if isinstance(part, str) else part
        flat += node.parts if isinstance(node, Sequence) else (node,)
    return flat[0] if len(flat) == 1 else Sequence(tuple(flat))


def either(options: Iterable[Node]) -> Node:
    """One of the options, each listed once."""
    unique = tuple(dict.fromkeys(options))
    return unique[0] if len(unique) == 1 else Either(unique)


class Book:
    """Rules and terminals under construction; equal terminals share one name."""

    def __init__(self) -> None:
        self.rules: dict[str, Node] = {}
        self._terminals: dict[str, str] = {}  # body -> name
        self._counts: dict[str, int] = {}  # rules and terminals that began with this name

    def terminal(self, name: str, body: str) -> Name:
        """The terminal with this body, named `name`, or `name_2` where that is taken by another body."""
        if body not in self._terminals:
            self._terminals[body] = self._free(name)
        return Name(self._terminals[body])

    def reserve(self, name: str) -> Name:
        """A rule name that is defined later, so that a rule can refer to itself."""
        free = self._free(name)
        self.rules[free] = Sequence(())
        return Name(free)

    def _free(self, name: str) -> str:
        count = self._counts[name] = self._counts.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    def define(self, name: Name, body: Node) -> Name:
        """Give a reserved name its body."""
        self.rules[name.name] = body
        return name

    def endless(self) -> str | None:
        """A rule that no finite text can match (it always needs itself again), or None."""
        finite: set[str] = set()
        left = list(self.rules)
        while left:
            # Some rules need earlier ones and some later ones: going to and fro, few rounds are enough for all.
            still = [name for name in left if not self._ended(name, finite)]
            still = [name for name in reversed(still) if not self._ended(name, finite)][::-1]
            if len(still) == len(left):
                return left[0]
            left = still
        return None

    def _ended(self, name: str, finite: set[str]) -> bool:
        if not _ends(self.rules[name], finite):
            return False
        finite.add(name)
        return True

    def text(self, start: Node) -> str:
        """The whole grammar."""
        lines = [f"start: {_body(start)}"]
        lines += [f"{name}: {_body(body)}" for name, body in self.rules.items()]
        lines += [f"{name}: {body}" for body, name in self._terminals.items()]
        return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A Lark string literal; the lexer takes no unprintable characters raw."""
    whole = json.dumps(text, ensure_ascii=False)
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in whole)


def _ends(node: Node, finite: Iterable[str] | Mapping[str, object]) -> bool:
    match node:
        case Text():
            return True
        case Name(name):
            return name.isupper() or name in finite
        case Sequence(parts):
            return all(_ends(part, finite) for part in parts)
        case Either(options):
            return any(_ends(option, finite) for option in options)
        case Repeat(part, low, _):
            return low == 0 or _ends(part, finite)


def _body(node: Node) -> str:
    """A rule's body; alternatives need no parentheses here."""
    if isinstance(node, Either):
        return " | ".join(_inner(option) for option in node.options)
    return _inner(node)


def _inner(node: Node) -> str:
    match node:
        case Text(text):
            return quoted(text)
        case Name(name):
            return name
        case Sequence(parts):
            return " ".join(_inner(part) for part in parts) or '""'
        case Either():
            return f"({_body(node)})"
        case Repeat(part, low, high):
            inner = _inner(part)
            if isinstance(part, Sequence):
                inner = f"({inner})"
            if (low, high) == (0, 1):
                return inner + "?"
            if high is None and low <= 1:
                return inner + "*+"[low]
            return f"{inner}{{{low},{'' if high is None else high}}}"
