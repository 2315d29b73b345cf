"""How many threads compute, decided from numbers alone."""

from __future__ import annotations

import pytest

from service.engine.local.thread_tuner import (
    CROWDED,
    IDLE,
    MAX_WAIT_S,
    MIN_WAIT_S,
    TRY_S,
    UNSEEN_WAIT_S,
    WINDOW_S,
    ThreadTuner,
)

STEP_S = 0.05 + 1e-9  # so that eight of them fill a window whatever the rounding


def run(tuner: ThreadTuner, seconds: float, *, cpus: float, idle: float = 0.0) -> int:
    """Record steps of so many seconds together, which got `cpus` while `idle` were idle. The threads afterwards."""
    for _ in range(round(seconds / STEP_S)):
        tuner.record(STEP_S, cpus * STEP_S, idle * STEP_S)
    return tuner.threads


def crowded(most: int = 2) -> ThreadTuner:
    """A tuner that has just taken a thread away for the first time."""
    tuner = ThreadTuner(most)
    tuner.record(WINDOW_S, 0.0, 0.0)
    assert tuner.threads == most - 1
    return tuner


def seconds_until_a_try(tuner: ThreadTuner, idle: float = 1.0) -> float:
    """Seconds of computing with idle CPUs until there is one thread more."""
    before = tuner.threads
    for count in range(1, 1_000):
        if run(tuner, STEP_S, cpus=before, idle=idle) > before:
            return count * STEP_S
    raise AssertionError("no try")


def test_threads_that_get_their_cores_stay() -> None:
    assert run(ThreadTuner(2), 20, cpus=1.8) == 2


def test_crowded_threads_become_fewer_and_one_always_stays() -> None:
    tuner = ThreadTuner(4)
    assert [run(tuner, WINDOW_S, cpus=0.5) for _ in range(5)] == [3, 2, 1, 1, 1]


def test_exactly_the_crowded_share_is_enough() -> None:
    """The limit is measured against all threads, so it moves with their number."""
    exact = ThreadTuner(2)
    assert not exact.record(0.5, 0.5 * 2 * CROWDED, 0.0), "0.5 and 0.75 are exact as floating-point numbers"
    assert exact.threads == 2
    assert run(ThreadTuner(2), WINDOW_S, cpus=2 * CROWDED - 0.01) == 1
    assert run(ThreadTuner(4), WINDOW_S, cpus=2 * CROWDED) == 3


def test_the_caller_is_told_exactly_when_the_number_changes() -> None:
    tuner = ThreadTuner(2)
    assert not tuner.record(WINDOW_S / 2, 0.0, 0.0)
    assert tuner.record(WINDOW_S / 2, 0.0, 0.0), "one fewer, when the window is full"
    assert not tuner.record(WINDOW_S, WINDOW_S, 0.0), "one thread with its core"
    assert tuner.record(WINDOW_S, WINDOW_S, WINDOW_S), "one more"
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
    assert run(tuner, WINDOW_S, cpus=1.9) == 2


def test_they_come_back_soon_when_a_cpu_is_idle() -> None:
    tuner = crowded()
    assert run(tuner, MAX_WAIT_S, cpus=1.0, idle=IDLE - 0.01) == 1
    assert run(tuner, WINDOW_S, cpus=1.0, idle=IDLE + 0.01) == 2, "after such a while one idle window is enough"


def test_they_come_back_beside_a_load_of_lower_priority_that_leaves_no_cpu_idle() -> None:
    """The simulated machine gives the engine all that it asks for, and the rest to the others."""
    tuner = crowded()
    assert seconds_until_a_try(tuner, idle=0.0) == pytest.approx(UNSEEN_WAIT_S)
    assert run(tuner, 60, cpus=2.0) == 2


def test_tries_without_an_idle_cpu_cost_little() -> None:
    """The simulated machine gives one CPU, whatever is asked for."""
    tuner, seconds = crowded(), {1: 0.0, 2: 0.0}
    for _ in range(round(100 / STEP_S)):
        seconds[tuner.threads] += STEP_S
        tuner.record(STEP_S, STEP_S, 0.0)
    assert 0 < seconds[2] < 0.025 * 100


def test_a_try_is_judged_sooner_than_a_thread_that_has_settled() -> None:
    tuner = crowded()
    seconds_until_a_try(tuner)
    assert run(tuner, TRY_S, cpus=0.5) == 1
    seconds_until_a_try(tuner)
    assert run(tuner, TRY_S, cpus=2.0) == 2
    assert run(tuner, TRY_S, cpus=0.5) == 2, "now a whole window counts"


def test_each_failed_try_doubles_the_wait_up_to_a_bound() -> None:
    """Where CPUs only look idle (a quota, a busy neighbour), trying costs ever less."""
    tuner, waits = crowded(), []
    for _ in range(7):
        waits.append(seconds_until_a_try(tuner))
        run(tuner, TRY_S, cpus=0.5)
    assert waits == pytest.approx([0.4, 0.8, 1.6, 3.2, 4.0, 4.0, 4.0])
    assert TRY_S / (TRY_S + MAX_WAIT_S) < 0.04, "the share of the time in which a hopeless try slows the engine"


def test_a_try_that_held_for_a_while_makes_the_next_wait_short_again() -> None:
    tuner = crowded()
    for _ in range(5):
        seconds_until_a_try(tuner)
        run(tuner, TRY_S, cpus=0.5)
    seconds_until_a_try(tuner)
    assert run(tuner, TRY_S + 5 * WINDOW_S, cpus=2.0) == 2, "longer than SETTLED_S"
    run(tuner, WINDOW_S, cpus=0.5)
    assert seconds_until_a_try(tuner) == pytest.approx(MIN_WAIT_S)


def test_a_busy_morning_is_forgotten_in_an_idle_pause() -> None:
    """After failed tries the wait is long. A pause in which both CPUs were idle ends it before the next step."""
    tuner = crowded()
    for _ in range(6):
        seconds_until_a_try(tuner)
        run(tuner, TRY_S, cpus=0.5)
    assert not tuner.paused(60.0, 60.0), "one CPU was busy, and the engine needs the other one"
    assert not tuner.paused(WINDOW_S / 2, WINDOW_S), "too short to tell"
    assert tuner.paused(1.0, 1.8)
    assert tuner.threads == 2
    assert run(tuner, TRY_S, cpus=0.5) == 1, "it is a try like others"
    assert not ThreadTuner(2).paused(60.0, 120.0), "all threads are there"


def test_a_share_limits_the_threads_and_gives_them_back() -> None:
    tuner = ThreadTuner(4)
    assert tuner.share(2)
    assert (tuner.threads, tuner.could_grow) == (2, False)
    assert run(tuner, 20, cpus=2.0, idle=2.0) == 2, "idle CPUs are those of another engine"
    assert not tuner.share(2)
    assert tuner.share(4)
    assert tuner.threads == 4
    assert run(tuner, TRY_S, cpus=2.0) == 3, "more threads than before are a try"
    assert tuner.share(1)
    assert not tuner.share(0), "one always stays"
    assert tuner.share(9)
    assert tuner.threads == 3, "as before the share"
