"""The door: how large a request may be, how many are inside, and how long one may take. Pure ASGI.

In: requests as the server hands them over. Out: whole requests for the application, or 413, 429, 503 and 504. A body
is received before its request takes a place inside, so a slow client holds no place, and one that leaves in the middle
of its body never reaches a route.

Probes pass always: alive and ready must be told most of all when the service is full. The engine's own queue bounds
what waits for tokens; this bounds everything else a client could pile up.

Not here: how slow a client may be (`connections`).
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

LINGER_S = 5.0  # to read what is refused anyway; nginx's lingering_timeout
LINGER_BYTES = 1_048_576
PROBES = {"/healthz", "/readyz", "/metrics", "/version"}
FREE_BYTES = 65_536
"""So much of a body is not counted against the budget of all bodies: small requests pass while large ones wait."""
PIECE_BYTES = 65_536
"""Answers go to the server in pieces of this size, so that what a client does not read is not copied for it."""


class Admission:
    """Refuses bodies over `max_body_bytes` (413), and over `bodies_bytes` together (503), and requests beyond
    `max_active` at a time (503), or beyond `per_address` of one forwarded address (429).

    A request that has no answer after `deadline_s` is answered 504. `wait_s` says how many seconds after which a
    refused client should come back; `refused` hears why each one was. `direct` says of an address that requests of
    many clients come from it, so it is not limited.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        max_active: int,
        wait_s: Callable[[], float],
        refused: Callable[[str], None] = lambda kind: None,
        bodies_bytes: int | None = None,
        deadline_s: float | None = None,
        per_address: int | None = None,
        direct: Callable[[str], bool] = lambda address: True,
    ) -> None:
        self.app = app
        self.wait_s = wait_s
        self.refused = refused
        self.max_body_bytes = max_body_bytes
        self.max_active = max_active
        self.bodies_bytes = bodies_bytes if bodies_bytes is not None else max_active * max_body_bytes
        self.deadline_s = deadline_s
        self.per_address = per_address if per_address is not None else max_active
        self.direct = direct
        self.active = 0
        self.held_bytes = 0  # of bodies, beyond the free bytes of each
        self._of_address: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, or say why not."""
        if scope["type"] != "http" or scope["path"] in PROBES:
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
            if not expects:  # who waits for 100 Continue has sent nothing, and need not
                await self._discard(receive)
            await self._refuse_size(scope, receive, send)
            return
        if (full := self._full(scope)) is not None:
            await self._refuse(scope, receive, send, *full, self._after())
            return
        if not length and not chunked:
            await self._enter(scope, receive, send)
            return
        body = BufferedBody(self)
        try:
            refusal = await body.read(receive)
            if refusal is None and (full := self._full(scope)) is not None:
                await self._refuse(scope, receive, send, *full, self._after())
            elif refusal is None:
                await self._enter(scope, body.again(receive), send)
            elif refusal == "left":
                self.refused("left")
            else:
                body.drop()
                if not body.complete:
                    await self._discard(receive)
                if refusal == "too-large":
                    await self._refuse_size(scope, receive, send)
                else:
                    detail = f"Bodies under way may have {self.bodies_bytes} bytes together (SAMEBOAT_BODIES_BYTES)."
                    headers = {"connection": "close", **self._after()}
                    await self._refuse(scope, receive, send, 503, "full", detail, headers)
        finally:
            body.drop()

    def _full(self, scope: Scope) -> tuple[int, str, str] | None:
        """Status, kind and detail where there is no place."""
        if self.active >= self.max_active:
            return 503, "full", f"{self.active} requests are inside already."
        if self._of_address and self._of_address[client_address(scope)] >= self.per_address:
            detail = f"{self.per_address} requests of one address may be inside (SAMEBOAT_CONNECTIONS_PER_ADDRESS)."
            return 429, "busy", detail
        return None

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = client_address(scope)
        counted = not self.direct((scope.get("client") or ("",))[0])
        self.active += 1
        if counted:
            self._of_address[address] += 1
        started = left = False

        def leave() -> None:
            nonlocal left
            if left:
                return
            left = True
            self.active -= 1
            if counted:
                self._of_address[address] -= 1
                if not self._of_address[address]:
                    del self._of_address[address]

        try:
            async with asyncio.timeout(self.deadline_s) as limit:

                async def passed(message: Message) -> None:
                    nonlocal started
                    if not started:
                        started = True
                        limit.reschedule(None)  # it answers; from here on the server watches that it ends
                    elif not message.get("more_body", False):
                        leave()  # its work is done; a client that reads slowly holds a connection and no place
                    if len(message.get("body", b"")) > PIECE_BYTES:
                        await _in_pieces(message, send)
                    else:
                        await send(message)

                await self.app(scope, receive, passed)
        except TimeoutError:
            if started or not limit.expired():
                raise
            detail = f"There was no answer within {self.deadline_s:g} s (SAMEBOAT_REQUEST_DEADLINE_S)."
            await self._refuse(scope, receive, send, 504, "deadline-exceeded", detail, {})
        finally:
            leave()

    def _after(self) -> dict[str, str]:
        return {"retry-after": str(math.ceil(self.wait_s()))}

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
        await problems.refuse(scope["path"], status, kind, kind, detail, headers)(scope, receive, send)


class BufferedBody:
    """A body while it is received, and until its request has been answered."""

    def __init__(self, door: Admission) -> None:
        self.door = door
        self.parts: list[bytes] | None = []
        self.bytes = self.held = 0
        self.complete = False

    async def read(self, receive: Receive) -> str | None:
        """Receive all of it. Gives why that was not possible: left, too-large or full."""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return "left"
            assert self.parts is not None
            part = message.get("body", b"")
            self.complete = not message.get("more_body", False)
            self.bytes += len(part)
            held = max(0, self.bytes - FREE_BYTES)
            self.door.held_bytes += held - self.held
            self.held = held
            if self.bytes > self.door.max_body_bytes:
                return "too-large"
            if held and self.door.held_bytes > self.door.bodies_bytes:
                return "full"
            if part:
                self.parts.append(part)
            if self.complete:
                return None

    def again(self, receive: Receive) -> Receive:
        """What the application receives: the whole body, then what the connection says."""

        async def received() -> Message:
            if self.parts is None:
                return await receive()
            parts, self.parts = self.parts, None
            return {"type": "http.request", "body": b"".join(parts), "more_body": False}

        return received

    def drop(self) -> None:
        """Give its bytes back to the budget."""
        self.door.held_bytes -= self.held
        self.held = 0
        self.parts = None


async def _in_pieces(message: Message, send: Send) -> None:
    view = memoryview(message["body"])
    for begin in range(0, len(view), PIECE_BYTES):
        last = begin + PIECE_BYTES >= len(view)
        piece = bytes(view[begin : begin + PIECE_BYTES])
        await send({**message, "body": piece, "more_body": message.get("more_body", False) if last else True})
