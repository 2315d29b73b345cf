"""Decides the number of compute threads from the timing of the last steps. Pure: it reads no clock and no file.

In: wall, CPU and idle seconds of each step. Out: a number of threads. It changes no bit of an answer.
Not here: llama.cpp.

llama.cpp's threads meet at hundreds of barriers in a step. If they own their cores they should spin at a barrier, since
sleeping there makes a step 1.7 times as long. If other processes want the same cores, a spinning thread blocks the
thread it waits for, and a step takes ten times as long. So the threads spin. There is one fewer as soon as they do not
get the CPU time they ask for, and one more when a CPU is idle again. One thread never waits.

Measured on 2 cores, SmolLM2-135M, 8 sequences in a step: 34 to 42 ms with two spinning threads and 62 ms with two
sleeping ones on a quiet machine. Beside other work: 67 ms with two sleeping threads, 60 with one, 108 to 1,400 with two
spinning ones.
"""

from __future__ import annotations

WINDOW_S = 0.4  # seconds of computing that one judgement looks at
CROWDED = 0.75  # of the CPU time that the threads ask for
IDLE = 0.7  # CPUs that lie idle before there is one thread more
MAX_PATIENCE = 32  # windows


class ThreadTuner:
    """The number of threads, between 1 and `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.threads = most
        self._wall = self._cpu = self._idle = 0.0
        self._patience = 1  # windows with an idle CPU before the next try, doubled by each failed try
        self._calm = 0

    def record(self, wall_s: float, cpu_s: float, idle_s: float) -> bool:
        """Record one step: its duration, its CPU time, and the idle time of our CPUs. True if `threads` changed."""
        self._wall += wall_s
        self._cpu += cpu_s
        self._idle += idle_s
        if self._wall < WINDOW_S:
            return False
        had, idle = self._cpu / self._wall, self._idle / self._wall
        self._wall = self._cpu = self._idle = 0.0
        if self.threads > 1 and had < CROWDED * self.threads:
            self.threads -= 1
            self._patience = min(MAX_PATIENCE, 2 * self._patience)
            self._calm = 0
            return True
        if self.threads == self.most:
            self._patience = max(1, self._patience - 1)
            return False
        self._calm = self._calm + 1 if idle >= IDLE else 0
        if self._calm < self._patience:
            return False
        self.threads += 1
        self._calm = 0
        return True
