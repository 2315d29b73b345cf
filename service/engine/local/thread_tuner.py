"""Decides the number of compute threads from the timing of the last steps. Pure: it reads no clock and no file.

In: wall, CPU and idle seconds of each step and pause, the engine's share. Out: a number of threads. It changes
no bit of an answer.
Not here: llama.cpp.

llama.cpp's threads meet at hundreds of barriers in a step. If they own their cores they should spin at a barrier, since
sleeping there makes a step 1.7 times as long. If other processes want the same cores, a spinning thread blocks the
thread it waits for, and a step takes ten times as long. So the threads spin. There is one fewer as soon as they do not
get the CPU time they ask for, and one more when a CPU is idle again. One thread never waits.

A thread more is a try. It is judged after a short window, because it may cost half of the speed. After a try that
failed the next one waits twice as long, up to `MAX_WAIT_S`. A pause in which the CPUs were idle needs no wait. Where no
CPU is ever idle there is a try after `UNSEEN_WAIT_S`: the others may have a lower priority than this process.

Measured on 2 cores, SmolLM2-135M, 8 sequences in a step: 34 to 42 ms with two spinning threads and 62 ms with two
sleeping ones on a quiet machine. Beside other work: 67 ms with two sleeping threads, 60 with one, 108 to 1,400 with two
spinning ones.
"""

from __future__ import annotations

WINDOW_S = 0.4  # seconds of computing that one judgement looks at
TRY_S = 0.15  # seconds of computing after which one thread more is judged
SETTLED_S = 2.0  # seconds of computing after which a try has succeeded
CROWDED = 0.75  # of the CPU time that the threads ask for
IDLE = 0.6  # CPUs that lie idle before there is one thread more
MIN_WAIT_S = 0.4  # seconds between a try that failed and the next one, doubled by each further one
MAX_WAIT_S = 4.0
UNSEEN_WAIT_S = 8.0  # seconds after which a thread more is tried although no CPU is idle


class ThreadTuner:
    """The number of threads, between 1 and `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._share = most  # at present, because other engines compute too
        self._threads = most  # without regard to the share
        self._wall = self._cpu = self._idle = 0.0
        self._wait = MIN_WAIT_S
        self._waited = 0.0  # seconds since a thread was taken away
        self._settled = SETTLED_S  # seconds since a thread was added

    @property
    def threads(self) -> int:
        """The number of threads now."""
        return min(self._threads, self._share)

    @property
    def could_grow(self) -> bool:
        """Whether a thread may be added. Only then the idle time of the CPUs counts."""
        return self.threads < self._share

    def record(self, wall_s: float, cpu_s: float, idle_s: float) -> bool:
        """Record one step: its duration, its CPU time, and the idle time of our CPUs. True if `threads` changed."""
        self._wall += wall_s
        self._cpu += cpu_s
        self._idle += idle_s
        if self._wall < (TRY_S if self._settled == 0.0 else WINDOW_S):
            return False
        wall, had, idle = self._wall, self._cpu / self._wall, self._idle / self._wall
        self._wall = self._cpu = self._idle = 0.0
        self._settled += wall
        self._waited += wall
        if self.threads > 1 and had < CROWDED * self.threads:
            self._threads = self.threads - 1
            self._wait = MIN_WAIT_S if self._settled > SETTLED_S else min(MAX_WAIT_S, 2 * self._wait)
            self._waited = 0.0
            return True
        return self._waited >= (self._wait if idle >= IDLE else UNSEEN_WAIT_S) and self._add()

    def paused(self, wall_s: float, idle_s: float) -> bool:
        """Record a pause: its duration, and the idle time of our CPUs in it. True if `threads` changed."""
        self._waited += wall_s
        return wall_s >= WINDOW_S and idle_s / wall_s >= self.threads + IDLE and self._add()

    def share(self, threads: int) -> bool:
        """At most so many threads from now on. True if `threads` changed. More threads than before are a try."""
        before = self.threads
        self._share = min(max(1, threads), self.most)
        return self.threads != before and self._begin(trying=self.threads > before)

    def _add(self) -> bool:
        """One thread more, to be judged soon. False if all of them are there."""
        if not self.could_grow:
            return False
        self._threads = self.threads + 1
        return self._begin(trying=True)

    def _begin(self, *, trying: bool) -> bool:
        """Begin a new window, because `threads` has changed. `trying`: a short one."""
        self._wall = self._cpu = self._idle = 0.0
        self._settled = 0.0 if trying else SETTLED_S
        return True
