"""Rounds of one task: built in the order of their arrival, with any numbers, ids and times."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from service.builds import callback, queues, rounds, sweeper
from service.builds.build import Build
from service.builds.database import make_engine
from service.builds.delivery import Delivery
from service.builds.ssrf import AllowedAddresses
from service.builds.store import Store
from tests.builds.harness import brief, finished, planner, posted, row, serving, settings_for, until
from tests.builds.processes import commits
from tests.servers.evaluator import evaluator


@pytest.mark.usefixtures("no_browser")
def test_rounds_that_come_at_once_are_built_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    """Within one second on SQLite, where DBOS' times are whole seconds. A late round 1 has the place of its arrival."""
    order = [1, 2, 3, 5, 4, 6]
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        builds = [posted(client, brief(judge.url, round=number, nonce=f"n{number}"))["job_id"] for number in order]
        for build in builds:
            assert finished(client, build)["status"] == "done"
    assert [heard.body["round"] for heard in judge.heard] == order
    assert [len(history) for history in commits(tmp_path / "state")] == [len(order)]


@pytest.mark.usefixtures("no_browser")
def test_a_callback_that_is_late_is_not_overtaken_by_the_next_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash or an outage both may be due at once. The second waits until the first was tried."""
    real, begun, go = callback.post, threading.Event(), threading.Event()

    def late(url: str, body: bytes, *more: Any) -> Any:
        if json.loads(body)["round"] == 1:
            begun.set()
            go.wait(60)
        return real(url, body, *more)

    monkeypatch.setattr(callback, "post", late)
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        first = posted(client, brief(judge.url))["job_id"]
        begun.wait(60)
        second = posted(client, brief(judge.url, round=2, nonce="n2"))["job_id"]
        until(lambda: client.get(f"/builds/{second}").json()["status"] == "done")
        time.sleep(3 * queues.POLL_S)  # it is taken from its queue
        go.set()
        assert [finished(client, build)["delivery"] for build in (first, second)] == ["delivered", "delivered"]
    assert [heard.body["round"] for heard in judge.heard] == [1, 2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(make_engine(f"sqlite:///{tmp_path / 'builds.sqlite'}"))
    store.create()
    yield store
    store.engine.dispose()


def stored(store: Store, name: str) -> Build:
    build = store.build(name)
    assert build is not None
    return build


def test_a_brief_that_was_stored_and_not_enqueued_goes_before_those_that_came_after_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ended between the two. The next brief of the task does not overtake."""
    sent: list[tuple[str, int]] = []
    monkeypatch.setattr(queues, "enqueue_run", lambda build, repository, place: sent.append((build, place)))
    over: list[str] = []
    monkeypatch.setattr(queues, "forget_finished", over.append)
    for identifier, repository in (("z", "app"), ("other", "else"), ("m", "app"), ("a", "app")):
        store.accept(row(identifier, repository=repository), {})
    queues.enqueue(store, "m", "app")
    assert [build for build, _ in sent] == ["z", "m"]
    queues.enqueue(store, "a", "app")
    assert [build for build, _ in sent] == ["z", "m", "a"]
    places = [place for _, place in sent]
    assert places == sorted(set(places))
    assert store.retry("m") is False  # it is neither failed nor cancelled
    store.update("z", status="failed")
    assert store.retry("z") is True
    queues.enqueue(store, "z", "app")
    assert sent[-1][0] == "z"
    assert over == ["z"]  # only a build that is tried again can have a finished run
    assert sent[-1][1] > max(places)


def test_a_round_waits_for_the_first_callbacks_before_it_and_not_beyond_its_own_deadline(store: Store) -> None:
    now_s = time.time()
    for name, finished_s, more in (
        ("elsewhere", 1.0, {"repository": "else"}),
        ("failed", 1.0, {"status": "failed", "delivery": "none"}),
        ("first", 2.0, {}),
        ("second", 3.0, {"received_s": now_s}),
        ("late", 4.0, {"received_s": now_s - 59}),
        ("third", 5.0, {"received_s": now_s}),
    ):
        ended = {"status": "done", "delivery": "pending", "finished_s": finished_s}
        store.accept(row(name, **(ended | more)), {})
    delivery = Delivery(store, None, AllowedAddresses(""))

    def turn(name: str) -> bool:
        return delivery.turn(stored(store, name))

    turns = {name: turn(name) for name in ("elsewhere", "first", "second", "late", "third")}
    assert turns == {"elsewhere": True, "first": True, "second": False, "late": True, "third": False}
    store.attempt("first", 503, "again", "it was tried, and may fail for days")
    assert (turn("second"), turn("third")) == (True, False)
    store.attempt("second", 200, "delivered", "")
    store.update("late", delivery="dead")
    assert turn("third")


def test_a_build_that_is_given_up_after_its_end_is_called_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workers died too often, the last one between its end and its callback."""
    for name, status, owed in (("done", "done", "pending"), ("told", "done", "delivered"), ("open", "running", "none")):
        store.accept(row(name, status=status, delivery=owed), {})
    given_up = [SimpleNamespace(workflow_id=name) for name in ("done", "told", "open", "forgotten")]
    monkeypatch.setattr(sweeper, "DBOS", SimpleNamespace(list_workflows=lambda **_: given_up))
    sent: list[str] = []
    monkeypatch.setattr(queues, "deliver_later", lambda build, series, delay_s: sent.append(f"{build} {series}"))
    sweeper.Sweeper(store, "here", set(), works=True, retention_s=1.0)._end_given_up()
    assert sent == ["done 1"]
    assert [stored(store, name).status for name in ("done", "told", "open")] == ["done", "done", "failed"]


def test_a_diff_names_files_that_are_no_text_and_stays_short() -> None:
    before = {"same": b"1", "a.txt": b"one\ntwo\n", "gone": b"", "p.png": b"\xff", "z": b"0"}
    after = {"same": b"1", "a.txt": b"one\n2\n", "p.png": b"\xfe", "z": b"line\n" * rounds.MAX_DIFF}
    text = rounds.diff(before, after)
    assert text.startswith("--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n")
    assert text.endswith("p.png differs\nz differs\n")
