"""The limiter without a provider: order, cancellation, retry times."""

from __future__ import annotations

import asyncio

import pytest

from service.engine.limiter import ConcurrencyLimiter
from service.errors import EngineBusy


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


def test_a_full_line_says_when_to_come_back() -> None:
    async def main() -> float | None:
        limiter = ConcurrencyLimiter(1, requests=1, tokens=1000)
        assert limiter.wait_s() == 0
        async with limiter.acquire(tokens=1, background=False):
            waits = asyncio.create_task(held(limiter, [], "waits"))
            await asyncio.sleep(0)
            with pytest.raises(EngineBusy) as caught:
                await held(limiter, [], "refused")
        await waits
        return caught.value.retry_after_s

    after = asyncio.run(main())
    assert after is not None
    assert after >= 1
