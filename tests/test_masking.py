"""The texts that are masked, and those that stay."""

from __future__ import annotations

import pytest

from service.masking import LONGEST, masked, masked_value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Write to kenji.mori+a@mail.example.co.jp today", "Write to [email] today"),
        ("Call +41 (0)44 668-18.00, please", "Call [number], please"),
        ("card 4111 1111 1111 1111 and IBAN CH93 0076 2011 6238 5295 7", "card [number] and IBAN [number]"),
        ("born 1990-12-31, room 12, 1,000 francs, version 3.11", "born [number], room 12, 1,000 francs, version 3.11"),
        ("use sk-proj-abcdEFGH1234 or ghp_abcdefgh1234", "use [key] or [key]"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [key]"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl!", "token [key]!"),  # pragma: allowlist secret
        ("at postgres://boat:hunter2@db.example/x", "at postgres://[key]@db.example/x"),  # pragma: allowlist secret
        ("sha d41d8cd98f00b204e9800998ecf8427e", "sha [key]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "[key]"),  # pragma: allowlist secret
        ("Ada met Bo in Bern at 12:30 on floor 4.", "Ada met Bo in Bern at 12:30 on floor 4."),
        ("Donaudampfschifffahrtsgesellschaftskapitaen", "Donaudampfschifffahrtsgesellschaftskapitaen"),
    ],
)
def test_a_text_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_a_key_at_the_cut_is_not_half_shown() -> None:
    text = "a " * (LONGEST // 2 - 4) + "sk-abcdefgh" * 40
    assert "sk-" not in masked(text)
    assert len(masked("word " * LONGEST)) == LONGEST


def test_values_are_masked_at_any_depth() -> None:
    value = {"a@b.example": ["c@d.example", 3, 123456, True, None], "n": {"x": 1.5}}
    assert masked_value(value) == {"[email]": ["[email]", 3, "[number]", True, None], "n": {"x": 1.5}}


PEM = "-----BEGIN PRIVATE KEY-----"  # pragma: allowlist secret


@pytest.mark.parametrize("text", ["1 " * 9000, "a@" * 9000, "A1" * 9000, PEM * 400, "=" * 9000])
def test_a_text_of_many_beginnings_of_a_match_is_masked_in_time(text: str) -> None:
    """A pattern that backtracks would run into the time-out of the test."""
    assert len(masked(text)) <= LONGEST
