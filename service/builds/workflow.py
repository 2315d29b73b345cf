"""The story of a build, top to bottom. Each `step` is recorded when it ends; a killed worker's build goes on after it.

A step that was killed before it was recorded runs again, so every step looks before it acts. Inputs and records hold
ids, digests and words only: files are kept by the store, secrets nowhere. Decisions that depend on the clock are steps
too, so that a resumed build decides as it did before. What comes in: a build's id, and `Steps` that do the work.

A build has an outcome, or it has none yet. What says nothing about the build (the process leaves, the disk is full,
the database is away) is no outcome: the run is `BuildInterrupted`, stays pending, and the sweeper has it go on.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from dbos import DBOS, EnqueueOptions, error

from service.builds.database import unavailable_reason
from service.builds.delivery import give_up
from service.builds.shutdown import BuildInterrupted
from service.builds.steps import Steps

T = TypeVar("T")
log = logging.getLogger("sameboat.builds")

VERSION = "2"  # raise it when the order or meaning of steps changes; builds of other versions begin again
BUILDS = "builds"
DELIVERIES = "deliveries"
WAITING = ("PENDING", "ENQUEUED", "DELAYED")
"""DBOS' names for a run that is not over."""
MAX_REPAIRS = 3
MAX_RUNS = 50  # a build that kills its worker is given up; its deadline has stopped it from asking a model long before
OUTAGE_S = 5.0
TURN_S = 0.25  # between looks at whether the rounds before it were called back
SOON_S = 60.0


def register(steps: Steps, active: set[str]) -> None:
    """Make the workflows known to DBOS, with these steps, before its launch. `active` are the runs of this process."""

    def step(name: str, work: Callable[..., T], *values: object) -> T:
        """Do the work once and record what it gives; a resumed build gets the record."""
        steps.shutdown.check()
        return DBOS.run_step({"name": name}, guarded, work, *values)

    def guarded(work: Callable[..., T], *values: object) -> T:
        try:
            return work(*values)
        except Exception as caught:
            raise_if_unavailable(caught)
            raise

    def raise_if_unavailable(caught: Exception) -> None:
        """Raises BuildInterrupted for an outage, after a while, so that it is not tried again at once."""
        if what := unavailable_reason(caught):
            log.warning("a build is interrupted: %s", what)
            steps.shutdown.sleep(OUTAGE_S)
            raise BuildInterrupted(what) from caught

    @contextlib.contextmanager
    def running() -> Iterator[None]:
        run = str(DBOS.workflow_id)
        active.add(run)
        try:
            yield
        finally:
            active.discard(run)

    @DBOS.workflow(name="build", max_recovery_attempts=MAX_RUNS)
    def build(build: str) -> str:
        """A brief to a published site."""
        with running():
            return story(build)

    def story(build: str) -> str:
        if not step("begin", steps.begin, build):
            return "cancelled"
        try:
            base = step("repository", steps.repository, build)
            checks = step("checks", steps.checks, build)
            best = step("make", steps.make, build, base)
            best = step("verify", steps.verify, build, best, checks)
            seen = [best["failed"]]
            for number in range(1, MAX_REPAIRS + 1):
                if not step(f"go on {number}", steps.go_on, build, best, seen):
                    break
                tried = step(f"repair {number}", steps.repair, build, best, number)
                if tried is None:  # what could be asked was asked
                    break
                tried = step(f"verify {number}", steps.verify, build, tried, checks)
                seen.append(tried["failed"])
                best = step(f"choose {number}", steps.choose, build, best, tried)
            best = step("scan", steps.scan, build, best)
            pushed = step("push", steps.push, build, base, best)
            published = step("publish", steps.publish, build, pushed)
            step("live", steps.live, build, pushed, published)
            step("finish", steps.finish, build, best, pushed, published)
        except error.DBOSException:  # about the execution and not about the build: another one owns it now
            raise
        except Exception as caught:  # noqa: BLE001  (whatever ended it, the build says so in words, and is over)
            raise_if_unavailable(caught)
            return step("failed", steps.failed, build, str(caught) or type(caught).__name__)
        guarded(deliver_later, build, "1", 0.0)
        return "done"

    @DBOS.workflow(name="deliver", max_recovery_attempts=MAX_RUNS)
    def deliver(build: str, first: int) -> str:
        """The callback, until it is delivered or refused: quickly until the deadline, then slowly, then never."""
        with running():
            try:
                return attempts(build, first)
            except error.DBOSException:
                raise
            except Exception as caught:  # noqa: BLE001  (else it would be owed for ever, and never tried again)
                raise_if_unavailable(caught)
                return step("given up", give_up, steps.store, build, str(caught) or type(caught).__name__)

    def attempts(build: str, number: int) -> str:
        while number == 1 and not steps.delivery.turn(build):
            steps.shutdown.sleep(TURN_S)
        while True:
            answer = step(f"callback {number}", steps.delivery.callback, build, number)
            wait = step(f"wait {number}", steps.delivery.wait, build, number, answer)
            if wait is None:
                return str(answer["verdict"])
            number += 1
            if wait["gap_s"] > SOON_S:  # a run of its own, so that no thread sleeps for hours
                series = str(DBOS.workflow_id).removeprefix(f"{build}-deliver-").split(".")[0]
                deliver_later(build, f"{series}.{number}", wait["gap_s"], number)
                return "later"
            steps.shutdown.sleep_until(wait["until_s"])


def deliver_later(build: str, series: str, delay_s: float, first: int = 1) -> None:
    """Enqueue the delivery; the same series is the same delivery, however often it is asked for."""
    options: EnqueueOptions = {
        "workflow_name": "deliver",
        "queue_name": DELIVERIES,
        "workflow_id": f"{build}-deliver-{series}",
        "app_version": VERSION,
    }
    if delay_s > 0:
        options["delay_seconds"] = delay_s
    DBOS.enqueue_workflow_with_options(options, build, first)


def forget_finished(build: str) -> None:
    """Delete the build's run if it is over, so that its id is free for another one."""
    run = DBOS.get_workflow_status(build)
    if run is not None and run.status not in WAITING:
        DBOS.delete_workflow(build)


def enqueue(build: str, repository: str, place: int) -> None:
    """Have the build built; an id that is known already is let be.

    `place` is the build's place among those of its repository, by arrival: DBOS takes the smallest first. Its own time
    stamps are whole seconds on SQLite, and ties would be broken by the id.
    """
    options: EnqueueOptions = {
        "workflow_name": "build",
        "queue_name": BUILDS,
        "workflow_id": build,
        "app_version": VERSION,
        "queue_partition_key": repository,  # the rounds of a task never overlap
        "priority": place,
    }
    DBOS.enqueue_workflow_with_options(options, build)
