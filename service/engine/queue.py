"""The queue in front of an engine: who may join it, and who goes next. Pure policy: no I/O, no clock, no engine.

Who may join:
1. Anybody, while nobody waits: a request larger than every bound can still be answered.
2. An interactive request, while fewer than `requests` wait and its tokens fit under `tokens` with those that wait.
3. A background request, if besides all background requests keep within half of both: builds never fill the queue.

Who goes next, when there is free:
1. The oldest background request, after `MAX_OVERTAKEN` interactive ones overtook it: builds are slow, never stuck.
2. The oldest interactive request.
3. The oldest background request, while one more place stays free for a interactive, or when there is only one place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from service.errors import RequestError

MAX_OVERTAKEN = 16  # twice the default of parallel: a background waits two full rounds of people, then takes one turn


class Queued(Protocol):
    """Anything that can stand in queue."""

    @property
    def tokens(self) -> int:
        """Its prompt tokens, estimated."""

    @property
    def background(self) -> bool:
        """Whether a interactive is not waiting for it."""


T = TypeVar("T", bound=Queued)


@dataclass(frozen=True)
class RequestSize:
    """What a request takes of a queue."""

    tokens: int
    background: bool


def check_together(sizes: Sequence[RequestSize], *, concurrency: int, requests: int, tokens: int) -> None:
    """Raises RequestError for requests that, coming together, are more than is admitted where nothing else goes on.

    Such a caller must not be told to come again, for it would be refused each time.
    """
    queue: RequestQueue[RequestSize] = RequestQueue(requests=requests, tokens=tokens)
    running = 0
    for count, size in enumerate(map(replace, sizes)):  # copies, for a queue tells by identity who is in it
        if queue.full(size):
            raise RequestError(
                f"This asks for {len(sizes)} answers at once, and an idle service would admit {count} of them: "
                f"{concurrency} run, and {requests} requests with {tokens} tokens may wait. Background ones may take "
                "half of that.",
                key="n",
                remedy="Ask for fewer at once.",
            )
        queue.add(size)
        while queue.pop(free=concurrency - running, concurrency=concurrency) is not None:
            running += 1


class RequestQueue(Generic[T]):
    """Those who wait, in order of arrival."""

    def __init__(self, *, requests: int, tokens: int) -> None:
        self._bounds = (requests, tokens)
        self._waiting: list[T] = []
        self._overtaken = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def __iter__(self) -> Iterator[T]:
        return iter(tuple(self._waiting))

    def __contains__(self, one: object) -> bool:
        return any(each is one for each in self._waiting)

    @property
    def tokens(self) -> int:
        """Prompt tokens of all who wait."""
        return sum(each.tokens for each in self._waiting)

    def full(self, one: T) -> bool:
        """Whether `one` may not join."""
        if not self._waiting:
            return False
        requests, tokens = self._bounds
        if len(self._waiting) >= requests or self.tokens + one.tokens > tokens:
            return True
        builds = [each for each in self._waiting if each.background]
        if (
            not one.background or not builds
        ):  # one background may always wait beside people, where the queue has free at all
            return False
        return 2 * len(builds) >= requests or 2 * (sum(each.tokens for each in builds) + one.tokens) > tokens

    def add(self, one: T) -> None:
        """Stand at the end."""
        self._waiting.append(one)

    def remove(self, one: T) -> bool:
        """Go away without a turn; whether it was there."""
        before = len(self._waiting)
        self._waiting = [each for each in self._waiting if each is not one]
        return len(self._waiting) < before

    def clear(self) -> list[T]:
        """Everybody who waited; the queue is empty then."""
        gone, self._waiting, self._overtaken = self._waiting, [], 0
        return gone

    def pop(self, *, free: int, concurrency: int) -> tuple[T, bool] | None:
        """The next request and whether it goes as an interactive one. None while none may go."""
        if free <= 0 or not self._waiting:
            return None
        interactive = next((each for each in self._waiting if not each.background), None)
        background = next((each for each in self._waiting if each.background), None)
        if background is not None and (interactive is None or self._overtaken >= MAX_OVERTAKEN):
            overdue = self._overtaken >= MAX_OVERTAKEN
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
