"""Waits between tries, and the two forms of Retry-After."""

from __future__ import annotations

import random

import pytest

from service.backoff import Backoff, parse_retry_after

NOW_S = 1445412480.0  # Wed, 21 Oct 2015 07:28:00 GMT


def test_waits_double_up_to_the_longest() -> None:
    assert Backoff(0.5, 8).waits_s(6) == [0.5, 1, 2, 4, 8, 8]
    assert Backoff(1, 10, factor=3).waits_s(4) == [1, 3, 9, 10]
    assert Backoff(1, 60).wait_s(10_000) == 60, "a large count does not overflow"


def test_jitter_takes_only_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = Backoff(4, 60, jitter=0.5)
    for chance, expected_s in ((0.0, 4.0), (0.5, 3.0), (1.0, 2.0)):
        monkeypatch.setattr(random, "random", lambda chance=chance: chance)
        assert schedule.wait_s(1) == expected_s
    monkeypatch.undo()
    assert len({schedule.wait_s(1) for _ in range(20)}) > 1


def test_a_server_can_lengthen_a_wait_and_not_shorten_it() -> None:
    schedule = Backoff(2, 60, longest_asked_s=3600)
    assert schedule.wait_s(1, asked_s=17) == 17
    assert schedule.wait_s(1, asked_s=0) == 2
    assert schedule.wait_s(1, asked_s=1e9) == 3600


def test_no_wait_exceeds_the_budget() -> None:
    schedule = Backoff(2, 60)
    assert schedule.wait_s(5, left_s=7.5) == 7.5
    assert schedule.wait_s(1, asked_s=100, left_s=7.5) == 7.5
    assert schedule.wait_s(1, left_s=-1) == 0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0), ("120", 120), (" 3 ", 3), ("1.5", 1.5),
        ("Wed, 21 Oct 2015 07:28:10 GMT", 10),
        ("Wednesday, 21-Oct-15 07:28:10 GMT", 10),  # RFC 850's form, which RFC 9110 section 5.6.7 still has one accept
        ("Wed Oct 21 07:28:10 2015", 10),  # asctime's, likewise
        ("Wed, 21 Oct 2015 09:28:10 +0200", 10),
        ("Wed, 21 Oct 2015 07:28:10 -0000", 10),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0),  # in the past
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float) -> None:
    assert parse_retry_after(header, NOW_S) == seconds


@pytest.mark.parametrize(
    "header",
    [None, "", "soon", "-1", "+1", "1e3", "inf", "nan", "²", "٣", "1,5", "9" * 13, "9" * 5000, "Wed, 99 Oct 2015",
     "Wed, 21 Oct 99999 07:28:00 GMT", "\x00"],
)  # fmt: skip
def test_anything_else_says_nothing(header: str | None) -> None:
    assert parse_retry_after(header, NOW_S) is None


def test_the_clock_is_the_default() -> None:
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (parse_retry_after("Fri, 31 Dec 2100 23:59:59 GMT") or 0) > 1e9
