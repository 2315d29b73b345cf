"""The drill of kills finds rounds that were lost, doubled or out of order, from numbers alone."""

from __future__ import annotations

import json
import time

import pytest

from service.builds.callback import signature
from tests.bench.rounds_seen import KEY, Round, Task, callbacks, fields, in_order
from tests.builds.harness import Heard, brief

SHAS = ["a" * 40, "b" * 40]


def made() -> Task:
    """A task with a round 2 that arrived first."""
    rounds = []
    for number, place, sha in ((2, 5, SHAS[0]), (1, 9, SHAS[1])):
        outcome = {"commit_sha": sha, "repo_url": "http://x/y.git", "pages_url": "http://y/"}
        one = Round(brief("http://judge", task="t", round=number), ["build"], place=place)
        one.shown = {"public_id": f"site-{number}", "outcome": outcome, "status": "done", "delivery": "delivered"}
        rounds.append(one)
    return Task("t", rounds, at_once=False, starts=[0, 0])


def call(one: Round, **changes: str) -> Heard:
    """The callback of a round."""
    raw = json.dumps(fields(one) | changes).encode()
    identity, now_s = one.shown["public_id"], int(time.time())
    headers = {"content-type": "application/json", "webhook-id": identity, "webhook-timestamp": str(now_s)}
    return Heard(now_s, headers | {"webhook-signature": signature(KEY, identity, now_s, raw)}, raw)


def test_only_one_commit_a_round_in_the_order_of_arrival_will_do() -> None:
    arrived = made().arrived()
    first, second = (SHAS[0], "", "Round 2: Publish"), (SHAS[1], SHAS[0], "Round 1: Publish")
    assert in_order([first, second], arrived)
    for wrong in (
        [],
        [first],
        [(SHAS[1], "", "Round 1: Publish"), (SHAS[0], SHAS[1], "Round 2: Publish")],  # in the order of their numbers
        [first, second, (SHAS[1][::-1].replace("b", "c"), SHAS[1], "Round 1: Publish")],
        [first, (SHAS[1], "", "Round 1: Publish")],  # history begins anew
        [first, (SHAS[1], SHAS[0], "Round 3: Publish")],
    ):
        assert not in_order(wrong, arrived), wrong


@pytest.mark.parametrize(
    ("heard", "one_id", "order"),
    [
        ([0, 1], True, True),
        ([0, 0, 1], True, True),  # a kill between hearing and record
        ([1, 0], True, False),
        ([0], False, False),
        ([], False, False),
    ],
)
def test_callbacks_are_one_id_a_round_and_in_order(heard: list[int], one_id: bool, order: bool) -> None:
    task = made()
    rows = callbacks([task], [call(task.arrived()[number]) for number in heard])
    assert [shown for _, shown, _ in rows] == [one_id, order]


def test_a_callback_of_other_words_or_without_signature_is_seen() -> None:
    task = made()
    first, second = task.arrived()
    unsigned = call(second)
    for wrong in (
        call(second, nonce="other"),
        Heard(0, {**unsigned.headers, "webhook-signature": "v1,x"}, unsigned.raw),
    ):
        [(_, shown, _), _] = callbacks([task], [call(first), wrong])
        assert not shown
    [(_, shown, _), _] = callbacks([task], [call(first), call(second), call(second, nonce="other")])
    assert not shown  # other bytes under the same id
