"""Measures the worker's steps and pauses, and sets the number of llama.cpp's threads that follows from them.

In: steps and pauses, as blocks of code. Out: calls of a function that sets the number.
Not here: the decision (`thread_tuner`), llama.cpp.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from service import resources
from service.engine.local.thread_tuner import ThreadTuner


class ComputeThreads:
    """The threads of one worker, at most `most`. `use` is called with each new number."""

    def __init__(self, most: int, use: Callable[[int], None]) -> None:
        self._tuner = ThreadTuner(most)
        self._use = use

    @property
    def count(self) -> int:
        """The present number."""
        return self._tuner.threads

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """The block computes one step."""
        began, cpu, idle = time.perf_counter(), time.process_time(), self._idle_s()
        yield
        took = time.perf_counter() - began
        if self._tuner.record(took, time.process_time() - cpu, self._idle_s() - idle):
            self._use(self.count)

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """The block waits for something to do."""
        began, idle = time.perf_counter(), self._idle_s()
        yield
        if self._tuner.paused(time.perf_counter() - began, self._idle_s() - idle):
            self._use(self.count)

    def share(self, threads: int) -> None:
        """Use at most so many threads from now on: the others are those of other engines (`core_budget`)."""
        if self._tuner.share(threads):
            self._use(self.count)

    def _idle_s(self) -> float:
        """Idle seconds of our CPUs. Measured only when a thread could be added."""
        return resources.idle_seconds() if self._tuner.could_grow else 0.0
