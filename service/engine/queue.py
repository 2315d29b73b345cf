"""The bounded queue in front of an engine, with two priorities. A pure policy: no I/O, no clock, no engine.

A request may join:
1. If the queue is empty. Even a request larger than every bound can be answered.
2. If it is interactive, fewer than `requests` wait, and its tokens and the waiting ones fit under `tokens`.
3. If it is a background request and all background requests together keep within half of both bounds. So builds never
   fill the queue.

Order, while there is a free place:
1. The oldest background request after `MAX_OVERTAKEN` interactive requests overtook it. Builds are slow, never stuck.
2. The oldest interactive request.
3. The oldest background request, if one more place stays free for an interactive request, or if there is only one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from service.errors import RequestError

MAX_OVERTAKEN = 16
"""Twice the default of SAMEBOAT_PARALLEL: a build waits for two full rounds of interactive requests."""


class Queued(Protocol):
    """Anything that can wait in the queue."""

    @property
    def tokens(self) -> int:
        """Its prompt tokens, estimated."""

    @property
    def background(self) -> bool:
        """Whether it has background priority."""


T = TypeVar("T", bound=Queued)


@dataclass(frozen=True)
class RequestSize:
    """The part of a request that the bounds of a queue look at."""

    tokens: int
    background: bool


def check_together(sizes: Sequence[RequestSize], *, concurrency: int, requests: int, tokens: int) -> None:
    """Check that an idle engine would admit all of these requests when they arrive together.

    `concurrency` is the number of places. Such requests would be refused again at each retry, so the error is no 429.

    Raises:
        RequestError: if an idle engine would refuse at least one of them.
    """
    queue: RequestQueue[RequestSize] = RequestQueue(requests=requests, tokens=tokens)
    running = 0
    for count, size in enumerate(map(replace, sizes)):  # copies, because the queue compares by identity
        if queue.full(size):
            raise RequestError(
                f"This asks for {len(sizes)} answers at once, and an idle service would admit {count} of them: "
                f"{concurrency} run, and {requests} requests with {tokens} tokens may wait. Background requests may "
                "take half of that.",
                key="n",
                remedy="Ask for fewer at once.",
            )
        queue.add(size)
        while queue.pop(free=concurrency - running, concurrency=concurrency) is not None:
            running += 1


class RequestQueue(Generic[T]):
    """Waiting requests in order of arrival."""

    def __init__(self, *, requests: int, tokens: int) -> None:
        self._bounds = (requests, tokens)
        self._waiting: list[T] = []
        self._overtaken = 0

    def __len__(self) -> int:
        """The number of waiting requests."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._waiting))

    def __contains__(self, request: object) -> bool:
        return any(waiting is request for waiting in self._waiting)

    @property
    def tokens(self) -> int:
        """Prompt tokens of all waiting requests, estimated."""
        return sum(request.tokens for request in self._waiting)

    def full(self, request: T) -> bool:
        """Whether `request` may not join."""
        if not self._waiting:
            return False
        requests, tokens = self._bounds
        if len(self._waiting) >= requests or self.tokens + request.tokens > tokens:
            return True
        background = [waiting for waiting in self._waiting if waiting.background]
        if not request.background or not background:  # one build may always wait, if the queue has room at all
            return False
        background_tokens = sum(waiting.tokens for waiting in background) + request.tokens
        return 2 * len(background) >= requests or 2 * background_tokens > tokens

    def add(self, request: T) -> None:
        """Append a request. The caller has asked `full` before."""
        self._waiting.append(request)

    def remove(self, request: T) -> bool:
        """Remove a request without running it. False if it was not waiting."""
        count = len(self._waiting)
        self._waiting = [waiting for waiting in self._waiting if waiting is not request]
        return len(self._waiting) < count

    def clear(self) -> list[T]:
        """Remove and return all waiting requests."""
        removed, self._waiting, self._overtaken = self._waiting, [], 0
        return removed

    def pop(self, *, free: int, concurrency: int) -> tuple[T, bool] | None:
        """The next request, and whether it runs as an interactive one. None while none may run.

        `free` of `concurrency` places are free.
        """
        if free <= 0 or not self._waiting:
            return None
        interactive = next((request for request in self._waiting if not request.background), None)
        background = next((request for request in self._waiting if request.background), None)
        overdue = self._overtaken >= MAX_OVERTAKEN
        if background is not None and (interactive is None or overdue):
            if overdue or free > 1 or concurrency == 1:
                self._overtaken = 0
                self.remove(background)
                return background, overdue
            return None
        if interactive is None:
            return None
        if background is not None:
            self._overtaken += 1
        self.remove(interactive)
        return interactive, True
