"""A worker that says nothing, or does not get on, is told apart from one that is busy, and is replaced."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.engine.local import protocol, watchdog
from service.engine.local.parent_connection import ParentConnection
from service.engine.local.protocol import FrameTooLarge
from service.engine.local.supervisor import Supervisor
from service.engine.local.watchdog import LATE_S, LOADING_S, SILENT_S, TICK_S, Watchdog
from service.engine.types import Answer
from service.errors import EngineUnavailable, RequestError
from tests.engine.local.conftest import ask, running

STEP_S = 180.0


def ready() -> Watchdog:
    watch = Watchdog(step_s=STEP_S)
    watch.heard({"op": "ready"})
    return watch


def ticks(watch: Watchdog, seconds: float) -> list[str]:
    return [watch.tick().state for _ in range(int(seconds / TICK_S))]


def test_a_worker_that_answers_is_well_however_long_it_lives() -> None:
    watch = ready()
    for number in range(1_000):
        watch.heard({"op": "pong", "unit": number})
        assert watch.tick().state == "healthy"


def test_silence_is_late_first_and_lost_then() -> None:
    found = ticks(ready(), SILENT_S)
    assert found == ["healthy"] * int(LATE_S / TICK_S - 1) + ["late"] * int((SILENT_S - LATE_S) / TICK_S) + ["lost"]


def test_a_pong_after_silence_makes_it_well_again() -> None:
    watch = ready()
    assert ticks(watch, LATE_S)[-1] == "late"
    watch.heard({"op": "pong", "unit": None})
    assert watch.tick().state == "healthy"


def states(watch: Watchdog, seconds: float, unit: int | None) -> list[str]:
    """The state after each tick, with a pong before it that names this unit of work."""
    found = []
    for _ in range(int(seconds / TICK_S)):
        watch.heard({"op": "pong", "unit": unit})
        found.append(watch.tick().state)
    return found


def test_a_step_may_take_long_and_not_for_ever() -> None:
    found = states(ready(), STEP_S, 1)
    third = int(STEP_S / 3 / TICK_S)
    assert found == ["healthy"] * (third - 1) + ["late"] * (2 * third) + ["lost"]


def test_another_unit_of_work_and_an_idle_worker_are_progress() -> None:
    watch = ready()
    assert states(watch, STEP_S / 3, 1)[-1] == "late"
    assert set(states(watch, STEP_S / 3 - TICK_S, 2)) == {"healthy"}
    assert set(states(watch, 3 * STEP_S, None)) == {"healthy"}
    assert states(watch, STEP_S / 3, 3)[-1] == "late"


def test_a_frozen_container_blames_nobody() -> None:
    """Service and worker are frozen together for an hour in the middle of a step. Neither ticks meanwhile."""
    watch = ready()
    assert set(states(watch, STEP_S / 3 - TICK_S, 7)) == {"healthy"}
    watch.heard({"op": "pong", "unit": 8})
    assert watch.tick().state == "healthy"


def test_loading_is_exempt_while_it_makes_progress_and_has_a_bound_of_its_own() -> None:
    watch = Watchdog(step_s=STEP_S)
    for _ in range(5):
        assert set(ticks(watch, LOADING_S - TICK_S)) == {"healthy"}
        watch.heard({"op": "loading", "progress": 0.1})
    for _ in range(int(LOADING_S / TICK_S) - 1):
        watch.heard({"op": "pong", "unit": None})
        assert watch.tick().state == "healthy"
    assert watch.tick().state == "lost", "a pong is no progress"


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> queue.Queue[int]:
    """The codes with which this process would have ended."""
    codes: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr(os, "_exit", codes.put)
    return codes


def test_a_pong_names_the_unit_of_work_of_the_main_thread(ended: queue.Queue[int]) -> None:
    """A ping is answered while the main thread is busy. Other messages wait in the inbox."""
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            parent = ParentConnection(theirs)
            parent.listen()
            decoder = protocol.Decoder()

            def unit() -> int | None:
                ours.sendall(protocol.encode({"op": "ping"}))
                pong: dict[str, Any] = next(iter(decoder.feed(ours.recv(1 << 16))))
                assert pong.keys() == {"op", "unit"}, "no time, which passes in a frozen container too"
                return pong["unit"]  # type: ignore[no-any-return]

            assert unit() is None
            parent.set_busy(busy=True)
            first = unit()
            assert first is not None
            assert first == unit()
            parent.set_busy(busy=True)
            assert unit() not in (None, first)
            parent.set_busy(busy=False)
            assert unit() is None
            ours.sendall(protocol.encode({"op": "cancel", "id": 1}))
            assert parent.inbox.get(timeout=30) == {"op": "cancel", "id": 1}
            assert ended.empty()
        assert ended.get(timeout=30) == 0, "without a parent there is nothing to do"


@pytest.mark.parametrize("data", [b"\xff" * 64, protocol.HEADER.pack(3) + b"{{{"])
def test_a_reading_thread_that_breaks_ends_the_process(ended: queue.Queue[int], data: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ParentConnection(theirs).listen()
        ours.sendall(data)
        assert ended.get(timeout=30) == 1


def test_a_frame_is_bounded_where_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_FRAME_BYTES", 20)
    assert protocol.encode({"a": "x" * 12})
    with pytest.raises(FrameTooLarge, match="a frame of 21 bytes, and at most 20"):
        protocol.encode({"a": "x" * 13})


@pytest.mark.model
def test_a_worker_that_is_stopped_is_not_ready_and_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its running requests fail with the reason, waiting ones are answered by the next worker, and health says
    "stalled".
    """
    monkeypatch.setattr(watchdog, "TICK_S", 0.2)
    monkeypatch.setattr(watchdog, "LATE_S", 2.0)
    monkeypatch.setattr(watchdog, "SILENT_S", 4.0)

    async def stop() -> tuple[list[Any], list[str], str]:
        async with running(parallel=1) as engine:
            stream = engine.stream(ask("Tell a long story.", tokens=400))
            await anext(stream)
            waiting = asyncio.create_task(engine.answer(ask("Hi", tokens=2)))
            await asyncio.sleep(0)
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGSTOP)
            states: list[str] = []

            async def watch() -> str:
                while engine.health().restarts == 0:
                    if engine.health().state not in states:
                        states.append(engine.health().state)
                    await asyncio.sleep(0.01)
                return engine.health().reason

            async def rest() -> None:
                async for _ in stream:
                    pass

            watched = asyncio.create_task(watch())
            ended = await asyncio.gather(rest(), waiting, return_exceptions=True)
            return ended, states, await watched

    (ended, answered), states, reason = asyncio.run(asyncio.wait_for(stop(), 120))
    assert isinstance(ended, EngineUnavailable)
    assert ended.retry_after_s
    assert isinstance(answered, Answer)
    assert states == ["ready", "stalled"]
    assert "has not answered" in reason


@pytest.mark.model
def test_neither_a_large_frame_nor_the_end_of_reading_makes_it_deaf(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first is refused and harms nobody. The second ends in another worker."""

    async def ask_all() -> tuple[list[Any], list[int]]:
        async with running(parallel=2) as engine:
            with monkeypatch.context() as patch:
                patch.setattr(protocol, "MAX_FRAME_BYTES", 2_000)
                results = await asyncio.gather(
                    engine.answer(ask("x" * 3_000, tokens=1)),
                    engine.count(ask("x" * 3_000)),
                    engine.answer(ask("Hi", tokens=1)),
                    return_exceptions=True,
                )
            restarts = [engine.health().restarts]
            stream = engine.stream(ask("Tell a long story.", tokens=400))
            await anext(stream)
            process = engine._supervisor.process
            assert process is not None
            assert process._writer is not None
            process._writer.write(protocol.HEADER.pack(protocol.MAX_FRAME_BYTES + 1))
            both = (to_its_end(stream), engine.answer(ask("Hi", tokens=1)))
            results += await asyncio.gather(*both, return_exceptions=True)
            restarts.append(engine.health().restarts)
            return results, restarts

    async def to_its_end(stream: Any) -> None:
        async for _ in stream:
            pass

    results, restarts = asyncio.run(asyncio.wait_for(ask_all(), 120))
    kinds = [type(result) for result in results]
    assert kinds[:3] == [RequestError, RequestError, Answer]
    assert kinds[3] is EngineUnavailable
    assert kinds[4] in (EngineUnavailable, Answer), "sent to the one that ended, or to the next"
    assert restarts == [0, 1]


class Process:
    """A worker that loads at once and then sends an invalid message."""

    pid = 0

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        yield {"op": "ready"}
        yield {"op": "nonsense"}

    def send(self, message: Any) -> None:
        pass

    async def end(self) -> int:
        return 0


def test_what_a_worker_says_wrongly_ends_in_another_worker_and_not_in_silence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lost: list[tuple[str, bool]] = []
    begun: list[Process] = []

    class WorkerOwner:
        def on_message(self, message: dict[str, Any]) -> None:
            if message["op"] == "ready":
                supervisor.mark_ready("here")
            else:
                raise KeyError("id")

        def on_lost(self, error: EngineUnavailable, *, queued: bool) -> None:
            lost.append((str(error), queued))

        def drop_kernels(self, reason: str, *, illegal: bool) -> bool:
            return False

    async def begin() -> Any:
        begun.append(Process())
        return begun[-1]

    supervisor = Supervisor("a model", WorkerOwner(), begin, lambda: STEP_S)

    async def run() -> None:
        await supervisor.start()
        while len(begun) < 2:
            await supervisor.change()
        await supervisor.stop(0, busy=lambda: False)

    asyncio.run(asyncio.wait_for(run(), 60))
    assert lost[0] == ("The engine stopped in the middle of this answer (KeyError: 'id').", False)
    assert "Traceback" in caplog.text
