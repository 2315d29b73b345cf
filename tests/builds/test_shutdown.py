"""The signal by which builds let go of a process. The clock is a variable, so no test waits."""

from __future__ import annotations

import threading
import time

import pytest

from service.builds import shutdown
from service.builds.shutdown import BuildInterrupted, ShutdownSignal


class Clock:
    """Seconds that a test sets, for both clocks of `time`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(shutdown.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(shutdown.time, "time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """The time-outs of all waits, which end at once."""
    seconds: list[float | None] = []
    monkeypatch.setattr(threading.Event, "wait", lambda self, timeout=None: seconds.append(timeout))
    return seconds


def test_without_a_request_nothing_is_interrupted(clock: Clock, waits: list[float | None]) -> None:
    signal = ShutdownSignal()
    assert signal.requested is False
    signal.check()
    signal.check_grace()
    signal.sleep(0.0)


def test_after_a_request_no_step_begins(clock: Clock) -> None:
    signal = ShutdownSignal()
    signal.request(5.0)
    assert signal.requested is True
    with pytest.raises(BuildInterrupted, match=r"^the process shuts down$"):
        signal.check()


def test_a_running_answer_has_the_grace(clock: Clock) -> None:
    """It ends after the grace, and a second request does not make the grace longer."""
    signal = ShutdownSignal()
    signal.request(5.0)
    clock.now = 105.0
    signal.check_grace()
    signal.request(60.0)
    clock.now = 105.1
    with pytest.raises(BuildInterrupted, match="grace is over"):
        signal.check_grace()


def test_a_wait_takes_the_seconds_that_are_asked_for(clock: Clock, waits: list[float | None]) -> None:
    """A wait until a time in the past, and a negative number of seconds, are no wait."""
    signal = ShutdownSignal()
    signal.sleep(2.5)
    signal.sleep(-1.0)
    signal.sleep_until(103.0)
    signal.sleep_until(90.0)
    assert waits == [2.5, 0.0, 3.0, 0.0]


@pytest.mark.parametrize("wait", ["sleep", "sleep_until"])
def test_a_request_ends_a_wait_and_interrupts_it(wait: str) -> None:
    """With the real clock and a real thread. The wait would take an hour."""
    signal, ended = ShutdownSignal(), threading.Event()

    def worker() -> None:
        try:
            getattr(signal, wait)(3600.0 + (time.time() if wait == "sleep_until" else 0.0))
        except BuildInterrupted:
            ended.set()

    thread = threading.Thread(target=worker, daemon=True)
    thread.start()
    signal.request(0.0)
    assert ended.wait(60)
    thread.join()


def test_no_handler_of_exceptions_takes_an_interruption_for_a_failure() -> None:
    assert not issubclass(BuildInterrupted, Exception)
