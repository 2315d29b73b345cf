"""A `regex` check ends. A pattern that would take Python's `re` years is an error, and the next search works."""

from __future__ import annotations

import pytest

from service.errors import EvaluationError
from service.evaluation import regex


def test_a_pattern_is_python_s_own() -> None:
    assert regex.search(r"\b\d+$", "answer: 42")
    assert regex.search(r"(?i)(a)\1(?!b)", "xAa\u00e9\n")
    assert not regex.search(r"^\d+$", "none")


def test_a_pattern_that_would_take_years_is_ended_and_the_next_one_is_answered() -> None:
    with pytest.raises(EvaluationError, match="more than 1 s"):
        regex.search(r"^(\w+\s?)*$", "a" * 60 + "!", deadline_s=1.0)
    assert regex.search("a+", "aaa")


@pytest.mark.parametrize("pattern", ["(", "a{99999999999999}", "(" * 5000 + ")" * 5000])
def test_what_is_no_pattern_is_told(pattern: str) -> None:
    with pytest.raises(EvaluationError, match="not a regular expression"):
        regex.search(pattern, "x")
    assert regex.search("x", "x")
