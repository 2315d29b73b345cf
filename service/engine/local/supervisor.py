"""Supervises one worker process: starts it, reads its messages, watches it, and replaces it when it ends or hangs.

In: a function that starts a worker, the owner of its messages. Out: health, messages, an error for each lost request.
Not here: requests, queues, the meaning of messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from service.backoff import Backoff
from service.engine.local import cpu, watchdog
from service.engine.local.process import WorkerProcess
from service.engine.types import Health
from service.errors import EngineUnavailable, SameboatError

log = logging.getLogger("sameboat.engine")
RESTARTS = Backoff(0.2, 5.0)
MAX_FAILED_STARTS = 3  # in a row, before the engine gives up
SETTLED = ("ready", "failed", "stopped", "draining")


STOPPED_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM)  # which says nothing about the kernels


@dataclass(frozen=True)
class WorkerEnd:
    """How a worker ended. `code` is that of its process, None if there was none or it was not asked."""

    reason: str
    code: int | None

    @property
    def illegal(self) -> bool:
        """Whether it used an instruction that the CPU does not have."""
        return self.code == -signal.SIGILL


class WorkerOwner(Protocol):
    """The owner of a worker."""

    def on_message(self, message: dict[str, Any]) -> None:
        """A message from the worker. The supervisor has already handled its part of `loading` and `ready`."""

    def on_lost(self, error: EngineUnavailable, *, queued: bool) -> None:
        """The worker is lost. Running requests get this error. With `queued`, waiting ones get it too."""

    def drop_kernels(self, reason: str, *, illegal: bool) -> bool:
        """Begin the next worker with other kernels, because these do not run here. False if there are no others.

        `illegal`: the CPU does not have an instruction that they use.
        """


class Supervisor:
    """Keeps one worker alive for its owner. `begin` starts a process that loads. It raises SameboatError, OSError.

    `step_s` gives the longest allowed duration of one step of the model.
    """

    def __init__(
        self, name: str, owner: WorkerOwner, begin: Callable[[], Awaitable[WorkerProcess]], step_s: Callable[[], float]
    ) -> None:
        self._name, self._owner, self._begin = name, owner, begin
        self._step_s = step_s
        self._task: asyncio.Task[None] | None = None
        self._unloading = self._wanted = False  # wanted: `start` was called while it unloads
        self._process: WorkerProcess | None = None
        self._changed = asyncio.Event()
        self._well = Health("ready", "")  # the health to return to when a stalled worker answers again
        self.health = Health("starting", "not started yet")
        self.preloaded: WorkerProcess | None = None  # loads already, and waits to be listened to

    @property
    def process(self) -> WorkerProcess | None:
        """The worker, while there is one."""
        return self._process

    @property
    def accepts_requests(self) -> bool:
        """Whether a request that is sent now is computed."""
        return self._process is not None and self.health.state in ("ready", "draining")

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message to the worker. It is dropped if there is no worker. Raises FrameTooLarge."""
        if self._process is not None:
            self._process.send(message)

    async def start(self) -> None:
        """Begin loading, once. A stopped worker stays stopped. An unloaded one is loaded again."""
        if self._unloading:
            self._wanted = True
        elif self._task is None and self.health.state != "stopped":
            self._set(Health("loading", f"starting the worker for {self._name}", 0.0, self.health.restarts))
            self._task = asyncio.create_task(self._supervise(), name=f"engine {self._name}")

    async def unload(self, reason: str, *, busy: Callable[[], bool]) -> None:
        """End a worker that is ready and has nothing to do, and free its memory. `start` begins another one."""
        task = self._task
        if task is None or self._unloading or self.health.state != "ready" or busy():
            return
        self._unloading = True
        unloaded = Health("starting", reason, restarts=self.health.restarts)
        self._set(unloaded)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self._unloading = False
        if self.health is unloaded:  # not stopped meanwhile
            self._task = None
            if self._wanted:
                await self.start()
        self._wanted = False

    async def ready(self) -> None:
        """Wait until the worker is ready.

        Raises:
            EngineUnavailable: if it never will be, with the reason.
        """
        await self.start()
        while self.health.state not in SETTLED:
            await self.change()
        if self.health.state != "ready":
            raise EngineUnavailable(self.health.reason)

    async def change(self) -> None:
        """Wait until something is different."""
        self._changed.clear()
        await self._changed.wait()

    def changed(self) -> None:
        """Wake all callers of `change`."""
        self._changed.set()

    async def stop(self, grace_s: float, *, busy: Callable[[], bool]) -> None:
        """Wait while there is something to do, up to `grace_s`, then end the worker."""
        if self._task is None:
            early, self.preloaded = self.preloaded, None
            if early is not None:
                early.discard()
            self._set(Health("stopped", "stopped before it was started"))
            return
        self._set(replace(self.health, state="draining", reason="shutting down", progress=None))
        deadline = time.monotonic() + grace_s
        while busy() and time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.change(), max(0.01, deadline - time.monotonic()))
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._owner.on_lost(EngineUnavailable("The service is shutting down."), queued=True)
        self._set(Health("stopped", "stopped", restarts=self.health.restarts))

    def _set(self, health: Health) -> None:
        self.health = health
        self._changed.set()

    async def _supervise(self) -> None:
        """Keep one worker alive. Ends only when starting fails for a reason that will not pass by itself."""
        failed_starts = 0
        try:
            while True:
                try:
                    end = await self._run()
                except SameboatError as error:
                    self._give_up(str(error))
                    return
                reason = end.reason
                if self.health.state == "draining":
                    stopped = EngineUnavailable(f"The engine stopped while shutting down ({reason}).")
                    self._owner.on_lost(stopped, queued=True)
                    self._changed.set()
                    return
                failed_starts = 0 if self.health.state in ("ready", "stalled") else failed_starts + 1
                restarts = self.health.restarts + 1
                by_itself = end.code is not None and end.code not in STOPPED_FROM_OUTSIDE
                too_often = failed_starts >= MAX_FAILED_STARTS
                blamed = end.illegal or too_often or (failed_starts > 0 and by_itself)
                if blamed and self._owner.drop_kernels(reason, illegal=end.illegal):
                    failed_starts = 0
                elif end.illegal:  # another worker would end the same way
                    illegal = EngineUnavailable(f"The engine cannot run here: {cpu.illegal()}.", remedy=cpu.REMEDY)
                    self._give_up(str(illegal))
                    return
                elif too_often:
                    self._give_up(f"The worker could not be started {failed_starts} times in a row: {reason}")
                    return
                self._set(Health("loading", f"restarting the worker: {reason}", 0.0, restarts))
                lost = EngineUnavailable(
                    f"The engine stopped in the middle of this answer ({reason}).", retry_after_s=2
                )
                self._owner.on_lost(lost, queued=False)
                await asyncio.sleep(RESTARTS.wait_s(failed_starts + 1))
        finally:
            await self._end()

    async def _run(self) -> WorkerEnd:
        """Run one worker from start to end. Raises SameboatError if none can be started."""
        reason, code = "", None
        watching: asyncio.Task[str] | None = None
        try:
            early, self.preloaded = self.preloaded, None
            self._process = process = early or await self._begin()
            watch = watchdog.Watchdog(step_s=self._step_s())
            watching = asyncio.create_task(self._watch(process, watch), name=f"watchdog of {self._name}")
            async for message in process.messages():
                watch.heard(message)
                if message["op"] == "failed":
                    reason = message["reason"]
                elif message["op"] != "pong":
                    self._on(message)
            if watching.done():
                reason = watching.result()
            code = await process.end()
        except SameboatError:
            raise
        except Exception as error:  # it cannot be started, or sent an invalid message
            log.exception("The worker of %s is replaced", self._name)
            reason = reason or f"{type(error).__name__}: {error}"
        finally:
            if watching is not None:
                watching.cancel()
            await self._end()
        return WorkerEnd(reason or _ended_with(code), code)

    async def _watch(self, process: WorkerProcess, watch: watchdog.Watchdog) -> str:
        """Ping the worker until it is lost, then kill it and return the reason."""
        while True:
            await asyncio.sleep(watchdog.TICK_S)
            status = watch.tick()
            if status.state == "lost":
                log.error("The worker of %s is ended: %s", self._name, status.reason)
                process.kill()
                return status.reason
            if status.state == "late" and self.health.state in ("ready", "stalled"):
                if self.health.state == "ready":
                    log.warning("%s is not ready: %s", self._name, status.reason)
                self._set(replace(self.health, state="stalled", reason=status.reason))
            elif status.state == "healthy" and self.health.state == "stalled":
                self._set(self._well)
                self._owner.on_message({"op": "recovered"})
            process.send({"op": "ping"})

    def _on(self, message: dict[str, Any]) -> None:
        if message["op"] == "loading" and self.health.state == "loading":
            self._set(replace(self.health, reason=f"loading {self._name}", progress=message["progress"]))
        self._owner.on_message(message)

    def mark_ready(self, reason: str) -> None:
        """The worker is ready. `reason` describes it."""
        self._well = Health("ready", reason, restarts=self.health.restarts)
        if self.health.state != "draining":
            self._set(self._well)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.end()

    def _give_up(self, reason: str) -> None:
        self._set(Health("failed", reason, restarts=self.health.restarts))
        self._owner.on_lost(EngineUnavailable(reason), queued=True)


def _ended_with(code: int | None) -> str:
    """A sentence about an exit code. Codes of crashes are named."""
    if code in (-signal.SIGILL, -signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT):
        return f"the worker ended with {signal.Signals(-code).name}"
    return f"the worker ended with code {code}"
