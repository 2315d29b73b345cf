"""Whether a text has a pattern, in time that no pattern can make explode: patterns come from callers, as texts do.

In: a pattern as a tree (`patterns.parse`), a text. Out: whether it matches. Python's `re` tries one way after the other
and so can take 2^n steps for n characters. Here all ways are followed at the same time: what may still come is a set
of rests of the pattern, and a character takes each rest to the next ones (V. Antimirov, "Partial derivatives of regular
expressions and finite automaton constructions", Theoretical Computer Science 155, 1996). Counts stay numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeAlias

MAX_STEPS = 200_000  # less than a second; a plain pattern takes two to four a character


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
    """At least `low` and at most `high` times; `high` None: without a limit. `sign`: as the pattern writes it."""

    part: Tree
    low: int
    high: int | None
    sign: str = field(compare=False)


Tree: TypeAlias = Chars | Series | Choice | Times
Rest: TypeAlias = tuple[Tree, ...]


class TooCostly(Exception):
    """More than `MAX_STEPS` steps."""


def matches(tree: Tree, text: str) -> bool:
    """Whether the whole text matches. Raises TooCostly."""
    rests: set[Rest] = {(tree,)}
    known: dict[tuple[Rest, str], tuple[Rest, ...]] = {}
    steps = 0
    for character in text:
        following: set[Rest] = set()
        for rest in rests:
            found = known.get((rest, character))
            if found is None:
                found = known[rest, character] = tuple(set(_after(rest, ord(character))))
            following.update(found)
            steps += 1 + len(found)
        if steps > MAX_STEPS:
            raise TooCostly
        rests = following
    return any(all(_may_be_empty(part) for part in rest) for rest in rests)


def _after(rest: Rest, code: int) -> Iterator[Rest]:
    """What may come after this character."""
    if not rest:
        return
    first, others = rest[0], rest[1:]
    match first:
        case Chars(ranges):
            if any(low <= code <= high for low, high in ranges):
                yield others
        case Series(parts):
            yield from _after(parts + others, code)
        case Choice(options):
            for option in options:
                yield from _after((option, *others), code)
        case Times(part, low, high):
            if high != 0:
                once_less = replace(first, low=max(0, low - 1), high=None if high is None else high - 1)
                for left in _after((part,), code):
                    yield (*left, once_less, *others)
            if _may_be_empty(first):
                yield from _after(others, code)


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
