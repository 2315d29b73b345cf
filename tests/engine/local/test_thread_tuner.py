"""How many threads compute, decided from numbers alone."""

from __future__ import annotations

from service.engine.local.thread_tuner import CROWDED, IDLE, MAX_PATIENCE, WINDOW_S, ThreadTuner


def steps(tuner: ThreadTuner, windows: int, *, cpus: float, idle: float) -> int:
    """Record `windows` windows in which the process got `cpus` and `idle` was idle. The threads afterwards."""
    for _ in range(windows):
        tuner.record(WINDOW_S, cpus * WINDOW_S, idle * WINDOW_S)
    return tuner.threads


def test_threads_that_get_their_cores_stay() -> None:
    assert steps(ThreadTuner(2), 50, cpus=1.8, idle=0.0) == 2


def test_crowded_threads_become_fewer_and_one_always_stays() -> None:
    tuner = ThreadTuner(4)
    assert [steps(tuner, 1, cpus=0.5, idle=0.0) for _ in range(5)] == [3, 2, 1, 1, 1]


def test_exactly_the_crowded_share_is_enough() -> None:
    """The limit is measured against all threads, so it moves with their number."""
    exact = ThreadTuner(2)
    assert not exact.record(0.5, 0.5 * 2 * CROWDED, 0.0), "0.5 and 0.75 are exact as floating-point numbers"
    assert exact.threads == 2
    assert steps(ThreadTuner(2), 1, cpus=2 * CROWDED - 0.01, idle=0.0) == 1
    assert steps(ThreadTuner(4), 1, cpus=2 * CROWDED, idle=0.0) == 3


def test_the_caller_is_told_exactly_when_the_number_changes() -> None:
    tuner = ThreadTuner(2)
    assert not tuner.record(WINDOW_S / 2, 0.0, 0.0)
    assert tuner.record(WINDOW_S / 2, 0.0, 0.0), "one fewer, when the window is full"
    assert not tuner.record(WINDOW_S, WINDOW_S, 0.0), "one thread with its core"
    assert not tuner.record(WINDOW_S, WINDOW_S, WINDOW_S), "the first of two idle windows"
    assert tuner.record(WINDOW_S, WINDOW_S, WINDOW_S), "one more, after the second"
    assert not tuner.record(WINDOW_S, 2 * WINDOW_S, 0.0), "all threads, and all have their cores"


def test_times_are_summed_over_a_window_and_forgotten_after_it() -> None:
    tuner = ThreadTuner(2)
    for _ in range(4):
        tuner.record(WINDOW_S / 4, WINDOW_S / 2, 0.0)
    assert tuner.threads == 2, "four quarters of a window with two cores each"
    tuner.record(WINDOW_S, 0.0, 0.0)
    assert tuner.threads == 1, "the good window before does not count any more"


def test_a_short_disturbance_is_not_a_reason() -> None:
    tuner = ThreadTuner(2)
    tuner.record(WINDOW_S / 10, 0.0, 0.0)
    assert steps(tuner, 1, cpus=1.9, idle=0.0) == 2


def test_they_come_back_when_a_cpu_is_idle_and_only_then() -> None:
    tuner = ThreadTuner(2)
    steps(tuner, 1, cpus=0.5, idle=0.0)
    assert steps(tuner, 20, cpus=1.0, idle=IDLE - 0.01) == 1
    assert [tuner.record(0.5, 0.5, 0.5 * IDLE) for _ in range(2)] == [False, True]


def test_a_busy_window_between_idle_ones_starts_the_wait_again() -> None:
    tuner = ThreadTuner(2)
    steps(tuner, 1, cpus=0.5, idle=0.0)
    assert [steps(tuner, 1, cpus=1.0, idle=idle) for idle in (1.0, 0.0, 1.0, 1.0)] == [1, 1, 1, 2]


def windows_until_the_next_try(tuner: ThreadTuner) -> int:
    """Idle windows until there is one thread more."""
    before = tuner.threads
    for count in range(1, 200):
        if steps(tuner, 1, cpus=before, idle=1.0) > before:
            return count
    raise AssertionError("no try in 200 windows")


def test_each_failed_try_doubles_the_wait_up_to_a_bound() -> None:
    """Where CPUs only look idle (a quota, a busy neighbour), trying costs ever less."""
    tuner, waits = ThreadTuner(2), []
    for _ in range(7):
        steps(tuner, 1, cpus=0.5, idle=0.0)
        waits.append(windows_until_the_next_try(tuner))
    assert waits == [2, 4, 8, 16, 32, 32, 32]
    assert max(waits) == MAX_PATIENCE


def test_each_good_window_with_all_threads_shortens_the_wait_by_one() -> None:
    tuner = ThreadTuner(2)
    for _ in range(2):
        steps(tuner, 1, cpus=0.5, idle=0.0)
        windows_until_the_next_try(tuner)
    steps(tuner, 1, cpus=2.0, idle=0.0)
    steps(tuner, 1, cpus=0.5, idle=0.0)
    assert windows_until_the_next_try(tuner) == 6, "twice 3"
    steps(tuner, 100, cpus=2.0, idle=0.0)
    steps(tuner, 1, cpus=0.5, idle=0.0)
    assert windows_until_the_next_try(tuner) == 2, "never below 1 before it is doubled"


def test_each_further_thread_waits_as_long_again() -> None:
    tuner = ThreadTuner(3)
    assert steps(tuner, 2, cpus=0.1, idle=0.0) == 1
    assert [windows_until_the_next_try(tuner) for _ in range(2)] == [4, 4]
