"""The story of a build, from top to bottom. DBOS records each step's result, and a resumed build continues after it.

In: a build's id, and `Steps` that do the work. Out: a build that is over, and its callback. Not here: the work of a
step (`steps`), the queues (`queues`), runs that were dropped (`sweeper`).

A step that was killed before it was recorded runs again, so every step looks before it acts. Decisions that depend on
the clock are steps too, so a resumed build decides as it did before. Inputs and records hold ids, digests and short
texts. The store keeps files, and nothing keeps secrets.

Some errors say nothing about the build: the process shuts down, the disk is full, the database does not answer. Then
the run raises `BuildInterrupted` and stays pending. The sweeper puts it back into its queue.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, TypeVar

from dbos import DBOS, error

from service import tracing
from service.builds import queues
from service.builds.build import Build, Candidate
from service.builds.database import unavailable_reason
from service.builds.delivery import give_up
from service.builds.generation_steps import MOST_TRIES
from service.builds.shutdown import BuildInterrupted
from service.builds.steps import Steps
from service.errors import BuildError

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("sameboat.builds")

OUTAGE_S = 5.0
TURN_S = 0.25  # between looks at whether the callbacks of earlier rounds were tried
SOON_S = 60.0


class Workflows:
    """The two workflows of this process. `active` holds the ids of the runs that live in it."""

    def __init__(self, steps: Steps, active: set[str]) -> None:
        self.steps = steps
        self.active = active

    def register(self) -> None:
        """Make the workflows known to DBOS. Call it before DBOS is launched."""

        @DBOS.workflow(name="build", max_recovery_attempts=queues.MAX_RUNS)
        def build(build_id: str) -> str:
            with self._running(build_id):
                status = self.story(build_id)
                self._write_span(build_id)
                return status

        @DBOS.workflow(name="deliver", max_recovery_attempts=queues.MAX_RUNS)
        def deliver(build_id: str, first: int) -> str:
            with self._running(build_id):
                return self.delivery(build_id, first)

    # The stories

    def story(self, build: str) -> str:
        """From a brief to a published site. Returns the last status.

        Raises:
            DBOSException: if another worker owns the run now. The build goes on there.
        """
        steps, step, candidate_step = self.steps, self._step, self._candidate_step
        if not self._record("begin", steps.begin, build):
            return "cancelled"
        try:
            step("repository", build, steps.repository)
            checks = step("checks", build, steps.checks)
            best = candidate_step("make", build, steps.make)
            best = candidate_step("verify", build, steps.verify, best, checks)
            maker = best.maker
            failures: list[list[str] | None] = [list(best.failed)]
            for number in range(1, MOST_TRIES + 2):  # the last one only tells why it ends
                if not step(f"go on {number}", build, steps.go_on, best, failures, number, maker):
                    break
                repaired = self._optional_step(f"repair {number}", build, steps.repair, best, number, maker)
                if repaired is None:  # no piece fits, or the model gave no usable answer
                    failures.append(None)
                    continue
                repaired = candidate_step(f"verify {number}", build, steps.verify, repaired, checks)
                failures.append(list(repaired.failed))
                best = candidate_step(f"choose {number}", build, steps.choose, best, repaired)
            best = candidate_step("scan", build, steps.scan, best)
            pushed = step("push", build, steps.push, best)
            published = step("publish", build, steps.publish, pushed["commit_sha"])
            step("live", build, steps.live, pushed["commit_sha"], published["pages_url"])
            self._record("finish", steps.finish, build, best, {**pushed, **published})
        except error.DBOSException:  # it concerns the run and not the build: another worker owns the run now
            raise
        except Exception as caught:  # noqa: BLE001  (any error ends the build, and becomes its outcome)
            self._raise_if_unavailable(caught)
            return self._record("failed", steps.failed, build, str(caught) or type(caught).__name__)
        self._guarded(queues.deliver_later, build, "1", 0.0)
        return "done"

    def delivery(self, build: str, first: int) -> str:
        """The callback, until it is delivered, refused or given up. Returns its last verdict, or `later`.

        Raises:
            DBOSException: if another worker owns the run now. The delivery goes on there.
        """
        try:
            return self._attempts(build, first)
        except error.DBOSException:
            raise
        except Exception as caught:  # noqa: BLE001  (else the callback would be owed for ever, and never tried again)
            self._raise_if_unavailable(caught)
            reason = str(caught) or type(caught).__name__
            return self._record("given up", give_up, self.steps.store, build, reason)

    def _attempts(self, build: str, number: int) -> str:
        delivery, shutdown = self.steps.delivery, self.steps.shutdown
        while number == 1 and not delivery.turn(self._stored(build)):
            shutdown.sleep(TURN_S)
        while True:
            answer = self._delivery_step(f"callback {number}", build, delivery.callback, number)
            wait = self._delivery_step(f"wait {number}", build, delivery.wait, number, answer)
            if wait is None:
                return str(answer["verdict"])
            number += 1
            if wait["gap_s"] > SOON_S:  # a run of its own, so that no thread sleeps for hours
                series = str(DBOS.workflow_id).removeprefix(f"{build}-deliver-").split(".")[0]
                queues.deliver_later(build, f"{series}.{number}", wait["gap_s"], number)
                return "later"
            shutdown.sleep_until(wait["until_s"])

    # How a step runs

    def _step(
        self, name: str, build: str, work: Callable[Concatenate[Build, P], T], *values: P.args, **named: P.kwargs
    ) -> T:
        """Load the build, do the work once, and record its result. A resumed build gets the recorded result."""
        return self._record(name, lambda: work(self.steps.load(build), *values, **named))

    def _delivery_step(
        self, name: str, build: str, work: Callable[Concatenate[Build, P], T], *values: P.args, **named: P.kwargs
    ) -> T:
        """As `_step`, for a build that is over."""
        return self._record(name, lambda: work(self._stored(build), *values, **named))

    def _optional_step(
        self,
        name: str,
        build: str,
        work: Callable[Concatenate[Build, P], Candidate | None],
        *values: P.args,
        **named: P.kwargs,
    ) -> Candidate | None:
        """A step that results in a candidate or None. Its record is JSON."""

        def as_json() -> dict[str, Any] | None:
            candidate = work(self.steps.load(build), *values, **named)
            return None if candidate is None else candidate.to_json()

        recorded = self._record(name, as_json)
        return None if recorded is None else Candidate.from_json(recorded)

    def _candidate_step(
        self,
        name: str,
        build: str,
        work: Callable[Concatenate[Build, P], Candidate],
        *values: P.args,
        **named: P.kwargs,
    ) -> Candidate:
        """A step that results in a candidate. Its record is JSON."""
        return Candidate.from_json(self._record(name, lambda: work(self.steps.load(build), *values, **named).to_json()))

    def _record(self, name: str, work: Callable[P, T], *values: P.args, **named: P.kwargs) -> T:
        """Do the work once and record its result. A resumed build gets the recorded result.

        Raises BuildInterrupted if the process shuts down, or if the database or the disk cannot be used.
        """
        self.steps.shutdown.check()

        def traced() -> T:
            with tracing.span(f"step {name.rstrip('0123456789 ')}", {"sameboat.build.step": name}):
                return self._guarded(work, *values, **named)

        return DBOS.run_step({"name": name}, traced)

    def _guarded(self, work: Callable[P, T], *values: P.args, **named: P.kwargs) -> T:
        try:
            return work(*values, **named)
        except Exception as caught:
            self._raise_if_unavailable(caught)
            raise

    def _raise_if_unavailable(self, caught: Exception) -> None:
        """Raises BuildInterrupted for an outage, after a wait, so that the run is not tried again at once."""
        if reason := unavailable_reason(caught):
            log.warning("a build is interrupted: %s", reason)
            self.steps.shutdown.sleep(OUTAGE_S)
            raise BuildInterrupted(reason) from caught

    def _stored(self, build: str) -> Build:
        """The build, in any status. Raises BuildError if it was deleted."""
        stored = self.steps.store.build(build)
        if stored is None:
            raise BuildError(f"There is no build {build!r} any more.")
        return stored

    def _write_span(self, build: str) -> None:
        """The build is over, so the span of which its steps are children ends. It began with the brief's arrival."""
        stored = self.steps.store.build(build)
        if stored is None or not tracing.enabled():
            return
        attributes: dict[str, str | int] = {
            "sameboat.build.public_id": stored.public_id,
            "sameboat.build.round": stored.round,
            "sameboat.build.status": stored.status,
        }
        if stored.status == "failed":
            attributes["error.type"] = "BuildError"
        tracing.complete(stored.origin.trace, "build", stored.budget.received_s, attributes)

    @contextlib.contextmanager
    def _running(self, build: str) -> Iterator[None]:
        """The run is active, and continues the request that the build came with."""
        run = str(DBOS.workflow_id)
        self.active.add(run)
        try:
            stored = self._guarded(self.steps.store.build, build)
            with stored.origin.continued() if stored is not None else contextlib.nullcontext():
                yield
        finally:
            self.active.discard(run)
