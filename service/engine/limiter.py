"""Limits concurrent requests to one provider, over all its models. Excess requests wait in a queue.

In: callers that ask for a lease. Out: leases, in the order of `queue`: interactive callers first, builds not starved.
A caller that would wait too long gets EngineBusy with a retry time.
Not here: requests, models, connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from service.engine.queue import RequestQueue, RequestSize, check_together
from service.errors import EngineBusy

INITIAL_DURATION_S = 5.0  # of a request, until one was measured
SMOOTHING = 0.2  # weight of the latest request in the average duration
MIN_WAIT_S, MAX_WAIT_S = 1.0, 120.0  # of the retry time


@dataclass(eq=False)
class Lease:
    """One caller. `granted` is set when it has a place."""

    tokens: int
    background: bool
    granted: asyncio.Event = field(default_factory=asyncio.Event)


class ConcurrencyLimiter:
    """At most `limit` leases at a time. At most `requests` callers with `tokens` prompt tokens wait for one."""

    def __init__(self, limit: int, *, requests: int, tokens: int) -> None:
        self.limit = limit
        self.in_use = 0
        self._bounds = (requests, tokens)
        self._queue: RequestQueue[Lease] = RequestQueue(requests=requests, tokens=tokens)
        self._duration_s = INITIAL_DURATION_S

    @property
    def waiting(self) -> int:
        """The number of waiting callers."""
        return len(self._queue)

    @property
    def waiting_tokens(self) -> int:
        """Prompt tokens of the waiting callers, estimated."""
        return self._queue.tokens

    def wait_s(self) -> float:
        """Seconds until half of the waiting callers have a lease, by the average duration. 0 if none waits."""
        if not self._queue:
            return 0.0
        expected_s = 0.5 * self.waiting * self._duration_s / self.limit
        return round(min(MAX_WAIT_S, max(MIN_WAIT_S, expected_s)), 1)

    def check(self, sizes: Sequence[RequestSize]) -> None:
        """Check that all of these requests would be admitted together on an idle provider. Raises RequestError."""
        requests, tokens = self._bounds
        check_together(sizes, concurrency=self.limit, requests=requests, tokens=tokens)

    @contextlib.asynccontextmanager
    async def acquire(self, *, tokens: int, background: bool) -> AsyncIterator[None]:
        """A lease, from the moment when it is granted to the end of the block.

        Raises:
            EngineBusy: if the queue is full.
        """
        lease = Lease(tokens, background)
        if self._queue.full(lease):
            raise EngineBusy(
                f"{self.waiting} requests with about {self.waiting_tokens} tokens are waiting already.",
                retry_after_s=self.wait_s(),
                key="queue",
            )
        self._queue.add(lease)
        self._grant()
        try:
            await lease.granted.wait()
            began = time.monotonic()
            yield
            self._duration_s += SMOOTHING * (time.monotonic() - began - self._duration_s)
        finally:
            if not self._queue.remove(lease):
                self.in_use -= 1
            self._grant()

    def _grant(self) -> None:
        """Grant free places to the next callers."""
        while (turn := self._queue.pop(free=self.limit - self.in_use, concurrency=self.limit)) is not None:
            lease, _ = turn
            self.in_use += 1
            lease.granted.set()
