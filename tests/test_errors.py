"""How errors speak of what a caller wrote: short, whatever was written."""

from __future__ import annotations

import difflib

import pytest

from service import errors


def test_names_and_pointers_are_cut() -> None:
    assert errors.short_name("x" * 81) == repr("x" * 80) + "..."
    assert errors.pointer(["a/b", 0, "x" * 81]) == "/a~1b/0/" + "x" * 80 + "..."
    assert len(errors.pointer(["y" * 80] * 100)) < 1100


def test_a_name_is_compared_with_few_names_and_only_when_it_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    assert errors.nearest("wo", ["who", "when"]) == "who"
    assert errors.nearest("zzz", ["who", "when"]) is None
    asked: list[tuple[str, int]] = []

    def spied(name: str, known: list[str], *limits: float) -> list[str]:
        asked.append((name, len(known)))
        return []

    monkeypatch.setattr(difflib, "get_close_matches", spied)
    errors.nearest("k" * 81, ["k" * 80])
    errors.nearest("k", map(str, range(10**6)))
    assert asked == [("k", errors.MAX_KNOWN)]


def test_many_problems_are_listed_as_a_few_and_a_number() -> None:
    assert errors.join_first(["a", "b"]) == "a; b"
    assert errors.join_first([str(number) for number in range(23)]).endswith("19; and 3 more")
