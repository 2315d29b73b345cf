"""Graceful shutdown. A running build is interrupted, no result of it is stored, and a worker resumes it later.

In: the request to shut down, and seconds of grace. Out: waits that end early, and `BuildInterrupted`. Not here: ending
DBOS and its threads (`runtime`).
"""

from __future__ import annotations

import threading
import time


class BuildInterrupted(BaseException):
    """This run of the build ends without a result. Derives from BaseException, so that no `except Exception` records it
    as a failure of the build."""


class ShutdownSignal:
    """Whether this process shuts down. Every wait of a build uses it, and ends when the shutdown begins."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._ends = 0.0

    def request(self, grace_s: float) -> None:
        """Begin the shutdown. No further step begins, and waits end. A running answer may take `grace_s` more.

        Only the first request counts.
        """
        if not self._event.is_set():
            self._ends = time.monotonic() + grace_s
            self._event.set()

    @property
    def requested(self) -> bool:
        """Whether the shutdown has begun."""
        return self._event.is_set()

    def check(self) -> None:
        """Return if no shutdown was requested.

        Raises:
            BuildInterrupted: if the process shuts down.
        """
        if self.requested:
            raise BuildInterrupted("the process shuts down")

    def check_grace(self) -> None:
        """Return if no shutdown was requested, or its grace is not over.

        Raises:
            BuildInterrupted: if the process shuts down and the grace is over.
        """
        if self.requested and time.monotonic() > self._ends:
            raise BuildInterrupted("the process shuts down, and its grace is over")

    def sleep(self, seconds: float) -> None:
        """Wait. A negative number is no wait.

        Raises:
            BuildInterrupted: as soon as the process shuts down.
        """
        self._event.wait(max(0.0, seconds))
        self.check()

    def sleep_until(self, at_s: float) -> None:
        """Wait until a Unix time. A time that has passed is no wait.

        Raises:
            BuildInterrupted: as soon as the process shuts down.
        """
        self.sleep(at_s - time.time())
