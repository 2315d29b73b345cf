"""The limiter without a provider: order, cancellation, retry times."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from service.engine import limiter as limiter_module
from service.engine.limiter import ConcurrencyLimiter
from service.engine.queue import RequestSize
from service.errors import EngineBusy, RequestError


async def held(limiter: ConcurrencyLimiter, order: list[str], name: str, *, background: bool = False) -> None:
    async with limiter.acquire(tokens=10, background=background):
        order.append(name)
        await asyncio.sleep(0)


def test_people_go_before_builds_and_builds_leave_a_place_free() -> None:
    async def main() -> list[str]:
        limiter, order = ConcurrencyLimiter(2, requests=10, tokens=1000), list[str]()
        named = [("build 1", True), ("build 2", True), ("person 1", False), ("person 2", False)]
        await asyncio.gather(*(held(limiter, order, name, background=build) for name, build in named))
        assert (limiter.in_use, limiter.waiting) == (0, 0)
        return order

    assert asyncio.run(main()) == ["build 1", "person 1", "person 2", "build 2"]


def test_who_gives_up_in_the_line_leaves_no_gap_and_takes_no_place() -> None:
    async def main() -> list[str]:
        limiter, order = ConcurrencyLimiter(1, requests=10, tokens=1000), list[str]()
        async with limiter.acquire(tokens=1, background=False):
            waits = [asyncio.create_task(held(limiter, order, name)) for name in ("leaves", "stays")]
            await asyncio.sleep(0)
            assert (limiter.waiting, limiter.waiting_tokens) == (2, 20)
            waits[0].cancel()
            await asyncio.gather(waits[0], return_exceptions=True)
            assert limiter.waiting == 1
        await waits[1]
        assert limiter.in_use == 0
        return order

    assert asyncio.run(main()) == ["stays"]


def test_who_is_called_and_gives_up_in_the_same_moment_gives_the_place_back() -> None:
    async def main() -> int:
        limiter, order = ConcurrencyLimiter(1, requests=10, tokens=1000), list[str]()
        async with limiter.acquire(tokens=1, background=False):
            waits = asyncio.create_task(held(limiter, order, "late"))
            await asyncio.sleep(0)
        waits.cancel()  # its turn has come, and it has not run since
        await asyncio.gather(waits, return_exceptions=True)
        await held(limiter, order, "next")
        assert order == ["next"]
        return limiter.in_use

    assert asyncio.run(main()) == 0


@pytest.mark.parametrize(
    ("limit", "waiting", "expected_s"),
    [(1, 0, 0.0), (1, 1, 2.5), (1, 4, 10.0), (2, 3, 3.8), (8, 1, 1.0), (1, 47, 117.5), (1, 48, 120.0), (1, 60, 120.0)],
)
def test_the_retry_time_is_half_of_the_queue_at_the_average_duration(
    limit: int, waiting: int, expected_s: float
) -> None:
    """Before any request has ended the duration is 5 s. The bounds are 1 s and 120 s."""

    async def main() -> float:
        limiter = ConcurrencyLimiter(limit, requests=100, tokens=10_000)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(limit):
                await stack.enter_async_context(limiter.acquire(tokens=1, background=False))
            tasks = [asyncio.create_task(held(limiter, [], "waits")) for _ in range(waiting)]
            await asyncio.sleep(0)
            assert (limiter.in_use, limiter.waiting, limiter.waiting_tokens) == (limit, waiting, 10 * waiting)
            result = limiter.wait_s()
        await asyncio.gather(*tasks)
        assert (limiter.in_use, limiter.waiting) == (0, 0)
        return result

    assert asyncio.run(main()) == expected_s


def test_the_average_duration_follows_the_requests_by_a_fifth(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request of 10 s after the assumed 5 s: 6 s. One waiting caller is told half of it."""
    clock = [0.0]
    monkeypatch.setattr(limiter_module.time, "monotonic", lambda: clock[0])

    async def main() -> list[float]:
        limiter, waits = ConcurrencyLimiter(1, requests=10, tokens=1000), list[float]()
        for _ in range(2):
            async with limiter.acquire(tokens=1, background=False):
                clock[0] += 10.0
            async with limiter.acquire(tokens=1, background=False):
                task = asyncio.create_task(held(limiter, [], "waits"))
                await asyncio.sleep(0)
                waits.append(limiter.wait_s())
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                clock[0] += 6.0
        return waits

    assert asyncio.run(main()) == [3.0, 3.4]


def test_a_full_queue_refuses_with_a_retry_time() -> None:
    async def main() -> EngineBusy:
        limiter = ConcurrencyLimiter(1, requests=1, tokens=1000)
        async with limiter.acquire(tokens=1, background=False):
            waits = asyncio.create_task(held(limiter, [], "waits"))
            await asyncio.sleep(0)
            with pytest.raises(EngineBusy) as caught:
                await held(limiter, [], "refused")
        await waits
        return caught.value

    error = asyncio.run(main())
    assert (error.retry_after_s, error.key) == (2.5, "queue")
    assert "1 requests with about 10 tokens" in error.message


def test_requests_that_never_fit_together_are_an_error_at_once() -> None:
    limiter = ConcurrencyLimiter(2, requests=3, tokens=100)
    limiter.check([RequestSize(10, False)] * 5)
    with pytest.raises(RequestError):
        limiter.check([RequestSize(10, False)] * 6)
    with pytest.raises(RequestError):
        limiter.check([RequestSize(60, False)] * 4)
