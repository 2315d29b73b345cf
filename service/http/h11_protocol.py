"""uvicorn's HTTP/1.1 protocol with deadlines: for a header, a body, and a client that does not read its answer.

In: what uvicorn gives a protocol, and the port's `Connections`. Out: 408 where a client was too slow and can still be
told, a reset where not. The time in which this side does not read, or computes, is never counted against a client.

Not here: the numbers and who is let in (`connections`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Any

import h11
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.http import problems
from service.http.admission import ALWAYS_ADMITTED
from service.http.connections import ConnectionLimits, Connections, Phase

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is still to be sent is dropped, and its memory with it
FULL_AFTER_S = 5
READ_BYTES = 8192
"""So much is taken from a connection before others have their turn. What arrives is dealt with at once, and a chunk of
one byte costs as long as one of 8 kB: 256 KiB of them, asyncio's usual piece, hold the loop for a second."""
HEADER_BYTES = 32_768  # of one request's header, all its lines together


class DeadlineProtocol(H11Protocol, asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self, *given: Any, table: Connections, **named: Any) -> None:
        super().__init__(*given, **named)
        self.table = table
        self._read = bytearray(READ_BYTES)
        self._received = 0
        self._doing: tuple[Phase, object] = ("header", None)
        self._since = self.loop.time()
        self._received_before = 0
        self._unread: int | None = None  # bytes that waited to be read when the client last took some
        self._unread_since = 0.0

    # Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Enter the port's connections."""
        super().connection_made(transport)
        self.table.entered(self, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave them."""
        self.table.left(self)
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where the next bytes go."""
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        """Count what came, and deal with it."""
        self._received += nbytes
        self.data_received(bytes(self._read[:nbytes]))

    def on_response_complete(self) -> None:
        """An answer is given: this connection was active."""
        self.table.active(self)
        super().on_response_complete()

    def peer(self) -> str:
        """The address that really connected, whatever a proxy says."""
        return self.client[0] if self.client is not None else ""

    def phase(self) -> Phase:
        """What it does now. A body that this side does not read just now counts as being answered."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if self.conn.their_state is h11.SEND_BODY:
            return "answer" if answering and self.flow.read_paused else "body"
        if answering:
            return "answer"
        return "idle" if self.timeout_keep_alive_task is not None else "header"

    def close_idle(self) -> None:
        """Close it; it is in the middle of nothing."""
        self._unset_keepalive_if_required()
        self.transport.close()

    def only_probes(self) -> None:
        """Answer its requests 503 unless they are probes, and close it after the first."""
        self.app = _full(self.app, self.table)

    def cut(self) -> None:
        """Reset it at once: nothing of what is still to be sent stays in memory."""
        sock: socket.socket | None = self.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):  # already gone
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    # Deadlines

    def look(self, now: float, limits: ConnectionLimits) -> None:
        """End it when something took too long."""
        if self._stalls(now, limits):
            self.table.closed("unread")
            self.cut()
            return
        if self.transport.is_closing():
            return
        doing = (self.phase(), self.cycle)
        if doing != self._doing:
            self._doing, self._since, self._received_before = doing, now, self._received
        took, came = now - self._since, self._received - self._received_before
        if doing[0] == "header" and took > limits.header_s:
            self._too_slow(tell=self._received > 0)
        elif doing[0] == "body" and (took > limits.body_s + came / limits.body_rate or took > limits.body_longest_s):
            self._too_slow(tell=True)
        elif doing[0] == "answer" and took > limits.answer_longest_s and self.cycle.response_started:
            self.table.closed("long")
            self.cut()

    def _stalls(self, now: float, limits: ConnectionLimits) -> bool:
        """Whether a client has not read its answer for too long. Nothing is added to what waits while it is paused."""
        waits = self.transport.get_write_buffer_size()
        if not waits or not (self.flow.write_paused or self.transport.is_closing()):
            self._unread = None
            return False
        if self._unread is None or waits <= self._unread - limits.stall_bytes or waits > self._unread:
            self._unread, self._unread_since = waits, now
        return now - self._unread_since > limits.stall_s

    def _too_slow(self, *, tell: bool) -> None:
        self.table.closed("slow")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # whoever waits for the rest hears that its client is gone
            self.cycle.message_event.set()
            tell = tell and not self.cycle.response_started
        if tell and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            text = b"The request did not arrive in time."
            headers = [("content-type", "text/plain"), ("content-length", str(len(text))), ("connection", "close")]
            for event in (
                h11.Response(status_code=408, reason=b"Request Timeout", headers=headers),
                h11.Data(data=text),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    # What strangers send by the thousand is counted, not logged

    def _unsupported_upgrade_warning(self) -> None:
        self.table.closed("upgrade")

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; where an answer was given already, end the connection."""
        self.table.closed("not-http")
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()


def _full(app: Any, table: Connections) -> ASGIApp:
    """The application for who comes when all connections are taken."""

    async def full(scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"].append((b"connection", b"close"))  # answered once, then there is room for another
        if scope["path"] in ALWAYS_ADMITTED:
            await app(scope, receive, send)
            return
        table.closed("connections")
        detail = "All connections are taken. SAMEBOAT_CONNECTIONS says how many there may be."
        after = {"retry-after": str(FULL_AFTER_S)}
        await problems.refuse(scope["path"], 503, "full", "full", detail, after)(scope, receive, send)

    return full
