"""Server-sent events (WHATWG HTML 9.2): a stream of JSON values becomes a response.

In: an async generator of frames. Out: a response. When the client disconnects, the generator is closed, and that
cancels the request in the engine. An error after the first byte cannot become a status. It becomes the last event, in
the shape that the route's clients know. A silent stream sends a comment every few seconds: proxies cut a connection
that is silent for a minute, and a write to a closed connection shows that the client is gone.

Not here: the content of the events.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.errors import SameboatError
from service.http import problems

HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
KEEP_ALIVE_S = 5.0  # a comment is sent after this many silent seconds
KEEP_ALIVE = b": keep-alive\n\n"


def frame(value: Any, event: str | None = None) -> str:
    """One event. `value` is a text, or a JSON value."""
    data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {event}\n" if event else "") + f"data: {data}\n\n"


class EventStreamResponse(StreamingResponse):
    """A response of events. Its generator is closed in the end, also when the client disconnects."""

    def __init__(self, events: AsyncGenerator[str, None], *, openai: bool) -> None:
        self._events = events
        self._openai = openai
        super().__init__(events, media_type="text/event-stream", headers=HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._events.aclose()

    async def stream_response(self, send: Send) -> None:
        """Send the events, and comments while there are none. A comment stands between two events, never inside one."""
        loop = asyncio.get_running_loop()
        last_s = loop.time()

        async def write(body: bytes) -> None:
            nonlocal last_s
            last_s = loop.time()
            await send({"type": "http.response.body", "body": body, "more_body": True})

        async def keep_alive() -> None:
            while True:
                await asyncio.sleep(last_s + KEEP_ALIVE_S - loop.time())
                if loop.time() >= last_s + KEEP_ALIVE_S:
                    await write(KEEP_ALIVE)

        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        comments = asyncio.create_task(keep_alive())
        try:
            async for event in self._events:
                await write(event.encode())
        except SameboatError as error:
            _, body = problems.body_of(error, openai=self._openai)
            await write(frame(body, None if self._openai else "error").encode())
        finally:
            comments.cancel()
            await asyncio.wait({comments})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def prefetch_first(events: AsyncGenerator[str, None], patience_s: float = KEEP_ALIVE_S) -> PrefetchedStream:
    """The same events after the first one is computed, so that an early error is a status and not an event.

    Waits `patience_s` seconds at most. Then the response starts without an event, so that comments can be sent. Raises
    the error that came in place of the first event.
    """
    stream = PrefetchedStream(events)
    try:
        await stream.wait(patience_s)
    except BaseException:
        await stream.aclose()
        raise
    return stream


class PrefetchedStream(AsyncGenerator[str, None]):
    """Events whose first one is already requested."""

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        self._events = events
        self._first: asyncio.Task[str] | None = asyncio.create_task(_next(events))

    async def wait(self, patience_s: float) -> None:
        """Wait for the first event, for `patience_s` seconds at most. Raises the error that came in its place."""
        assert self._first is not None
        await asyncio.wait({self._first}, timeout=patience_s)
        if self._first.done():
            self._first.result()

    async def __anext__(self) -> str:
        """The next event."""
        first, self._first = self._first, None
        if first is None:
            return await anext(self._events)
        try:
            return await first
        except asyncio.CancelledError:
            await _cancel(first)
            raise

    async def asend(self, value: None) -> str:
        """As `anext`."""
        return await anext(self)

    async def athrow(self, *error: Any) -> str:
        """Raise inside the events."""
        return await self._events.athrow(*error)

    async def aclose(self) -> None:
        """Cancel the first event if it is still awaited, and close the events."""
        first, self._first = self._first, None
        if first is not None:
            await _cancel(first)
        await self._events.aclose()


async def _next(events: AsyncGenerator[str, None]) -> str:
    try:
        return await anext(events)
    except StopAsyncIteration:
        return ""


async def _cancel(task: asyncio.Task[str]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # else asyncio logs that the exception was never retrieved
