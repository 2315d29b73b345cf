"""Whether a text has a pattern, in time that no pattern can make explode: patterns come from callers, as texts do.

In: a pattern as a tree (`patterns.parse`), a text. Out: whether it matches. Python's `re` tries one way after the other
and so can take 2^n steps for n characters. Here all ways are followed at the same time: a state is a set of
rests of the pattern, and a character takes each rest to the next ones (V. Antimirov, "Partial derivatives of regular
expressions and finite automaton constructions", Theoretical Computer Science 155, 1996). Counts stay numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeAlias

MAX_PAIRS = 20_000  # steps to tell whether two patterns share a text
MAX_STEPS = 100_000  # less than a second. A plain pattern takes a few, and a counted one a few a character


@dataclass(frozen=True, slots=True)
class Chars:
    """One character in one of these ranges of code points, both ends included."""

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Series:
    """One after the other."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the options."""

    options: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Times:
    """At least `low` and at most `high` times (None: no limit). `sign` is the quantifier in the pattern."""

    part: Tree
    low: int
    high: int | None
    sign: str = field(compare=False)


Tree: TypeAlias = Chars | Series | Choice | Times
Rest: TypeAlias = tuple[Tree, ...]
State: TypeAlias = frozenset[Rest]


class TooCostly(Exception):
    """More than `MAX_STEPS` steps."""


class Matcher:
    """One pattern and its automaton, built as far as texts have needed it. A known state takes a look-up a character.

    `steps` counts the new steps. The limit holds for all texts together unless the caller sets it to 0 in between.
    """

    def __init__(self, tree: Tree, most: int = MAX_STEPS) -> None:
        self.steps = 0
        self._most = most
        self._kept = 0
        self.start: State = frozenset([(tree,)])
        self._next: dict[tuple[State, str], State] = {}

    def matches(self, text: str) -> bool:
        """Whether the whole text matches. Raises TooCostly."""
        state = self.start
        for character in text:
            state = self.next(state, character)
            if not state:
                return False
        return self.accepts(state)

    def accepts(self, state: State) -> bool:
        """Whether a text may end in this state."""
        return any(all(_may_be_empty(part) for part in rest) for rest in state)

    def next(self, state: State, character: str) -> State:
        """The state after one more character. Raises TooCostly."""
        following = self._next.get((state, character))
        return self._follow(state, character) if following is None else following

    def _follow(self, state: State, character: str) -> State:
        rests: set[Rest] = set()
        for rest in state:
            rests.update(self._after(rest, ord(character)))
        self._kept += 1 + len(rests)
        if self._kept > MAX_STEPS:
            self._next.clear()
            self._kept = 0
        following = self._next[state, character] = frozenset(rests)
        return following

    def _after(self, rest: Rest, code: int) -> Iterator[Rest]:
        """The rests after this character."""
        self.steps += 1 + len(rest) // 16
        if self.steps > self._most:
            raise TooCostly
        if not rest:
            return
        first, others = rest[0], rest[1:]
        match first:
            case Chars(ranges):
                if any(low <= code <= high for low, high in ranges):
                    yield others
            case Series(parts):
                yield from self._after(parts + others, code)
            case Choice(options):
                for option in options:
                    yield from self._after((option, *others), code)
            case Times(part, low, high):
                if high != 0:
                    once_less = replace(first, low=max(0, low - 1), high=None if high is None else high - 1)
                    for left in self._after((part,), code):
                        yield (*left, once_less, *others)
                if _may_be_empty(first):
                    yield from self._after(others, code)


def matches(tree: Tree, text: str) -> bool:
    """Whether the whole text matches. Raises TooCostly."""
    return Matcher(tree).matches(text)


def share_a_text(one: Tree, other: Tree) -> bool:
    """Whether some text may match both. It is yes, too, where telling takes more than `MAX_PAIRS` steps."""
    left, right = Matcher(one, MAX_PAIRS), Matcher(other, MAX_PAIRS)
    codes = sorted({code for tree in (one, other) for low, high in _ranges(tree) for code in (low, high + 1)} | {0})
    characters = [chr(code) for code in codes if code <= 0x10FFFF]
    pending = [(left.start, right.start)]
    seen = set(pending)
    try:
        while pending:
            if len(seen) * len(characters) > MAX_PAIRS:
                return True
            states = pending.pop()
            if left.accepts(states[0]) and right.accepts(states[1]):
                return True
            for character in characters:
                pair = (left.next(states[0], character), right.next(states[1], character))
                if all(pair) and pair not in seen:
                    seen.add(pair)
                    pending.append(pair)
    except TooCostly:
        return True
    return False


def _ranges(tree: Tree) -> Iterator[tuple[int, int]]:
    match tree:
        case Chars(ranges):
            yield from ranges
        case Series(parts) | Choice(parts):
            for part in parts:
                yield from _ranges(part)
        case Times(part):
            yield from _ranges(part)


@lru_cache(maxsize=4096)
def _may_be_empty(tree: Tree) -> bool:
    match tree:
        case Chars():
            return False
        case Series(parts):
            return all(_may_be_empty(part) for part in parts)
        case Choice(options):
            return any(_may_be_empty(option) for option in options)
        case Times(part, low, _):
            return low == 0 or _may_be_empty(part)
