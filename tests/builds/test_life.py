"""A build's life as seen from outside: its events, its cancellation in every phase, and its deletion."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
import sqlalchemy as sa
from dbos import DBOS

from service.builds.database import make_engine
from service.builds.delivery import give_up
from service.builds.runtime import Builds
from service.builds.store import ATTEMPTS, BLOBS, BUILDS, EVENTS, Store
from tests.builds.harness import SECRET, brief, finished, planner, posted, row, serving, settings_for, until
from tests.builds.processes import commits
from tests.servers.evaluator import evaluator

BEARER = {"authorization": f"Bearer {SECRET}"}
BEFORE_THE_PUSH = ("begin", "repository", "checks", "make", "verify", "go on 1", "scan", "push")
BEHIND_IT = ("publish", "live", "finish")
PHASES = (*BEFORE_THE_PUSH, *BEHIND_IT)


def numbers(events: str) -> list[int]:
    """The ids of server-sent events."""
    return [int(line.removeprefix("id: ")) for line in events.splitlines() if line.startswith("id: ")]


def test_events_go_on_after_the_last_one_that_was_seen(tmp_path: Path, gate: Gate) -> None:
    """With `Last-Event-ID` a client gets later events, once and in order. Without it, or with nonsense, it gets all."""
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        build = posted(client, brief(judge.url))["job_id"]
        with client.stream("GET", f"/builds/{build}/events") as live:  # from the first event to the last
            told = "".join(live.iter_text())
        every = numbers(told)
        assert len(every) > 8
        assert every == sorted(set(every))
        middle = every[len(every) // 2]
        rest = client.get(f"/builds/{build}/events", headers={"last-event-id": str(middle)}).text
        assert numbers(rest) == [each for each in every if each > middle]
        assert told.endswith(rest)
        for nonsense in ("x", "-1", "9" * 30):
            assert client.get(f"/builds/{build}/events", headers={"last-event-id": nonsense}).text == told


class Gate:
    """Every step waits here before it does its work when it is the one that is held, until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held: str | None = None
        self.there, self.go = threading.Event(), threading.Event()
        real = DBOS.run_step

        def run_step(options: Any, work: Callable[[], Any]) -> Any:
            def held() -> Any:
                if options["name"] == self.held:
                    self.there.set()
                    self.go.wait(60)
                return work()

            return real(options, held)

        monkeypatch.setattr(DBOS, "run_step", run_step)

    def hold(self, name: str) -> None:
        """From now on this one is held."""
        self.there.clear()
        self.go.clear()
        self.held = name


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch, no_browser: None) -> Gate:
    """Steps that can be held, in a service without a browser, for which there is nothing to see here."""
    return Gate(monkeypatch)


def test_cancelled_in_any_phase_it_does_nothing_more(tmp_path: Path, gate: Gate) -> None:
    """Cancelled as a step begins, a build ends as cancelled, pushes nothing that is not pushed, and calls nobody.

    Its repository is free, so the next brief of the same task is built.
    """
    state = tmp_path / "state"
    with evaluator() as judge, serving(settings_for(state), planner()) as client:
        for phase in PHASES:
            gate.hold(phase)
            build = posted(client, brief(judge.url, task=f"task-{phase.replace(' ', '-')}"))["job_id"]
            assert gate.there.wait(60), phase
            said = client.post(f"/builds/{build}/cancel", headers=BEARER)
            assert said.status_code == 202, phase
            assert said.json()["status"] == ("cancelled" if phase == "begin" else "cancelling"), phase
            gate.go.set()
            assert finished(client, build)["status"] == "cancelled", phase
            assert client.post(f"/builds/{build}/cancel", headers=BEARER).json()["status"] == "cancelled"
        gate.held = None
        nexts = [
            posted(client, brief(judge.url, task=f"task-{each.replace(' ', '-')}", nonce="2"))["job_id"]
            for each in PHASES
        ]
        assert {finished(client, build)["status"] for build in nexts} == {"done"}
        assert [each.body["nonce"] for each in judge.heard] == ["2"] * len(PHASES)
    assert sorted(len(history) for history in commits(state)) == [1] * len(BEFORE_THE_PUSH) + [2] * len(BEHIND_IT)


def at_once(client: httpx.Client, path: str) -> list[int]:
    """The statuses of four posts at the same time."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return [answer.status_code for answer in pool.map(lambda _: client.post(path, headers=BEARER), range(4))]


def test_a_retry_that_was_stored_and_not_enqueued_is_built(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process ended between the two: the sweeper finds it, and the run that is over does not stand in its way."""
    monkeypatch.setattr("service.builds.sweeper.BEAT_S", 1.0)
    monkeypatch.setattr("service.builds.sweeper.UNSTARTED_S", 0.5)
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        gate.hold("make")
        build = posted(client, brief(judge.url))["job_id"]
        assert gate.there.wait(60)
        client.post(f"/builds/{build}/cancel", headers=BEARER)
        gate.go.set()
        assert finished(client, build)["status"] == "cancelled"
        gate.held = None
        monkeypatch.setattr(Builds, "_enqueue", lambda self, build: None)
        until(lambda: client.post(f"/builds/{build}/retry", headers=BEARER).status_code == 202)
        assert finished(client, build)["status"] == "done"


def test_a_cancelled_build_can_be_had_again(tmp_path: Path, gate: Gate) -> None:
    """Cancelled before it began, in the middle, and behind its push: one commit and one callback, with one id."""
    state = tmp_path / "state"
    with evaluator() as judge, serving(settings_for(state), planner()) as client:
        for phase in ("begin", "make", "publish"):
            gate.hold(phase)
            build = posted(client, brief(judge.url, task=f"task-{phase.replace(' ', '-')}"))["job_id"]
            assert gate.there.wait(60), phase
            client.post(f"/builds/{build}/cancel", headers=BEARER)
            gate.go.set()
            assert finished(client, build)["status"] == "cancelled", phase
            gate.held = None
            until(lambda build=build: 202 in at_once(client, f"/builds/{build}/retry"))
            again = finished(client, build)
            assert (again["status"], again["delivery"]) == ("done", "delivered"), phase
            refused = client.post(f"/builds/{build}/retry", headers=BEARER)
            assert refused.status_code == 409
            assert "done" in refused.json()["detail"]
        assert client.post(f"/builds/{build}/retry").status_code == 403
    assert [len(history) for history in commits(state)] == [1, 1, 1]
    assert len(judge.heard) == len({heard.headers["webhook-id"] for heard in judge.heard}) == 3


def test_what_is_done_is_not_cancelled(tmp_path: Path, gate: Gate) -> None:
    """A build that is over keeps its status, and the refusal says so."""
    with evaluator() as judge, serving(settings_for(tmp_path / "state"), planner()) as client:
        build = posted(client, brief(judge.url))["job_id"]
        finished(client, build)
        refused = client.post(f"/builds/{build}/cancel", headers=BEARER)
        assert 400 <= refused.status_code < 500
        assert "done" in refused.json()["detail"]
        assert finished(client, build)["status"] == "done"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(make_engine(f"sqlite:///{tmp_path / 'builds.sqlite'}"))
    found.create()
    yield found
    found.engine.dispose()


def test_what_is_old_and_over_is_forgotten_with_all_that_was_kept_for_it(store: Store) -> None:
    """Events (exchanges too), evidence and attempts go with a finished build. An unfinished build stays, though old."""
    now = time.time()
    for name, finished_s in (("old", now - 100), ("owed", now - 100), ("new", now - 1), ("running", None)):
        values = row(name, received_s=now - 1000, repository=name, enqueued=True, status="running")
        store.accept(values, {"screenshot.png": name.encode()})
        store.event(name, "exchange", "A model was asked.", answer="x")
        store.attempt(name, 200, "delivered", "thank you")
        if finished_s is not None:
            delivery = "pending" if name == "owed" else "delivered"
            store.update(name, status="done", finished_s=finished_s, delivery=delivery)
    assert store.delete_finished(now - 50) == ["old"]
    with store.engine.connect() as connection:
        for table in (EVENTS, ATTEMPTS, BLOBS):
            assert {row.build for row in connection.execute(table.select())} == {"owed", "new", "running"}
        assert {row.id for row in connection.execute(BUILDS.select())} == {"owed", "new", "running"}


def ended(store: Store, kind: str) -> None:
    """End the build `one` in one of the ways that end its stream of events."""
    if kind == "undelivered":
        give_up(store, "one", "it was tried for long")
    elif kind == "cancelled":
        store.transition("one", "cancelled", expected=("done",), event=("cancelled", "It is."))
    else:
        store.update("one", status="failed", delivery="none", event=("failed", "It did."))


@pytest.mark.parametrize("kind", ["undelivered", "cancelled", "failed"])
def test_a_stream_of_events_never_ends_before_the_last_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The state that ends the stream and its event are one write: where the event fails, the state stays as it was."""
    store.accept(row("one"), {})
    store.update("one", status="done", delivery="pending")
    before = store.build("one")
    with monkeypatch.context() as full:
        full.setattr(Store, "_event", Mock(side_effect=sa.exc.OperationalError("", {}, Exception("disk is full"))))
        with pytest.raises(sa.exc.OperationalError):
            ended(store, kind)
    assert store.build("one") == before
    ended(store, kind)
    assert store.build("one") != before
    assert [event["kind"] for event in store.events("one")][-1] == kind


def test_a_service_forgets_at_its_next_look_and_a_late_duplicate_is_a_new_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    """With a retention of no time a finished build is gone from every route. A running one is there."""
    monkeypatch.setattr("service.builds.sweeper.RETENTION_EVERY_S", 0.2)
    with (
        evaluator() as judge,
        serving(settings_for(tmp_path / "state", build_retention_days=1e-6), planner()) as client,
    ):
        build = posted(client, brief(judge.url))["job_id"]
        until(lambda: client.get(f"/builds/{build}").status_code == 404)
        assert judge.heard[0].body["nonce"] == "ab12-1"  # it was built and reported before
        gate.hold("push")
        late = posted(client, brief(judge.url))["job_id"]
        assert late != build
        time.sleep(1)  # five looks
        assert client.get(f"/builds/{late}").json()["status"] == "running"
        gate.go.set()
        until(lambda: client.get(f"/builds/{late}").status_code == 404)
        assert httpx.get(judge.heard[1].body["pages_url"]).status_code == 200  # the published site stays
