"""Places at the remote server: order, deadlines, cancellation, stopping."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from service.engine.limiter import ConcurrencyLimiter
from service.engine.pool import UNLISTED, Engines
from service.engine.remote import RemoteEngine
from service.engine.types import Answer, Chunk, Request
from service.errors import (
    DeadlineExceeded,
    EngineBusy,
    EngineUnavailable,
    RemoteError,
)
from service.settings import load
from tests.engine.remote.requests import ASK, ask, engine
from tests.servers.openai_server import OpenAIServer


def test_concurrency_is_bounded(server: OpenAIServer) -> None:
    """Twelve requests through two limiter: all are answered, never more than two at once."""

    async def main() -> list[Answer]:
        async with engine(server.base_url, remote_concurrency=2) as made:
            return await asyncio.gather(*(made.answer(ASK) for _ in range(12)))

    assert len(asyncio.run(main())) == 12
    assert server.most_at_once <= 2


def test_all_models_of_the_server_share_its_places(server: OpenAIServer) -> None:
    """Per provider and not per model: two models, two limiter, never more than two at once."""

    async def main() -> None:
        settings = load(engine="remote", remote_base_url=server.base_url, remote_concurrency=2)
        engines = Engines(settings)
        made = [engines.get("small"), engines.get("large")]
        running: list[float] = []
        for each in made:
            assert isinstance(each, RemoteEngine)
            each.on_latency = lambda name, seconds: running.append(sum(one.stats()["running"] for one in made))
        assert len(await asyncio.gather(*(each.answer(ASK) for each in made * 6))) == 12
        assert max(running) == 2
        assert {each.stats()["answers"] for each in engines.all().values()} == {6.0}
        await engines.stop(0)

    server.reply = "word " * 40
    asyncio.run(main())
    assert server.most_at_once <= 2
    assert {body["model"] for _, _, body in server.asked} == {"small", "large"}


def test_a_full_line_is_busy_and_says_when_to_come_back(server: OpenAIServer) -> None:
    """One place, and one request may wait: the third is refused, and the two are answered."""

    async def main() -> list[object]:
        async with engine(server.base_url, remote_concurrency=1, queue_requests=1) as made:
            asked = [made.answer(ASK) for _ in range(3)]
            found = list(await asyncio.gather(*asked, return_exceptions=True))
            stats = made.stats()
            assert (stats["answers"], stats["rejected"], stats["running"], stats["queue_requests"]) == (2, 1, 0, 0)
            return found

    first, second, third = asyncio.run(main())
    assert isinstance(first, Answer)
    assert isinstance(second, Answer)
    assert isinstance(third, EngineBusy)
    assert third.retry_after_s
    assert third.retry_after_s >= 1


def test_waiting_for_a_place_counts_towards_the_deadline(server: OpenAIServer) -> None:
    """Nothing is sent for a request with a deadline that passed in the queue."""

    async def main() -> None:
        settings = load(engine="remote", remote_base_url=server.base_url)
        limiter = ConcurrencyLimiter(1, requests=9, tokens=900)
        made = RemoteEngine(settings, "small", limiter=limiter)
        async with limiter.acquire(tokens=1, background=False):
            with pytest.raises(DeadlineExceeded):
                await made.answer(replace(ASK, deadline_s=0.1))
        assert (limiter.waiting, limiter.in_use) == (0, 0)
        await made.stop(0)

    asyncio.run(main())
    assert server.asked == []


def test_a_deadline_ends_a_slow_answer(server: OpenAIServer) -> None:
    """The request's own deadline wins over the server's silence."""
    server.script("slow")
    with pytest.raises(DeadlineExceeded):
        ask(server, Request(messages=ASK.messages, deadline_s=0.3))


def test_silence_longer_than_the_timeout_is_an_error(server: OpenAIServer) -> None:
    """Between two bytes at most the set time may pass."""
    server.script("slow")
    with pytest.raises(RemoteError, match="ReadTimeout"):
        ask(server, remote_timeout_s=0.3)


def test_leaving_a_stream_closes_the_connection_and_frees_the_place(server: OpenAIServer) -> None:
    """A reader that leaves after one chunk: the next request gets the only place."""
    server.reply = "word " * 2000

    async def main() -> str:
        async with engine(server.base_url, remote_concurrency=1) as made:
            async with aclosing(made.stream(ASK)) as items:
                async for _ in items:
                    break
            server.reply = "next"
            assert (made.stats()["cancelled"], made.stats()["running"]) == (1, 0)
            return (await made.answer(ASK)).text

    assert asyncio.run(main()) == "next"


def test_what_runs_may_end_before_it_stops(server: OpenAIServer) -> None:
    """Asked to stop in the middle of an answer: it takes nothing new, and the answer comes to its end."""
    server.reply = "word " * 200

    async def main() -> None:
        async with engine(server.base_url) as made:
            async with aclosing(made.stream(ASK)) as items:
                text = ""
                leaving = None
                async for item in items:
                    if isinstance(item, Chunk):
                        text += item.text
                    leaving = leaving or asyncio.create_task(made.stop(30))
                    await asyncio.sleep(0)
                    with pytest.raises(EngineUnavailable):
                        await made.answer(ASK)
                assert text == server.reply
            assert leaving is not None
            await leaving
            assert made.health().state == "stopped"

    asyncio.run(main())


def test_who_does_not_end_in_time_is_left(server: OpenAIServer) -> None:
    """The grace is a bound: a server that says nothing does not keep the service from stopping."""
    server.script("slow")

    async def main() -> None:
        async with engine(server.base_url) as made:
            begun = asyncio.Event()
            made.on_latency = lambda name, seconds: begun.set()
            running = asyncio.create_task(made.answer(ASK))
            await begun.wait()
            await made.stop(0.05)
            with pytest.raises(RemoteError):
                await running

    asyncio.run(main())


def test_names_that_callers_make_up_cost_next_to_nothing(server: OpenAIServer) -> None:
    """The model's name is the caller's: all share one client, and only the latest are remembered."""

    async def main() -> None:
        engines = Engines(load(engine="remote", remote_base_url=server.base_url))
        listed = next(iter(engines.catalog)).name
        first = engines.get(listed)
        for number in range(3 * UNLISTED):
            engines.get(f"made-up-{number}")
        assert len(engines.all()) == UNLISTED + 1
        assert engines.get(listed) is first
        assert len({id(each._client) for each in engines.all().values() if isinstance(each, RemoteEngine)}) == 1
        assert (await engines.get("made-up-1").answer(ASK)).text == server.reply
        await engines.stop(0)

    asyncio.run(main())
