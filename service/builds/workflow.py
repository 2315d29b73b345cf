"""The story of a build, top to bottom. Each `step` is recorded when it ends; a killed worker's build goes on after it.

A step that was killed before it was recorded runs again, so every step looks before it acts. Inputs and records hold
ids, digests and words only: files are kept by the store, secrets nowhere. Decisions that depend on the clock are steps
too, so that a resumed build decides as it did before. What comes in: a build's id, and `Steps` that do the work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dbos import DBOS, EnqueueOptions, error

from service.builds.steps import Steps

T = TypeVar("T")

VERSION = "1"  # raise it when the order or meaning of steps changes; builds of other versions are shown as stranded
BUILDS = "builds"
DELIVERIES = "deliveries"
MAX_REPAIRS = 3


def step(name: str, work: Callable[..., T], *values: object) -> T:
    """Do the work once and record what it gives; a resumed build gets the record."""
    return DBOS.run_step({"name": name}, work, *values)


def register(steps: Steps) -> None:
    """Make the workflows known to DBOS, with these steps. Must happen before launch."""

    @DBOS.workflow(name="build")
    def build(build: str) -> str:
        """A brief to a published site."""
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
                if tried is None:
                    continue
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
            return step("failed", steps.failed, build, str(caught) or type(caught).__name__)
        deliver_later(build, "1", 0.0)
        return "done"

    @DBOS.workflow(name="deliver")
    def deliver(build: str, first: int) -> str:
        """The callback, until it is delivered or refused: quickly until the deadline, then slowly, then never."""
        number = first
        while True:
            answer = step(f"callback {number}", steps.callback, build, number)
            wait = step(f"wait {number}", steps.wait, build, number, answer)
            if wait is None:
                return str(answer["verdict"])
            number += 1
            if wait > 60:
                deliver_later(build, str(number), wait, number)
                return "later"
            DBOS.sleep(wait)


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
