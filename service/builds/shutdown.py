"""How a build lets go of a process: it ends here without an outcome, and goes on later, here or elsewhere.

What comes in: word that the process is leaving. What goes out: waits that end early, and `BuildInterrupted`.
"""

from __future__ import annotations

import threading
import time


class BuildInterrupted(BaseException):
    """This run of the build ends without an outcome. No `Exception`: nothing may take it for one and record it."""


class ShutdownSignal:
    """Whether this process is leaving; everything that waits on behalf of a build waits here."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._ends = 0.0

    def request(self, grace_s: float) -> None:
        """From now on no step begins and no pause goes on; what is being answered may take `grace_s` more."""
        if not self._event.is_set():
            self._ends = time.monotonic() + grace_s
            self._event.set()

    @property
    def requested(self) -> bool:
        """Whether the process is leaving."""
        return self._event.is_set()

    def check(self) -> None:
        """Raises BuildInterrupted when the process is leaving."""
        if self.requested:
            raise BuildInterrupted("the process is leaving")

    def check_grace(self) -> None:
        """Raises BuildInterrupted when the process is leaving and the grace is used up."""
        if self.requested and time.monotonic() > self._ends:
            raise BuildInterrupted("the process is leaving, and its grace is used up")

    def sleep(self, seconds: float) -> None:
        """Wait. Raises BuildInterrupted when the process is leaving, as soon as it is."""
        self._event.wait(max(0.0, seconds))
        self.check()

    def sleep_until(self, at_s: float) -> None:
        """Wait until a Unix time; one that has passed is no wait."""
        self.sleep(at_s - time.time())
