"""How a build lets go of a process: it ends here without an outcome, and goes on later, here or elsewhere.

What comes in: word that the process is leaving. What goes out: waits that end early, and `Interrupted`.
"""

from __future__ import annotations

import threading
import time


class Interrupted(BaseException):
    """This run of the build ends without an outcome. No `Exception`: nothing may take it for one and record it."""


class Leaving:
    """Whether this process is leaving; everything that waits on behalf of a build waits here."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._ends = 0.0

    def begin(self, grace_s: float) -> None:
        """From now on no step begins and no pause goes on; what is being answered may take `grace_s` more."""
        if not self._event.is_set():
            self._ends = time.monotonic() + grace_s
            self._event.set()

    @property
    def begun(self) -> bool:
        """Whether the process is leaving."""
        return self._event.is_set()

    def check(self) -> None:
        """Raises Interrupted when the process is leaving."""
        if self.begun:
            raise Interrupted("the process is leaving")

    def check_grace(self) -> None:
        """Raises Interrupted when the process is leaving and the grace is used up."""
        if self.begun and time.monotonic() > self._ends:
            raise Interrupted("the process is leaving, and its grace is used up")

    def pause(self, seconds: float) -> None:
        """Wait. Raises Interrupted when the process is leaving, as soon as it is."""
        self._event.wait(max(0.0, seconds))
        self.check()

    def until(self, at_s: float) -> None:
        """Wait until a Unix time; one that has passed is no wait."""
        self.pause(at_s - time.time())
