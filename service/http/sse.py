"""Server-sent events (WHATWG HTML 9.2): one place that turns a stream of JSON values into a response.

The stream is closed when the client goes, which withdraws the request from the engine. An error after the first byte
cannot become a status any more; it becomes a last event in the shape that the route's clients know.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.errors import SameboatError
from service.http import problems

HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


def frame(value: Any, event: str | None = None) -> str:
    """One event."""
    data = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return (f"event: {event}\n" if event else "") + f"data: {data}\n\n"


class Events(StreamingResponse):
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


async def guarded(events: AsyncGenerator[str, None], *, openai: bool) -> AsyncGenerator[str, None]:
    """The events; an error of ours becomes the last one."""
    try:
        async with contextlib.aclosing(events) as items:
            async for item in items:
                yield item
    except SameboatError as error:
        _, body = problems.body_of(error, openai=openai)
        yield frame(body, None if openai else "error")


async def first_then(events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """The same events, but the first is already computed: an early refusal is still a status and not an event."""
    try:
        head = await anext(events)
    except StopAsyncIteration:
        head = ""

    async def rest() -> AsyncGenerator[str, None]:
        async with contextlib.aclosing(events) as items:
            if head:
                yield head
            async for item in items:
                yield item

    return rest()
