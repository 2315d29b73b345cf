"""The line's policy alone: no model, no clock."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.queue import MAX_OVERTAKEN, RequestQueue, RequestSize, check_together
from service.errors import RequestError


@dataclass(eq=False)
class One:
    tokens: int = 10
    background: bool = False


def line(*waiting: One, requests: int = 8, tokens: int = 1000) -> RequestQueue[One]:
    made: RequestQueue[One] = RequestQueue(requests=requests, tokens=tokens)
    for one in waiting:
        made.add(one)
    return made


def test_an_empty_line_takes_what_is_larger_than_every_bound() -> None:
    assert not line(requests=1, tokens=5).full(One(tokens=10_000))


def test_requests_and_tokens_bound_it() -> None:
    assert line(*[One()] * 8).full(One())
    assert not line(*[One()] * 7).full(One())
    assert line(One(990)).full(One(11))
    assert not line(One(990)).full(One(10))


def test_builds_fill_half_of_it_and_a_person_still_joins() -> None:
    builds = [One(background=True) for _ in range(4)]
    assert line(*builds).full(One(background=True))
    assert not line(*builds).full(One())
    assert line(One(500, background=True)).full(One(1, background=True)), "half of the tokens"
    assert line(*[One()] * 8).full(One(background=True)), "the whole bound holds for builds too"


def test_people_go_first_in_order_of_arrival_and_the_last_place_is_theirs() -> None:
    build, first, second = One(background=True), One(), One()
    made = line(build, first, second)
    assert made.pop(free=2, concurrency=4) == (first, True)
    assert made.pop(free=1, concurrency=4) == (second, True)
    assert made.pop(free=1, concurrency=4) is None
    assert made.pop(free=2, concurrency=4) == (build, False)
    assert line(build).pop(free=1, concurrency=1) == (build, False)


def test_a_build_that_was_overtaken_often_enough_takes_a_person_s_turn() -> None:
    """Even if only one place is ever free. After one turn interactive requests continue."""
    build, later = One(background=True), One(background=True)
    made = line(build, later, *[One() for _ in range(2 * MAX_OVERTAKEN)])
    order = [made.pop(free=1, concurrency=8) for _ in range(MAX_OVERTAKEN + 2)]
    assert all(each is not None and not each[0].background for each in order[:MAX_OVERTAKEN])
    assert order[MAX_OVERTAKEN] == (build, True)
    assert order[MAX_OVERTAKEN + 1] is not None
    assert not order[MAX_OVERTAKEN + 1][0].background


def test_who_leaves_is_gone() -> None:
    one = One()
    made = line(one, One())
    assert one in made
    assert made.remove(one)
    assert not made.remove(one)
    assert (len(made), made.tokens) == (1, 10)
    assert len(made.clear()) == 1
    assert made.pop(free=8, concurrency=8) is None


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 400)), max_size=120))
def test_nobody_is_lost_or_served_twice_and_the_bounds_hold(story: list[tuple[bool, bool, int]]) -> None:
    """Any order of arrivals and turns: each request leaves exactly once, and each priority keeps its order."""
    made = line()
    joined: list[One] = []
    served: list[One] = []
    for arrives, background, tokens in story:
        if arrives:
            one = One(tokens, background)
            if not made.full(one):
                made.add(one)
                joined.append(one)
            assert len(made) <= 8
            assert made.tokens <= max(1000, max(each.tokens for each in joined))
        elif (turn := made.pop(free=1 + tokens % 3, concurrency=4)) is not None:
            served.append(turn[0])
    while (turn := made.pop(free=4, concurrency=4)) is not None:
        served.append(turn[0])
    for kind in (False, True):
        assert [one for one in served if one.background is kind] == [one for one in joined if one.background is kind]


@pytest.mark.parametrize(
    ("count", "tokens", "background", "refused"),
    [
        (7, 1, False, False),  # 3 run, 4 wait
        (8, 1, False, True),
        (6, 25, False, False),  # 3 run, the others' 75 tokens wait
        (7, 26, False, True),
        (4, 10**9, False, False),  # a request larger than every bound can still wait alone
        (4, 1, True, False),  # 2 run, so that one place stays free, and half of 4 wait
        (5, 1, True, True),
    ],
)
def test_requests_that_could_never_all_be_admitted_are_told_apart(
    count: int, tokens: int, background: bool, refused: bool
) -> None:
    """A retry would be refused again. The rules are those of waiting requests."""
    sizes = [RequestSize(tokens, background)] * count
    outcome = pytest.raises(RequestError) if refused else contextlib.nullcontext()
    with outcome:
        check_together(sizes, concurrency=3, requests=4, tokens=100)


def test_background_requests_take_at_most_half_of_the_tokens() -> None:
    builds = [One(240, background=True), One(10, background=True)]
    assert not line(*builds, tokens=1000).full(One(250, background=True))
    assert line(*builds, tokens=1000).full(One(251, background=True))
    assert not line(*builds, tokens=1000).full(One(251))


def test_background_requests_take_at_most_half_of_an_odd_number_of_places() -> None:
    builds = [One(background=True) for _ in range(4)]
    assert not line(*builds[:3], requests=7).full(One(background=True))
    assert line(*builds, requests=7).full(One(background=True))


def test_membership_is_by_identity() -> None:
    first, second = One(), One()
    made = line(first)
    assert first in made
    assert second not in made
    assert not made.remove(second)
    assert (made.remove(first), len(made)) == (True, 0)


def test_a_cleared_queue_has_forgotten_who_was_overtaken() -> None:
    made = line(One(background=True), *[One() for _ in range(MAX_OVERTAKEN - 1)], requests=99, tokens=10_000)
    for _ in range(MAX_OVERTAKEN - 1):
        made.pop(free=1, concurrency=2)
    assert len(made.clear()) == 1
    assert (len(made), made.tokens) == (0, 0)
    build, person = One(background=True), One()
    made.add(build)
    made.add(person)
    assert made.pop(free=1, concurrency=2) == (person, True)
    assert made.pop(free=1, concurrency=2) is None
