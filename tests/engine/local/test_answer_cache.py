"""Kept answers take a bounded amount of memory, whatever the answers are."""

from __future__ import annotations

import sys
import tracemalloc

import pytest

from service.engine.local.answer_cache import AnswerCache, memory_bytes
from service.engine.types import Answer, Logprob, Request, Sampling, Timings, Usage


def asked(key: str, **fields: object) -> Request:
    return Request(text="?", fingerprint=key, **fields)  # type: ignore[arg-type]


def said(text: str, tokens: int = 10, **fields: object) -> Answer:
    ids = tuple(range(1_000, 1_000 + tokens))
    return Answer(text, ids, "stop", Usage(1, tokens), Timings(0, 0, 0), **fields)  # type: ignore[arg-type]


def test_the_answer_asked_for_longest_ago_goes_when_the_bytes_run_out() -> None:
    size = memory_bytes(said("x" * 2_000))
    kept = AnswerCache(100, limit_bytes=3 * size)
    for key in "abc":
        kept.put(asked(key), said("x" * 2_000))
    assert kept.get(asked("a"))
    kept.put(asked("d"), said("x" * 2_000))
    assert [key for key in "abcd" if kept.get(asked(key))] == ["a", "c", "d"]
    assert kept.size_bytes == 3 * size


def test_an_answer_kept_again_is_counted_once_and_one_that_is_too_large_is_not_kept() -> None:
    kept = AnswerCache(100, limit_bytes=20_000)
    for length in (10, 3_000, 10):
        kept.put(asked("a"), said("x" * length))
    assert kept.size_bytes == memory_bytes(said("x" * 10))
    kept.put(asked("b"), said("x" * 20_000))
    assert (len(kept), kept.get(asked("b"))) == (1, None)


def test_an_answer_with_log_probabilities_is_not_kept() -> None:
    kept = AnswerCache(100)
    kept.put(asked("a", logprobs=20), said("x", logprobs=(Logprob(1, "x", 0.0),)))
    kept.put(asked("b", logprobs=0), said("", 0, logprobs=()))
    assert len(kept) == 0


def test_what_is_drawn_is_not_kept_and_none_is_when_none_may_be() -> None:
    drawn = Sampling(temperature=1.0)
    kept, none = AnswerCache(100), AnswerCache(0)
    kept.put(asked("a", sampling=drawn), said("x"))
    kept.put(asked("b", sampling=drawn, mode="exact"), said("x"))
    none.put(asked("a"), said("x"))
    assert (kept.get(asked("a")), kept.get(asked("b")) is not None, len(none)) == (None, True, 0)


def test_a_cached_answer_says_so_and_took_no_time() -> None:
    kept = AnswerCache(1)
    kept.put(asked("a"), Answer("x", (1,), "stop", Usage(1, 1), Timings(1.0, 2.0, 3.0)))
    found = kept.get(asked("a"))
    assert found is not None
    assert (found.text, found.reused, found.timings) == ("x", True, Timings(0.0, 0.0, 0.0))
    assert kept.get(asked("a", cache_salt="other")) is None
    assert kept.get(asked("a", reuse=False)) is None
    assert kept.get(Request(text="?")) is None


def test_exactly_as_many_bytes_as_allowed_are_kept() -> None:
    size = memory_bytes(said("x" * 100))
    kept = AnswerCache(10, limit_bytes=size)
    kept.put(asked("a"), said("x" * 100))
    assert (len(kept), kept.size_bytes) == (1, size)
    kept.put(asked("b"), said("x" * 101))
    assert (len(kept), kept.size_bytes) == (1, size)


@pytest.mark.parametrize("shape", ["text", "wide text", "tokens", "labels"])
def test_the_bytes_that_are_counted_are_at_least_those_that_are_taken(shape: str) -> None:
    def answer(number: int) -> Answer:
        if shape == "tokens":
            ids = tuple(100_000 + number * 1_000 + at for at in range(1_000))
            return Answer("x", ids, "stop", Usage(1, 1_000), Timings(0, 0, 0))
        if shape == "labels":
            shares = {f"label {number} {at}": number / (at + 1.5) for at in range(300)}
            return said("x", probabilities=shares)
        return said((chr(0x1F600) if shape == "wide text" else "x") * 5_000 + str(number))

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = AnswerCache(100)
        for number in range(50):
            kept.put(asked(f"{number:064}"), answer(number))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(kept) == 50
    assert taken <= kept.size_bytes <= 3 * taken


def test_each_part_of_an_answer_is_counted() -> None:
    """An entry, the text, each token, each label with its share and its log-probability."""
    empty = memory_bytes(said("", 0))
    assert empty == 1_024 + sys.getsizeof("") + 2 * sys.getsizeof(None)
    assert memory_bytes(said("x" * 9, 0)) - empty == 9
    assert memory_bytes(said("", 7)) - empty == 7 * 48
    one, two = (memory_bytes(said("", probabilities=shares)) for shares in ({"a": 0.5}, {"a": 0.5, "bc": 0.5}))
    assert two - one == sys.getsizeof("bc") + 4 * sys.getsizeof(0.5)


def test_by_default_2048_answers_of_300_tokens_fit() -> None:
    text = "x" * (16_384 - memory_bytes(said("", 300)))
    kept = AnswerCache(10_000)
    for number in range(2_100):
        kept.put(asked(str(number)), said(text, 300))
    assert (len(kept), kept.size_bytes) == (2_048, 32 << 20)
