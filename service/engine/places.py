"""Requests in flight to one provider: so many at a time, whichever of its models they ask, and a line before them.

What comes in: callers who want a place. What goes out: their turn, with the same manners as before the local engine
(`line`): interactive callers first, builds never stuck, and whoever would wait too long is told when to come back.
What it does not know: what is asked, and of whom.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from service.engine.line import Line, Size, check_together
from service.errors import EngineBusy

USUAL_S = 5.0  # an answer's duration, until one was seen
LATEST = 0.2  # weight of the latest answer in the usual duration


@dataclass(eq=False)
class Turn:
    """One caller. `called` is set when it has a place."""

    tokens: int
    background: bool
    called: asyncio.Event = field(default_factory=asyncio.Event)


class Places:
    """`count` places. At most `requests` callers with `tokens` prompt tokens wait for one."""

    def __init__(self, count: int, *, requests: int, tokens: int) -> None:
        self.count = count
        self.taken = 0
        self._bounds = (requests, tokens)
        self._line: Line[Turn] = Line(requests=requests, tokens=tokens)
        self._usual_s = USUAL_S

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line)

    @property
    def waiting_tokens(self) -> int:
        """Prompt tokens of those who wait, estimated."""
        return self._line.tokens

    def wait_s(self) -> float:
        """Seconds until half of those who wait have had their turn, from how long turns took; 0 when nobody waits."""
        if not self._line:
            return 0.0
        return round(min(120.0, max(1.0, 0.5 * self.waiting * self._usual_s / self.count)), 1)

    def check(self, sizes: Sequence[Size]) -> None:
        """Raises RequestError for callers who, coming together, could never all be admitted."""
        requests, tokens = self._bounds
        check_together(sizes, places=self.count, requests=requests, tokens=tokens)

    @contextlib.asynccontextmanager
    async def turn(self, *, tokens: int, background: bool) -> AsyncIterator[None]:
        """A place, from when it is this caller's turn until it leaves. Raises EngineBusy when the line is full."""
        one = Turn(tokens, background)
        if self._line.full(one):
            raise EngineBusy(
                f"{self.waiting} requests with about {self.waiting_tokens} tokens are waiting already.",
                retry_after_s=self.wait_s(),
                key="queue",
            )
        self._line.join(one)
        self._call()
        try:
            await one.called.wait()
            began = time.monotonic()
            yield
            self._usual_s += LATEST * (time.monotonic() - began - self._usual_s)
        finally:
            if not self._line.leave(one):
                self.taken -= 1
            self._call()

    def _call(self) -> None:
        """Give free places to those whose turn it is."""
        while (turn := self._line.next(room=self.count - self.taken, places=self.count)) is not None:
            self.taken += 1
            turn[0].called.set()
