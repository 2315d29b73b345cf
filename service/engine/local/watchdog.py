"""Decides when a silent or stuck worker is replaced. A pure policy: no clock, no process.

In: ticks, the worker's messages. Out: healthy, late or lost, with the reason.
Not here: pings, killing, starting.

Time is counted in ticks, not by the clock. So a parent that was stopped, alone or with its worker, does not blame the
worker.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

TICK_S = 2.0
LATE_S = 10.0
"""A pong is answered at once by a thread that does nothing else. On a machine with 15 busy processes per core it took
less than a second."""
SILENT_S = 30.0
STEP_S = 180.0
"""After a third of it the engine is not ready. A step is 512 tokens at most: about 20 s of the 1.5B model on two idle
cores, and a few times that on busy ones."""
TEXT_S = 900.0
"""A text to embed is one step, however long the model's context."""
LOADING_S = 900.0
"""Without any progress: a file of several gigabytes, mapped from a slow network disk, is read by the first step."""


class WorkerStatus(NamedTuple):
    """The state of a worker, with the reason."""

    state: Literal["healthy", "late", "lost"]
    reason: str


HEALTHY = WorkerStatus("healthy", "")


class Watchdog:
    """Watches one worker. `step_s` is the longest allowed duration of one unit of work."""

    def __init__(self, *, step_s: float) -> None:
        self._step_s = step_s
        self._loading = True
        self._quiet = 0.0  # seconds since a sign of life
        self._unit: int | None = None  # number of its main thread's unit of work, None while it waits
        self._busy = 0.0  # seconds since that number changed

    def heard(self, message: dict[str, Any]) -> None:
        """Take note of a message of the worker."""
        if self._loading:  # a pong is no progress
            self._quiet = self._quiet if message["op"] == "pong" else 0.0
            self._loading = message["op"] != "ready"
        elif message["op"] == "pong":
            self._quiet = 0.0
            if message["unit"] != self._unit:
                self._unit, self._busy = message["unit"], 0.0

    def tick(self) -> WorkerStatus:
        """`TICK_S` seconds have passed. The state of the worker now."""
        self._quiet += TICK_S
        if self._unit is not None:
            self._busy += TICK_S
        if self._loading:
            if self._quiet < LOADING_S:
                return HEALTHY
            return WorkerStatus("lost", f"it made no progress in loading for {self._quiet:.0f} s")
        if self._quiet >= LATE_S:
            why = f"the worker has not answered for {self._quiet:.0f} s"
            return WorkerStatus("lost" if self._quiet >= SILENT_S else "late", why)
        if self._busy >= self._step_s / 3:
            why = f"the worker has been at one step for {self._busy:.0f} s"
            return WorkerStatus("lost" if self._busy >= self._step_s else "late", why)
        return HEALTHY
