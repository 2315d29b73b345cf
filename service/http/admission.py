"""Admission control: the size of a body, the number of running requests, the deadline of one request. Pure ASGI.

In: requests as the server passes them. Out: the same requests with a complete body, or 413, 429, 503 and 504.
Not here: time-outs of slow clients (`connections`), and the engine's own queue.

A body is received before its request counts as running. So a slow client blocks no other request. If the client
disconnects during the body, the request never reaches a route. Health probes are always admitted: they matter most
under overload.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http import problems
from service.http.token_bucket import client_address

LINGER_S = 5.0  # how long a rejected body is read on: nginx's lingering_timeout
LINGER_BYTES = 1_048_576
ALWAYS_ADMITTED = {"/healthz", "/readyz", "/metrics", "/version"}
FREE_BYTES = 65_536
"""The first bytes of each body do not count against `bodies_bytes`: small requests pass while large ones wait."""
PIECE_BYTES = 65_536
"""Answers are sent in pieces of this size. The server copies only one piece for a client that does not read."""


class Admission:
    """ASGI middleware that bounds requests and their bodies.

    max_body_bytes: size of one body (413).
    bodies_bytes: size of all bodies together, without the first `FREE_BYTES` of each (503).
    max_active: requests that run at the same time (503).
    per_address: requests that run at the same time for one client address (429). An address for which `is_shared` is
        true has no such limit, because many clients use it.
    deadline_s: seconds until the answer has to begin (504).
    wait_s: gives the seconds for `Retry-After`.
    rejected: is called with the reason of each rejection.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        max_active: int,
        wait_s: Callable[[], float],
        rejected: Callable[[str], None] = lambda reason: None,
        bodies_bytes: int | None = None,
        deadline_s: float | None = None,
        per_address: int | None = None,
        is_shared: Callable[[str], bool] = lambda address: True,
    ) -> None:
        self.app = app
        self.wait_s = wait_s
        self.rejected = rejected
        self.max_body_bytes = max_body_bytes
        self.max_active = max_active
        self.bodies_bytes = bodies_bytes if bodies_bytes is not None else max_active * max_body_bytes
        self.deadline_s = deadline_s
        self.per_address = per_address if per_address is not None else max_active
        self.is_shared = is_shared
        self.active = 0
        self.held_bytes = 0  # of all bodies, without the free bytes of each
        self._active_by_address: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit or reject one request."""
        if scope["type"] != "http" or scope["path"] in ALWAYS_ADMITTED:
            await self.app(scope, receive, send)
            return
        length, chunked, expects = 0, False, False
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = int(value) if value.isdigit() else 0
            elif name == b"transfer-encoding":
                chunked = True
            elif name == b"expect":
                expects = True
        if length > self.max_body_bytes:
            if not expects:  # a client that expects 100 Continue has not sent the body, and will not
                await self._discard(receive)
            await self._reject_size(scope, receive, send)
            return
        if (full := self._full(scope)) is not None:
            await self._reject(scope, receive, send, *full, self._retry_after())
            return
        if not length and not chunked:
            await self._run(scope, receive, send)
            return
        body = BufferedBody(self)
        try:
            failure = await body.read(receive)
            if failure is None and (full := self._full(scope)) is not None:
                await self._reject(scope, receive, send, *full, self._retry_after())
            elif failure is None:
                await self._run(scope, body.replay(receive), send)
            elif failure == "client_disconnected":
                self.rejected(failure)
            else:
                body.release()
                if not body.complete:
                    await self._discard(receive)
                if failure == "too-large":
                    await self._reject_size(scope, receive, send)
                else:
                    detail = (
                        f"All request bodies together may have {self.bodies_bytes} bytes (SAMEBOAT_BODY_BUFFER_BYTES)."
                    )
                    headers = {"connection": "close", **self._retry_after()}
                    await self._reject(scope, receive, send, 503, "full", detail, headers)
        finally:
            body.release()

    def _full(self, scope: Scope) -> tuple[int, str, str] | None:
        """Status, kind and detail of the rejection. None if one more request may run."""
        if self.active >= self.max_active:
            return 503, "full", f"The service is full: {self.active} requests are running."
        if self._active_by_address and self._active_by_address[client_address(scope)] >= self.per_address:
            limit = f"{self.per_address} requests at the same time (SAMEBOAT_CONNECTIONS_PER_ADDRESS)"
            return 429, "busy", f"One address may run {limit}."
        return None

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = client_address(scope)
        counted = not self.is_shared((scope.get("client") or ("",))[0])
        self.active += 1
        if counted:
            self._active_by_address[address] += 1
        started = ended = False

        def end() -> None:
            nonlocal ended
            if ended:
                return
            ended = True
            self.active -= 1
            if counted:
                self._active_by_address[address] -= 1
                if not self._active_by_address[address]:
                    del self._active_by_address[address]

        try:
            async with asyncio.timeout(self.deadline_s) as deadline:

                async def tracked_send(message: Message) -> None:
                    nonlocal started
                    if not started:
                        started = True
                        deadline.reschedule(None)  # from here on the server watches over the answer's end
                    elif not message.get("more_body", False):
                        end()  # the answer is computed. A slow reader holds its connection, and no longer a request
                    if len(message.get("body", b"")) > PIECE_BYTES:
                        await _send_in_pieces(message, send)
                    else:
                        await send(message)

                await self.app(scope, receive, tracked_send)
        except TimeoutError:
            if started or not deadline.expired():
                raise
            detail = f"There was no answer within {self.deadline_s:g} s (SAMEBOAT_REQUEST_DEADLINE_S)."
            await self._reject(scope, receive, send, 504, "deadline-exceeded", detail, {})
        finally:
            end()

    def _retry_after(self) -> dict[str, str]:
        return {"retry-after": str(math.ceil(self.wait_s()))}

    async def _reject_size(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = f"A body may have {self.max_body_bytes} bytes (SAMEBOAT_MAX_BODY_BYTES)."
        await self._reject(scope, receive, send, 413, "too-large", detail, {"connection": "close"})

    async def _discard(self, receive: Receive) -> None:
        """Read on for a while. A client that still sends when the connection closes gets a reset instead of the 413."""
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while size <= max(self.max_body_bytes, LINGER_BYTES):
                    message = await receive()
                    size += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return

    async def _reject(
        self, scope: Scope, receive: Receive, send: Send, status: int, kind: str, detail: str, headers: dict[str, str]
    ) -> None:
        self.rejected(kind)
        await problems.refuse(scope["path"], status, kind, kind, detail, headers)(scope, receive, send)


class BufferedBody:
    """A request's body, from its first byte until the request is answered."""

    def __init__(self, admission: Admission) -> None:
        self.admission = admission
        self.parts: list[bytes] | None = []
        self.bytes = self.held = 0
        self.complete = False

    async def read(self, receive: Receive) -> str | None:
        """Receive the whole body. Returns the reason if that failed: client_disconnected, too-large or full."""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return "client_disconnected"
            assert self.parts is not None
            part = message.get("body", b"")
            self.complete = not message.get("more_body", False)
            self.bytes += len(part)
            held = max(0, self.bytes - FREE_BYTES)
            self.admission.held_bytes += held - self.held
            self.held = held
            if self.bytes > self.admission.max_body_bytes:
                return "too-large"
            if held and self.admission.held_bytes > self.admission.bodies_bytes:
                return "full"
            if part:
                self.parts.append(part)
            if self.complete:
                return None

    def replay(self, receive: Receive) -> Receive:
        """A `receive` for the application: first the whole body, then the messages of the connection."""

        async def replayed() -> Message:
            if self.parts is None:
                return await receive()
            parts, self.parts = self.parts, None
            return {"type": "http.request", "body": b"".join(parts), "more_body": False}

        return replayed

    def release(self) -> None:
        """Give its bytes back to the budget."""
        self.admission.held_bytes -= self.held
        self.held = 0
        self.parts = None


async def _send_in_pieces(message: Message, send: Send) -> None:
    view = memoryview(message["body"])
    for begin in range(0, len(view), PIECE_BYTES):
        last = begin + PIECE_BYTES >= len(view)
        piece = bytes(view[begin : begin + PIECE_BYTES])
        await send({**message, "body": piece, "more_body": message.get("more_body", False) if last else True})
