"""Reports that an engine was idle for some time.

In: each use. Out: one call after that long without use, if nothing runs.
Not here: the unloading.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any


class IdleTimer:
    """Calls `expired` after `idle_s` seconds without use, once until it is used again. Costs one wake-up per period.

    `busy` tells whether something runs, which counts as use. 0 seconds: it never expires.
    """

    def __init__(
        self, idle_s: float, *, busy: Callable[[], bool], expired: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        self._idle_s, self._busy, self._expired = idle_s, busy, expired
        self._used_at = 0.0  # on the monotonic clock
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None  # held here, because the loop forgets tasks

    def used(self) -> None:
        """The engine was used now."""
        self._used_at = time.monotonic()
        if self._handle is None and self._idle_s > 0:
            self._arm(self._idle_s)

    def cancel(self) -> None:
        """Never expire again."""
        self._idle_s = 0
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _arm(self, seconds: float) -> None:
        self._handle = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._handle = None
        if self._busy():
            self._used_at = time.monotonic()
        left = self._used_at + self._idle_s - time.monotonic()
        if left > 0:
            self._arm(left)
        else:
            self._task = asyncio.create_task(self._expired())
