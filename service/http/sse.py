"""Server-sent events (WHATWG HTML 9.2): one place that turns a stream of JSON values into a response.

In: an asynchronous generator of frames. Out: a response that is closed when the client goes, which withdraws the
request from the engine. An error after the first byte cannot become a status any more; it becomes a last event in the
shape that the route's clients know. While nothing comes, a comment is sent every few seconds: proxies cut a connection
that is silent for a minute, and a client that is gone is noticed.

Not here: what the events say.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.errors import SameboatError
from service.http import problems

HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
QUIET_S = 5.0  # after so many seconds without an event comes a comment
COMMENT = b": keep-alive\n\n"


def frame(value: Any, event: str | None = None) -> str:
    """One event."""
    data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {event}\n" if event else "") + f"data: {data}\n\n"


class EventStreamResponse(StreamingResponse):
    """A response of events. Whatever ends it, the generator behind it is closed."""

    def __init__(self, events: AsyncGenerator[str, None], *, openai: bool, headers: dict[str, str]) -> None:
        self._events = events
        super().__init__(guarded(events, openai=openai), media_type="text/event-stream", headers={**HEADERS, **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()

    async def stream_response(self, send: Send) -> None:
        """Send the events, and comments while there are none: between frames, never inside one."""
        loop = asyncio.get_running_loop()
        last = loop.time()

        async def comments() -> None:
            nonlocal last
            while True:
                await asyncio.sleep(last + QUIET_S - loop.time())
                if loop.time() >= last + QUIET_S:
                    await send({"type": "http.response.body", "body": COMMENT, "more_body": True})
                    last = loop.time()

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        quiet = asyncio.create_task(comments())
        try:
            async for item in self.body_iterator:
                last = loop.time()
                body = item if isinstance(item, bytes) else str(item).encode(self.charset)
                await send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            quiet.cancel()
            await asyncio.wait({quiet})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def guarded(events: AsyncGenerator[str, None], *, openai: bool) -> AsyncGenerator[str, None]:
    """The events; an error of ours becomes the last one."""
    try:
        async with contextlib.aclosing(events) as items:
            async for item in items:
                yield item
    except SameboatError as error:
        _, body = problems.body_of(error, openai=openai)
        yield frame(body, None if openai else "error")


async def prefetch_first(events: AsyncGenerator[str, None], patience_s: float = QUIET_S) -> PrefetchedStream:
    """The same events, but the first is already computed: an early refusal is still a status and not an event.

    After `patience_s` without one the response begins all the same, so that comments can be sent.
    """
    begun = PrefetchedStream(events)
    try:
        await begun.wait(patience_s)
    except BaseException:
        await begun.aclose()
        raise
    return begun


class PrefetchedStream(AsyncGenerator[str, None]):
    """EventStreamResponse whose first one is asked for already."""

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        self._events = events
        self._first: asyncio.Task[str] | None = asyncio.create_task(_next(events))

    async def wait(self, patience_s: float) -> None:
        """Wait for the first one, or until patience ends. Raises what came instead of it."""
        assert self._first is not None
        await asyncio.wait({self._first}, timeout=patience_s)
        if self._first.done() and (error := self._first.exception()) is not None:
            raise error

    async def __anext__(self) -> str:
        """The next event."""
        first, self._first = self._first, None
        if first is None:
            return await anext(self._events)
        try:
            return await first
        except asyncio.CancelledError:
            await _ended(first)
            raise

    async def asend(self, value: None) -> str:
        """As `anext`."""
        return await anext(self)

    async def athrow(self, *error: Any) -> str:
        """Raise inside the events."""
        return await self._events.athrow(*error)

    async def aclose(self) -> None:
        """Close the events, and withdraw the first one when it has not come."""
        first, self._first = self._first, None
        if first is not None:
            await _ended(first)
        await self._events.aclose()


async def _next(events: AsyncGenerator[str, None]) -> str:
    try:
        return await anext(events)
    except StopAsyncIteration:
        return ""


async def _ended(task: asyncio.Task[str]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # seen: nobody waits for it any more
