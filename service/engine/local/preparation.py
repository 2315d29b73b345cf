"""Runs slow preparation (tokenizing, compiling a grammar) on threads, so that no other sequence waits for it.

In: a function with an id. Out: a message for the main loop when it has returned.
Not here: the work itself.

The work happens in C and Rust without Python's lock and cannot be interrupted. Cancelled or overdue work is abandoned:
its thread ends at the next check, and its result is dropped. The limit counts the CPU time of the work's own thread, so
other processes on a busy machine make no request fail. macOS tells no thread the CPU time of another, so it counts
seconds there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.errors import RequestError

MAX_CONCURRENT = 2  # more would only take cores from the steps
LIMIT_S = 10.0  # of CPU. The largest grammar and the longest text that are let in take less than 1 s
LEAST_WAIT_S = 0.05  # between two looks at work that gets little CPU time

Check = Callable[[], None]
"""Called between two units of work. Raises `Abandoned` if the work was cancelled or is overdue."""


class Abandoned(Exception):
    """The work was cancelled or is overdue."""


@dataclass
class _Preparation:
    then: Callable[[Any], None]
    clock: int | None = None  # that of its thread, once it runs
    began: float = 0.0  # on this clock
    abandoned: bool = False

    def check(self) -> None:
        if self.abandoned:
            raise Abandoned

    def begin(self) -> None:
        """Called on the work's own thread."""
        own = hasattr(time, "pthread_getcpuclockid")
        clock = time.pthread_getcpuclockid(threading.get_ident()) if own else time.CLOCK_MONOTONIC
        self.began = time.clock_gettime(clock)
        self.clock = clock

    def used_s(self) -> float:
        """The time that it has used. 0 before its thread runs, and after it has ended."""
        try:
            return 0.0 if self.clock is None else time.clock_gettime(self.clock) - self.began
        except OSError:
            return 0.0


class PreparationPool:
    """Running preparations by id. The main thread calls every method."""

    def __init__(self, deliver: Callable[[dict[str, Any]], None], *, limit_s: float = LIMIT_S) -> None:
        """`deliver` hands a message to the main loop, from any thread."""
        self._deliver = deliver
        self._limit_s = limit_s
        self._works: dict[int, _Preparation] = {}
        self._turns = threading.BoundedSemaphore(MAX_CONCURRENT)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._works)

    def submit(self, identifier: int, do: Callable[[Check], Any], then: Callable[[Any], None]) -> None:
        """Run `do` on a thread. `complete` later calls `then` with its result."""
        work = self._works[identifier] = _Preparation(then)
        threading.Thread(target=self._run, args=(identifier, work, do), daemon=True).start()

    def cancel(self, identifier: int) -> bool:
        """Abandon this work. False if there is none."""
        work = self._works.pop(identifier, None)
        if work is not None:
            work.abandoned = True
        return work is not None

    def complete(self, message: dict[str, Any]) -> None:
        """Continue with finished work, on the main thread. Raises the error of the work."""
        work = self._works.get(message["id"])
        if work is not message["work"]:
            return  # abandoned
        del self._works[message["id"]]
        if message["error"] is not None:
            raise message["error"]
        work.then(message["result"])

    def wait_s(self) -> float | None:
        """Seconds until a work may be overdue. None if there is no work."""
        if not self._works:
            return None
        return max(LEAST_WAIT_S, self._limit_s - max(work.used_s() for work in self._works.values()))

    def overdue(self) -> list[tuple[int, RequestError]]:
        """Abandon overdue work. Each id comes with the error for its request."""
        late = [key for key, work in self._works.items() if work.used_s() >= self._limit_s]
        for key in late:
            self.cancel(key)
        message = f"The prompt and the grammar could not be prepared within {self._limit_s:g} s of CPU time."
        return [(key, RequestError(message, remedy="Make the schema simpler or the prompt shorter.")) for key in late]

    def _run(self, identifier: int, work: _Preparation, do: Callable[[Check], Any]) -> None:
        result, error = None, None
        with self._turns:
            work.begin()
            try:
                work.check()
                result = do(work.check)
            except Abandoned:
                return
            except Exception as caught:  # noqa: BLE001  (not lost: `complete` raises it on the main thread)
                error = caught
        self._deliver({"op": "prepared", "id": identifier, "work": work, "result": result, "error": error})
