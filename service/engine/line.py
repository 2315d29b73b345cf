"""The line in front of an engine: who may join it, and who goes next. Pure policy: no I/O, no clock, no engine.

Who may join:
1. Anybody, while nobody waits: a request larger than every bound can still be answered.
2. An interactive request, while fewer than `requests` wait and its tokens fit under `tokens` with those that wait.
3. A background request, if besides all background requests keep within half of both: builds never fill the line.

Who goes next, when there is room:
1. The oldest background request, after `PATIENCE` interactive ones have overtaken it: builds are slow, never stuck.
2. The oldest interactive request.
3. The oldest background request, while one more place stays free for a person, or when there is only one place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from service.errors import RequestError

PATIENCE = 16  # twice the default of parallel: a build waits two full rounds of people, then takes one turn


class Waiting(Protocol):
    """Anything that can stand in line."""

    @property
    def tokens(self) -> int:
        """Its prompt tokens, estimated."""

    @property
    def background(self) -> bool:
        """Whether a person is not waiting for it."""


T = TypeVar("T", bound=Waiting)


@dataclass(frozen=True)
class Size:
    """What a request takes of a line."""

    tokens: int
    background: bool


def check_together(sizes: Sequence[Size], *, places: int, requests: int, tokens: int) -> None:
    """Raises RequestError for requests that, coming together, are more than is admitted where nothing else goes on.

    Such a caller must not be told to come again, for it would be refused each time.
    """
    line: Line[Size] = Line(requests=requests, tokens=tokens)
    running = 0
    for count, size in enumerate(map(replace, sizes)):  # copies, for a line tells by identity who is in it
        if line.full(size):
            raise RequestError(
                f"This asks for {len(sizes)} answers at once, and an idle service would admit {count} of them: {places}"
                f" run, and {requests} requests with {tokens} tokens may wait; of background requests, half of that.",
                key="n",
                remedy="Ask for fewer at once.",
            )
        line.join(size)
        while line.next(room=places - running, places=places) is not None:
            running += 1


class Line(Generic[T]):
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
        if not one.background or not builds:  # one build may always wait beside people, where the line has room at all
            return False
        return 2 * len(builds) >= requests or 2 * (sum(each.tokens for each in builds) + one.tokens) > tokens

    def join(self, one: T) -> None:
        """Stand at the end."""
        self._waiting.append(one)

    def leave(self, one: T) -> bool:
        """Go away without a turn; whether it was there."""
        before = len(self._waiting)
        self._waiting = [each for each in self._waiting if each is not one]
        return len(self._waiting) < before

    def clear(self) -> list[T]:
        """Everybody who waited; the line is empty then."""
        gone, self._waiting, self._overtaken = self._waiting, [], 0
        return gone

    def next(self, *, room: int, places: int) -> tuple[T, bool] | None:
        """Who goes now, with `room` of `places` free, and whether it goes as a person does; None when nobody may."""
        if room <= 0 or not self._waiting:
            return None
        person = next((each for each in self._waiting if not each.background), None)
        build = next((each for each in self._waiting if each.background), None)
        if build is not None and (person is None or self._overtaken >= PATIENCE):
            overdue = self._overtaken >= PATIENCE
            if overdue or room > 1 or places == 1:
                self._overtaken = 0
                self.leave(build)
                return build, overdue
            return None
        if person is None:
            return None
        if build is not None:
            self._overtaken += 1
        self.leave(person)
        return person, True
