"""Errors quote a caller's names, and shorten long ones."""

from __future__ import annotations

import difflib

import pytest

from service import errors


def test_a_name_is_cut() -> None:
    assert errors.short_name("x" * 81) == repr("x" * 80) + "..."
    assert errors.short_name("x" * 80) == repr("x" * 80)


def test_a_name_is_compared_with_few_names_and_only_when_it_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    assert errors.did_you_mean("wo", ["who", "when"]) == "did you mean 'who'?"
    assert errors.did_you_mean("zzz", ["who", "when"]) == ""
    assert errors.did_you_mean("zzz", ["who", "when"], "Remove it.") == "Remove it."
    asked: list[tuple[str, int]] = []

    def spied(name: str, known: list[str], *limits: float) -> list[str]:
        asked.append((name, len(known)))
        return []

    monkeypatch.setattr(difflib, "get_close_matches", spied)
    errors.did_you_mean("k" * 81, ["k" * 80])
    errors.did_you_mean("k", map(str, range(10**6)))
    assert asked == [("k", errors.MAX_KNOWN)]


def test_many_problems_are_listed_as_a_few_and_a_number() -> None:
    assert errors.join_first(["a", "b"]) == "a; b"
    assert errors.join_first([str(number) for number in range(23)]).endswith("19; and 3 more")


def test_a_remedy_is_a_sentence() -> None:
    error = errors.UnknownModel("No model is called 'x'.", remedy=errors.did_you_mean("starte", ["starter"]))
    assert error.remedy == "Did you mean 'starter'?"
    assert str(error) == "No model is called 'x'. Did you mean 'starter'?"
