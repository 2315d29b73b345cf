"""A model that nobody asks for leaves the memory, and the next request brings it back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from service.engine.local import idle_timer
from service.engine.local.idle_timer import IdleTimer
from service.engine.local.supervisor import Supervisor
from service.engine.pool import Engines
from service.engine.types import Health
from service.errors import EngineUnavailable
from tests.engine.local.conftest import ask, make


def at_once(call: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing."""
    with contextlib.suppress(StopIteration):
        call.send(None)


class Expired:
    """The times of expiry."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.at = clock, []  # type: Clock, list[float]

    async def __call__(self) -> None:
        self.at.append(self.clock.now)


class Clock:
    """A loop and a clock that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.timers = 0.0, []  # type: float, list[tuple[float, Any]]
        monkeypatch.setattr(idle_timer.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(idle_timer.asyncio, "get_running_loop", lambda: self)
        monkeypatch.setattr(idle_timer.asyncio, "create_task", at_once)

    def call_later(self, seconds: float, call: Any) -> Clock:
        self.timers.append((self.now + seconds, call))
        return self

    def cancel(self) -> None:
        self.timers.clear()

    def go(self, now: float) -> None:
        """Move on, and make the calls that are due."""
        while due := [timer for timer in self.timers if timer[0] <= now]:
            self.timers.remove(due[0])
            self.now = due[0][0]
            due[0][1]()
        self.now = now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_it_expires_once_after_the_last_use(clock: Clock) -> None:
    expired = Expired(clock)
    timer = IdleTimer(10, busy=lambda: False, expired=expired)
    timer.used()
    clock.go(9)
    timer.used()
    clock.go(18)
    assert not expired.at
    clock.go(100)
    assert expired.at == [19]
    timer.used()
    clock.go(200)
    assert expired.at == [19, 110]


def test_running_requests_count_as_use(clock: Clock) -> None:
    expired = Expired(clock)
    timer = IdleTimer(10, busy=lambda: clock.now < 25, expired=expired)
    timer.used()
    clock.go(100)
    assert expired.at == [30]


@pytest.mark.parametrize("never", ["zero", "cancelled"])
def test_it_may_never_expire(clock: Clock, never: str) -> None:
    expired = Expired(clock)
    timer = IdleTimer(0 if never == "zero" else 10, busy=lambda: False, expired=expired)
    timer.used()
    if never == "cancelled":
        timer.cancel()
        timer.used()
    clock.go(100)
    assert not expired.at
    assert not clock.timers


class Quiet:
    """A worker that is ready and says nothing more. It takes some time to end."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def messages(self) -> Any:
        yield {"op": "ready"}
        await self.ended.wait()

    def send(self, message: Any) -> None:
        pass

    async def end(self) -> int:
        await asyncio.sleep(0.01)
        self.ended.set()
        return 0


class Owner:
    def __init__(self) -> None:
        self.begun: list[Quiet] = []
        self.supervisor = Supervisor("a model", self, self.begin, lambda: 30.0)

    async def begin(self) -> Any:
        self.begun.append(Quiet())
        return self.begun[-1]

    def on_message(self, message: dict[str, Any]) -> None:
        self.supervisor.mark_ready("here")

    def on_lost(self, error: EngineUnavailable, *, queued: bool) -> None:
        pass

    def drop_kernels(self, reason: str, *, illegal: bool) -> bool:
        return False


def test_an_unloaded_worker_is_gone_until_it_is_started_again() -> None:
    async def story() -> None:
        owner = Owner()
        supervisor = owner.supervisor
        await supervisor.ready()
        await supervisor.unload("idle", busy=lambda: True)
        assert supervisor.health.state == "ready"
        await supervisor.unload("idle", busy=lambda: False)
        assert supervisor.health == Health("starting", "idle")
        assert (supervisor.process, len(owner.begun)) == (None, 1)
        await supervisor.ready()
        assert len(owner.begun) == 2
        await supervisor.stop(0, busy=lambda: False)

    asyncio.run(asyncio.wait_for(story(), 60))


def test_a_start_while_it_unloads_is_not_forgotten() -> None:
    async def story() -> None:
        owner = Owner()
        supervisor = owner.supervisor
        await supervisor.ready()
        unload = asyncio.create_task(supervisor.unload("idle", busy=lambda: False))
        await asyncio.sleep(0)
        assert supervisor.health.state == "starting"
        await supervisor.ready()
        await unload
        assert (supervisor.health.state, len(owner.begun)) == ("ready", 2)
        await supervisor.stop(0, busy=lambda: False)

    asyncio.run(asyncio.wait_for(story(), 60))


def test_a_stop_while_it_unloads_stays() -> None:
    async def story() -> None:
        owner = Owner()
        supervisor = owner.supervisor
        await supervisor.ready()
        unload = asyncio.create_task(supervisor.unload("idle", busy=lambda: False))
        await asyncio.sleep(0)
        await supervisor.start()
        await supervisor.stop(0, busy=lambda: False)
        await unload
        assert supervisor.health.state == "stopped"
        with pytest.raises(EngineUnavailable):
            await supervisor.ready()
        assert len(owner.begun) == 1

    asyncio.run(asyncio.wait_for(story(), 60))


@pytest.mark.model
def test_a_request_brings_an_unloaded_model_back(starter: Path) -> None:
    async def story() -> None:
        engine = make(unload_idle_s=0.05, answer_cache_size=0, context=512, parallel=1, prefix_cache_bytes=0)
        try:
            first = await engine.answer(ask("Hello", tokens=3))
            while engine.health().state != "starting":
                await engine._supervisor.change()
            assert (await engine.answer(ask("Hello", tokens=3))).tokens == first.tokens
            assert engine.health().restarts == 0
        finally:
            await engine.stop(0)

    asyncio.run(asyncio.wait_for(story(), 600))


def test_a_model_that_the_service_starts_stays_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = make()
    kept: list[bool] = []
    monkeypatch.setattr(engine, "start", lambda: asyncio.sleep(0))
    monkeypatch.setattr(engine, "keep_loaded", lambda: kept.append(True))
    engines = Engines(make()._settings)
    monkeypatch.setattr(engines, "get", lambda name=None: engine)
    asyncio.run(engines.start())
    assert kept == [True]
