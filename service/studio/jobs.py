"""Jobs of the studio: one at a time, with events that a page follows, and a stop.

In: a coroutine that reports events. Out: its events from the first on, as often as they are asked for.
Not here: the work of a job (`work`), and the form of an event stream (`http.sse`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from service.errors import SameboatError

log = logging.getLogger("sameboat.studio")
KEPT = 20  # finished jobs with events that can still be read
Report = Callable[[str, dict[str, Any]], None]
"""Appends an event: its kind, and its values."""
LAST = frozenset({"result", "failed", "stopped"})


class JobRunning(Exception):
    """Another job is running."""


class StudioJob:
    """One job, and its events so far."""

    def __init__(self, kind: str, subject: str) -> None:
        self.id = secrets.token_hex(8)
        self.kind, self.subject = kind, subject
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.task: asyncio.Task[None] | None = None
        self._more = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether the last event is there."""
        return bool(self.events) and self.events[-1][0] in LAST

    def report(self, kind: str, values: dict[str, Any]) -> None:
        """Append an event. Progress of the same whole percent as before is left out."""
        last = self.events[-1] if self.events else None
        if kind == "progress" and last is not None and last[0] == kind and _percent(last[1]) == _percent(values):
            return
        self.events.append((kind, values))
        self._more.set()
        self._more = asyncio.Event()

    async def follow(self) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        """The events from the first one to the last, as they happen."""
        at = 0
        while True:
            while at < len(self.events):
                yield self.events[at]
                at += 1
            if self.is_over:
                return
            await self._more.wait()


def _percent(values: dict[str, Any]) -> int:
    return int(100 * values["done"] / values["total"]) if values.get("total") else 0


class StudioJobs:
    """The jobs of one studio. One runs at a time, because they share the machine's cores."""

    def __init__(self) -> None:
        self._jobs: dict[str, StudioJob] = {}

    def get(self, identifier: str) -> StudioJob | None:
        """The job with this id, or None."""
        return self._jobs.get(identifier)

    def running(self) -> StudioJob | None:
        """The job that runs, or None."""
        return next((job for job in self._jobs.values() if not job.is_over), None)

    def start(self, kind: str, subject: str, work: Callable[[Report], Awaitable[dict[str, Any]]]) -> StudioJob:
        """Start a job. Its result is the last event.

        Raises:
            JobRunning: if another one runs.
        """
        if self.running() is not None:
            raise JobRunning
        job = StudioJob(kind, subject)
        self._jobs[job.id] = job
        for identifier in list(self._jobs)[:-KEPT]:
            del self._jobs[identifier]
        job.task = asyncio.create_task(_run(job, work))
        return job

    async def stop(self, job: StudioJob) -> None:
        """Cancel a job, and wait for its end."""
        if job.task is not None:
            job.task.cancel()
            await asyncio.wait({job.task})
        if not job.is_over:  # it was cancelled before its first step
            job.report("stopped", {})

    async def stop_all(self) -> None:
        """Stop the running job, if there is one."""
        if (job := self.running()) is not None:
            await self.stop(job)


async def _run(job: StudioJob, work: Callable[[Report], Awaitable[dict[str, Any]]]) -> None:
    """Run the work, and report its end in any case."""
    try:
        job.report("result", await work(job.report))
    except asyncio.CancelledError:
        job.report("stopped", {})
        raise
    except SameboatError as error:
        job.report("failed", {"detail": str(error)})
    except Exception as error:
        log.exception("the job %s failed", job.kind)
        job.report("failed", {"detail": f"An unexpected {type(error).__name__}. The log has the details."})
