"""Work that comes before the first step and may take long, on threads of its own: no other sequence waits for it.

In: a piece of work with an id. Out: a message for the main loop when it is done. Not here: what the work is.
Tokenizing and compiling a grammar happen in C and Rust without Python's lock. Neither can be interrupted, so work that
is cancelled or overdue is abandoned: its thread ends at the next check, and what it made is thrown away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from service.errors import RequestError

MAX_CONCURRENT = 2  # more would only take cores from the steps
LIMIT_S = 10.0  # the largest grammar and the longest text that are let in take less than 1 s on an idle core

Check = Callable[[], None]
"""Called between two units of work; raises `Abandoned` when nobody waits any more."""


class Abandoned(Exception):
    """The work was cancelled or is overdue."""


@dataclass
class _Preparation:
    then: Callable[[Any], None]
    began: float | None = None
    abandoned: bool = False

    def check(self) -> None:
        if self.abandoned:
            raise Abandoned


class PreparationPool:
    """What is being prepared, by id. Every method is called on the main thread."""

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
        """Have `do` done on a thread; `complete` calls `then` with what it returns."""
        work = self._works[identifier] = _Preparation(then)
        threading.Thread(target=self._run, args=(identifier, work, do), daemon=True).start()

    def cancel(self, identifier: int) -> bool:
        """Abandon this work; whether there was such."""
        work = self._works.pop(identifier, None)
        if work is not None:
            work.abandoned = True
        return work is not None

    def complete(self, message: dict[str, Any]) -> None:
        """Go on with what was prepared, on the main thread. Raises what the work raised."""
        work = self._works.get(message["id"])
        if work is not message["work"]:
            return  # abandoned
        del self._works[message["id"]]
        if message["error"] is not None:
            raise message["error"]
        work.then(message["result"])

    def wait_s(self) -> float | None:
        """Seconds until something is overdue; None while nothing can be."""
        if not self._works:
            return None
        now = time.monotonic()
        return max(0.0, min(self._limit_s - (now - (work.began or now)) for work in self._works.values()))

    def overdue(self) -> list[tuple[int, RequestError]]:
        """Abandon what took too long; its ids, each with the error that refuses it."""
        now = time.monotonic()
        late = [key for key, work in self._works.items() if work.began and now - work.began >= self._limit_s]
        for key in late:
            self.cancel(key)
        message = f"The prompt and the grammar could not be prepared within {self._limit_s:g} s."
        return [(key, RequestError(message, remedy="Make the schema simpler or the prompt shorter.")) for key in late]

    def _run(self, identifier: int, work: _Preparation, do: Callable[[Check], Any]) -> None:
        result, error = None, None
        with self._turns:
            work.began = time.monotonic()
            try:
                work.check()
                result = do(work.check)
            except Abandoned:
                return
            except Exception as caught:  # noqa: BLE001  (not lost: `complete` raises it on the main thread)
                error = caught
        self._deliver({"op": "prepared", "id": identifier, "work": work, "result": result, "error": error})
