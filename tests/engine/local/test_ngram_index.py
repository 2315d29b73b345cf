"""Drafts are the tokens that followed the same n-gram the last time. Compared with a search that knows no index."""

from __future__ import annotations

import random

import pytest

from service.engine.local.ngram_index import MATCH_LIMIT, Match, NgramIndex


def searched(tokens: list[int], size: int) -> Match | None:
    """The same by trying every place, from the latest."""
    for end in range(len(tokens) - 1, size - 1, -1):
        if tokens[end - size : end] == tokens[-size:]:
            length = size
            while length < min(MATCH_LIMIT, end) and tokens[end - length - 1] == tokens[-length - 1]:
                length += 1
            return Match(end, length)
    return None


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("vocabulary", [1, 2, 5])
def test_the_latest_earlier_occurrence_is_found_after_every_extension(size: int, vocabulary: int) -> None:
    draw = random.Random(size * 10 + vocabulary)
    index, tokens = NgramIndex(size), list[int]()
    matches = 0
    for _ in range(60):
        more = [draw.randrange(vocabulary) for _ in range(draw.randrange(4))]
        index.extend(more)
        tokens += more
        assert len(index) == len(tokens)
        match = index.match() if tokens else None
        assert match == (searched(tokens, size) if tokens else None)
        matches += match is not None
    assert matches > 10


def test_a_draft_is_what_followed() -> None:
    index = NgramIndex(3)
    index.extend([9, 1, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3])
    match = index.match()
    assert match == Match(4, 4)
    assert index.draft(match, 3) == [4, 5, 6]


@pytest.mark.parametrize(("period", "count"), [([7], 5), ([1, 2, 3], 8), ([1, 2, 3, 4, 5], 16)])
def test_a_loop_is_drafted_beyond_its_end(period: list[int], count: int) -> None:
    index = NgramIndex(3)
    index.extend(period * 6)
    match = index.match()
    assert match is not None
    assert index.draft(match, count) == (period * count)[:count]
