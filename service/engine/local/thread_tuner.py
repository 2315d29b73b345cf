"""How many threads a step should take, from how the last ones went. Pure: it reads no clock and no file.

llama.cpp's threads meet at hundreds of barriers in a step. Where they own their cores they should wait for each other
by spinning, since falling asleep at each costs 1.7 times a step's time here. Where others want the same cores, a thread
that spins keeps the one it waits for from running, and a step takes ten times as long. So the threads spin; there is
one fewer as soon as they no longer get the CPU time they ask for, and one more when a CPU lies idle again. One thread
waits for nobody. The number of threads changes no bit of an answer.

Measured on 2 cores, SmolLM2-135M, 8 sequences in a step: 34 to 42 ms with two threads that spin and 62 ms with two that
sleep on a quiet machine; beside other work 67 ms with two that sleep, 60 with one, 108 to 1,400 with two that spin.
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
        self._patience = 1  # windows with an idle CPU before the next try; doubles with each try that failed
        self._calm = 0

    def record(self, wall_s: float, cpu_s: float, idle_s: float) -> bool:
        """A step took this long, used so much CPU time, and so much lay idle on our CPUs. True: `threads` changed."""
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
