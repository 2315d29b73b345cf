"""Helpers for streams of answers: charge them, merge several, and cancel the work when its client disconnects.

In: async generators of chunks and results. Out: the same items. Closing a stream closes its sources.
Not here: how items are written as events (`sse`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request

from service.engine.types import Chunk
from service.http.access import note
from service.http.rate_limit import charge
from service.prompts.run import Result

T = TypeVar("T")


async def charged(
    items: AsyncGenerator[T, None],
    request: Request,
    index: int = 0,
    *,
    prompt: bool = True,
    ended: Callable[[Result], None] = lambda result: None,
) -> AsyncGenerator[tuple[int, T], None]:
    """The same chunks and results, each with the stream's index. At the end their tokens count against the caller.

    A stream that is closed early counts too. `prompt`: whether the prompt's tokens count. Several answers to one prompt
    count them once. `ended` is called with the result.
    """
    tokens = 0
    try:
        async with contextlib.aclosing(items) as stream:
            async for item in stream:
                if isinstance(item, Result):
                    note(request, item)
                    ended(item)
                    usage = item.answer.usage
                    tokens = usage.completion + (usage.prompt if prompt else 0)
                elif isinstance(item, Chunk):
                    tokens += max(1, len(item.tokens))
                yield index, item
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


def merge(streams: list[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """The items of several streams in order of arrival. Closing it closes all of them."""
    return streams[0] if len(streams) == 1 else _merged(streams)


async def _merged(streams: list[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    queue: asyncio.Queue[T | _Failure | None] = asyncio.Queue()

    async def pump(stream: AsyncGenerator[T, None]) -> None:
        try:
            async with contextlib.aclosing(stream) as items:
                async for item in items:
                    await queue.put(item)
            await queue.put(None)
        except Exception as error:  # noqa: BLE001  (the reader raises it)
            await queue.put(_Failure(error))

    tasks = [asyncio.create_task(pump(stream)) for stream in streams]
    try:
        running = len(tasks)
        while running:
            queued = await queue.get()
            if queued is None:
                running -= 1
            elif isinstance(queued, _Failure):
                raise queued.error
            else:
                yield queued
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True)
class _Failure:
    error: Exception
