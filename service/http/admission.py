"""The door: how large a request may be, and how many are inside. Pure ASGI, so that disconnects stay visible.

Probes pass always: alive and ready must be told most of all when the service is full. The engine's own queue bounds
what waits for tokens; this bounds everything else a client could pile up.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http import problems

LINGER_S = 5.0  # to read what is refused anyway; nginx's lingering_timeout
LINGER_BYTES = 1_048_576
PROBES = {"/healthz", "/readyz", "/metrics", "/version"}


class TooLarge(Exception):
    """A body grew past the limit while it was read."""


class Admission:
    """Refuses bodies over `max_body_bytes` (413) and requests beyond `max_inside` at a time (503).

    `wait_s` says how many seconds after which a refused client should come back; `refused` hears why each one was.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        max_inside: int,
        wait_s: Callable[[], float],
        refused: Callable[[str], None] = lambda kind: None,
    ) -> None:
        self.app = app
        self.wait_s = wait_s
        self.refused = refused
        self.max_body_bytes = max_body_bytes
        self.max_inside = max_inside
        self.inside = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or say why not."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.max_body_bytes:
            if b"expect" not in headers:  # who waits for 100 Continue has sent nothing, and need not
                await self._discard(receive)
            await self._refuse_size(scope, receive, send)
            return
        if self.inside >= self.max_inside:
            detail = f"{self.inside} requests are inside already."
            after = {"retry-after": str(math.ceil(self.wait_s()))}
            await self._refuse(scope, receive, send, 503, "full", detail, after)
            return
        self.inside += 1
        started = too_large = complete = False
        read = 0

        async def counted() -> Message:
            nonlocal read, too_large, complete
            message = await receive()
            complete = not message.get("more_body", False)
            if message["type"] == "http.request":
                read += len(message.get("body", b""))
                if read > self.max_body_bytes:
                    too_large = True
                    raise TooLarge
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            if too_large and not started:
                return  # frameworks turn any error while a body is read into a 400 of their own; ours is 413
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, counted, watched)
        except TooLarge:
            too_large = True
        finally:
            self.inside -= 1
        if too_large and not started:
            if not complete:
                await self._discard(receive)
            await self._refuse_size(scope, receive, send)

    async def _refuse_size(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"The body may have {self.max_body_bytes} bytes (SAMEBOAT_MAX_BODY_BYTES)."
        await self._refuse(scope, receive, send, 413, "too-large", detail, {"connection": "close"})

    async def _discard(self, receive: Receive) -> None:
        """Read on for a while: a client that is still sending when the connection closes gets a reset, not the 413."""
        read = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while read <= max(self.max_body_bytes, LINGER_BYTES):
                    message = await receive()
                    read += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return

    async def _refuse(
        self, scope: Scope, receive: Receive, send: Send, status: int, kind: str, detail: str, headers: dict[str, str]
    ) -> None:
        self.refused(kind)
        if scope["path"].startswith("/v1/"):
            body = problems.openai_error(status, kind, detail, None)
        else:
            body = problems.problem(status, kind, kind, detail)
        await problems.respond(scope["path"], status, body, headers)(scope, receive, send)
