"""How many threads compute, decided from numbers alone."""

from __future__ import annotations

from service.engine.local.thread_tuner import MAX_PATIENCE, WINDOW_S, ThreadTuner


def steps(pace: ThreadTuner, windows: int, *, cpus: float, idle: float) -> int:
    """Record `windows` windows in which the process got `cpus` and `idle` was idle. The threads afterwards."""
    for _ in range(windows):
        pace.record(WINDOW_S, cpus * WINDOW_S, idle * WINDOW_S)
    return pace.threads


def test_threads_that_get_their_cores_stay() -> None:
    assert steps(ThreadTuner(2), 50, cpus=1.8, idle=0.0) == 2


def test_threads_that_do_not_become_fewer_and_one_always_stays() -> None:
    pace = ThreadTuner(4)
    assert [steps(pace, 1, cpus=0.5, idle=0.0) for _ in range(5)] == [3, 2, 1, 1, 1]


def test_a_short_disturbance_is_not_a_reason() -> None:
    pace = ThreadTuner(2)
    pace.record(WINDOW_S / 10, 0.0, 0.0)
    assert steps(pace, 1, cpus=1.9, idle=0.0) == 2


def test_they_come_back_when_a_cpu_lies_idle_and_only_then() -> None:
    pace = ThreadTuner(2)
    steps(pace, 1, cpus=0.5, idle=0.0)
    assert steps(pace, 20, cpus=1.0, idle=0.3) == 1
    assert steps(pace, 2, cpus=1.0, idle=0.95) == 2


def test_each_try_that_failed_doubles_the_wait_for_the_next() -> None:
    """Where CPUs only look idle (a quota, a busy neighbour), trying costs ever less."""
    pace, tries = ThreadTuner(2), 0
    for _ in range(400):
        before = pace.threads
        steps(pace, 1, cpus=0.5 if pace.threads == 2 else 1.0, idle=1.0)
        tries += pace.threads > before
    assert tries <= 4 + 400 // MAX_PATIENCE
