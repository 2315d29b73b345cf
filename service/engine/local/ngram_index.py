"""Finds where the last tokens of a sequence occurred before, and the tokens behind that place (prompt lookup).

In: the tokens of one sequence, in order. Out: a draft, that is, the tokens that followed the same n-gram last time.
Not here: models, probabilities, how long a draft should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MATCH_LIMIT = 64  # tokens up to which a match is measured


@dataclass(frozen=True)
class Match:
    """An earlier occurrence of the last tokens: its end, and how many tokens agree."""

    end: int
    length: int


class NgramIndex:
    """The n-grams of one sequence by their latest occurrence. The work per token is constant."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._tokens: list[int] = []
        self._ends: dict[tuple[int, ...], int] = {}

    def __len__(self) -> int:
        """Tokens so far."""
        return len(self._tokens)

    def extend(self, tokens: Sequence[int]) -> None:
        """Append tokens. The n-gram at the very end is not indexed yet, because nothing follows it."""
        start = max(self._size, len(self._tokens))
        self._tokens += tokens
        for end in range(start, len(self._tokens)):
            self._ends[tuple(self._tokens[end - self._size : end])] = end

    def match(self) -> Match | None:
        """The latest earlier occurrence of the last n-gram. None if there is none."""
        end = self._ends.get(tuple(self._tokens[-self._size :]))
        if end is None:
            return None
        length, most = self._size, min(MATCH_LIMIT, end)
        while length < most and self._tokens[end - length - 1] == self._tokens[-length - 1]:
            length += 1
        return Match(end, length)

    def draft(self, match: Match, count: int) -> list[int]:
        """The `count` tokens behind a match. Where they reach the sequence's end they repeat, as a loop would."""
        tokens = self._tokens[match.end : match.end + count]
        while len(tokens) < count:
            tokens += tokens[: count - len(tokens)]
        return tokens
