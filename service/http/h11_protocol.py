"""uvicorn's HTTP/1.1 protocol with time-outs: for a header, a body, and a client that does not read its answer.

In: uvicorn's arguments of a protocol, and the port's `Connections`. Out: 408 for a slow client if no answer has begun,
else a reset. The time in which the service computes or does not read is not counted against the client.
Not here: the limits, and the choice of connections to close (`connections`).
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

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: the kernel drops the unsent bytes and frees their memory
RETRY_AFTER_S = 5
READ_BYTES = 8192
"""Bytes that are read from a connection before others have their turn. A chunk of one byte costs as much time as one of
8 kB: 256 KiB of small chunks, asyncio's usual size, would block the loop for a second."""
HEADER_BYTES = 32_768  # of one request's header, all its lines together


class DeadlineProtocol(H11Protocol, asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self, *given: Any, table: Connections, **named: Any) -> None:
        super().__init__(*given, **named)
        self.table = table
        self._read = bytearray(READ_BYTES)
        self._received = 0
        self._current: tuple[Phase, object] = ("header", None)
        self._since = self.loop.time()
        self._received_before = 0
        self._unread: int | None = None  # bytes in the buffer when the client last read some
        self._unread_since = 0.0

    # Connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register with the port's connections."""
        super().connection_made(transport)
        self.table.opened(self, self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister."""
        self.table.forget(self)
        super().connection_lost(exc)

    def get_buffer(self, sizehint: int) -> bytearray:
        """The buffer for the next bytes."""
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        """Count and process the bytes that arrived."""
        self._received += nbytes
        self.data_received(bytes(self._read[:nbytes]))

    def on_response_complete(self) -> None:
        """An answer is complete: note that the connection was active."""
        self.table.active(self)
        super().on_response_complete()

    def peer(self) -> str:
        """The address of the connection itself, not the one that a proxy forwards."""
        return self.client[0] if self.client is not None else ""

    def phase(self) -> Phase:
        """Its phase now. A body that the service does not read at the moment counts as phase "answer"."""
        answering = self.cycle is not None and not self.cycle.response_complete
        if self.conn.their_state is h11.SEND_BODY:
            return "answer" if answering and self.flow.read_paused else "body"
        if answering:
            return "answer"
        return "idle" if self.timeout_keep_alive_task is not None else "header"

    def close_idle(self) -> None:
        """Close it. It has no request in progress."""
        self._unset_keepalive_if_required()
        self.transport.close()

    def only_probes(self) -> None:
        """Answer 503 to its first request unless that is a probe, then close it."""
        self.app = _only_probes(self.app, self.table)

    def cut(self) -> None:
        """Reset it now. Unsent bytes are dropped from memory."""
        sock: socket.socket | None = self.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):  # already closed
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    # Time-outs

    def check(self, now: float, limits: ConnectionLimits) -> None:
        """Close it if its phase took too long."""
        if self._is_stalled(now, limits):
            self.table.closed("unread")
            self.cut()
            return
        if self.transport.is_closing():
            return
        current = (self.phase(), self.cycle)
        if current != self._current:
            self._current, self._since, self._received_before = current, now, self._received
        took, arrived = now - self._since, self._received - self._received_before
        if current[0] == "header" and took > limits.header_s:
            self._too_slow(tell=self._received > 0)
        elif current[0] == "body" and (
            took > limits.body_s + arrived / limits.body_rate or took > limits.body_longest_s
        ):
            self._too_slow(tell=True)
        elif current[0] == "answer" and took > limits.answer_longest_s and self.cycle.response_started:
            self.table.closed("long")
            self.cut()

    def _is_stalled(self, now: float, limits: ConnectionLimits) -> bool:
        """Whether the client has not read for too long. While writing is paused, the buffer does not grow."""
        waiting = self.transport.get_write_buffer_size()
        if not waiting or not (self.flow.write_paused or self.transport.is_closing()):
            self._unread = None
            return False
        if self._unread is None or waiting <= self._unread - limits.stall_bytes or waiting > self._unread:
            self._unread, self._unread_since = waiting, now
        return now - self._unread_since > limits.stall_s

    def _too_slow(self, *, tell: bool) -> None:
        self.table.closed("slow")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the route receives http.disconnect
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

    # Events that any client can cause a thousand times are counted, not logged

    def _unsupported_upgrade_warning(self) -> None:
        self.table.closed("upgrade")

    def send_400_response(self, msg: str) -> None:
        """Answer 400 to a request that is no HTTP. If an answer has begun, close the connection instead."""
        self.table.closed("not-http")
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()


def _only_probes(app: Any, table: Connections) -> ASGIApp:
    """The application for connections beyond the limits."""

    async def only_probes(scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"].append((b"connection", b"close"))  # one answer, then the connection is free for another client
        if scope["path"] in ALWAYS_ADMITTED:
            await app(scope, receive, send)
            return
        table.closed("connections")
        detail = "All connections are in use. SAMEBOAT_CONNECTIONS sets their number."
        after = {"retry-after": str(RETRY_AFTER_S)}
        await problems.refuse(scope["path"], 503, "full", "full", detail, after)(scope, receive, send)

    return only_probes
