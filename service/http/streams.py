"""Helpers for streams of answers: charge them, merge several, and cancel the work when its client disconnects.

In: async generators of chunks and results. Out: the same items. Closing a stream closes its sources.
Not here: how items are written as events (`sse`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable
from typing import TypeVar

from fastapi import Request

from service.engine.types import Chunk
from service.http.rate_limit import charge
from service.prompts.run import Result

T = TypeVar("T")


async def charged(
    items: AsyncGenerator[Chunk | Result, None], request: Request, *, prompt: bool = True
) -> AsyncGenerator[Chunk | Result, None]:
    """The same items. At the end, also of a closed stream, the tokens count against the caller's limit.

    `prompt`: whether the prompt's tokens count too. Several answers to one prompt count them once.
    """
    tokens = 0
    try:
        async with contextlib.aclosing(items) as stream:
            async for item in stream:
                if isinstance(item, Result):
                    usage = item.answer.usage
                    tokens = usage.completion + (usage.prompt if prompt else 0)
                else:
                    tokens += max(1, len(item.tokens))
                yield item
    finally:
        charge(request, tokens)


async def unless_disconnected(request: Request, work: Awaitable[T]) -> T | None:
    """The result of `work`. None if the client disconnected first: `work` is then cancelled."""
    task = asyncio.ensure_future(work)

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    watch = asyncio.ensure_future(disconnected())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for pending in (task, watch):
            if not pending.done():
                pending.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await pending


async def merge(streams: list[AsyncGenerator[T, None]]) -> AsyncGenerator[tuple[int, T], None]:
    """The items of several streams in order of arrival, with the index of their stream. Closing it closes all."""
    if len(streams) == 1:
        async with contextlib.aclosing(streams[0]) as items:
            async for item in items:
                yield 0, item
        return
    queue: asyncio.Queue[tuple[int, T] | Exception | None] = asyncio.Queue()

    async def pump(number: int, stream: AsyncGenerator[T, None]) -> None:
        try:
            async with contextlib.aclosing(stream) as items:
                async for item in items:
                    await queue.put((number, item))
            await queue.put(None)
        except Exception as error:  # noqa: BLE001  (the reader raises it)
            await queue.put(error)

    tasks = [asyncio.create_task(pump(number, stream)) for number, stream in enumerate(streams)]
    try:
        running = len(tasks)
        while running:
            queued = await queue.get()
            if queued is None:
                running -= 1
            elif isinstance(queued, Exception):
                raise queued
            else:
                yield queued
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
