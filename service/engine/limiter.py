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

from service.engine.queue import RequestQueue, RequestSize, check_together
from service.errors import EngineBusy

INITIAL_DURATION_S = 5.0  # an answer's duration, until one was seen
SMOOTHING = 0.2  # weight of the latest answer in the usual duration


@dataclass(eq=False)
class Lease:
    """One caller. `granted` is set when it has a place."""

    tokens: int
    background: bool
    granted: asyncio.Event = field(default_factory=asyncio.Event)


class ConcurrencyLimiter:
    """`count` places. At most `requests` callers with `tokens` prompt tokens wait for one."""

    def __init__(self, limit: int, *, requests: int, tokens: int) -> None:
        self.limit = limit
        self.in_use = 0
        self._bounds = (requests, tokens)
        self._queue: RequestQueue[Lease] = RequestQueue(requests=requests, tokens=tokens)
        self._duration_s = INITIAL_DURATION_S

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    @property
    def waiting_tokens(self) -> int:
        """Prompt tokens of those who wait, estimated."""
        return self._queue.tokens

    def wait_s(self) -> float:
        """Seconds until half of those who wait have had their turn, from how long turns took; 0 when nobody waits."""
        if not self._queue:
            return 0.0
        return round(min(120.0, max(1.0, 0.5 * self.waiting * self._duration_s / self.limit)), 1)

    def check(self, sizes: Sequence[RequestSize]) -> None:
        """Raises RequestError for callers who, coming together, could never all be admitted."""
        requests, tokens = self._bounds
        check_together(sizes, concurrency=self.limit, requests=requests, tokens=tokens)

    @contextlib.asynccontextmanager
    async def acquire(self, *, tokens: int, background: bool) -> AsyncIterator[None]:
        """A place, from when it is this caller's turn until it leaves. Raises EngineBusy when the line is full."""
        one = Lease(tokens, background)
        if self._queue.full(one):
            raise EngineBusy(
                f"{self.waiting} requests with about {self.waiting_tokens} tokens are waiting already.",
                retry_after_s=self.wait_s(),
                key="queue",
            )
        self._queue.add(one)
        self._grant()
        try:
            await one.granted.wait()
            began = time.monotonic()
            yield
            self._duration_s += SMOOTHING * (time.monotonic() - began - self._duration_s)
        finally:
            if not self._queue.remove(one):
                self.in_use -= 1
            self._grant()

    def _grant(self) -> None:
        """Give free places to those whose turn it is."""
        while (turn := self._queue.pop(free=self.limit - self.in_use, concurrency=self.limit)) is not None:
            self.in_use += 1
            turn[0].granted.set()
