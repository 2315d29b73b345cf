"""Raw sockets for the tests of connections: a server with short limits, and clients that send half a request.

In: limits, bytes to send. Out: a port, sockets, the bytes that the server sends back.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from starlette.types import Receive, Scope, Send

from service import settings as settings_module
from service.http import listener
from service.http.connections import ConnectionLimits
from tests.http.conftest import until

LARGE = b"x" * 8_000_000
HALF_A_BODY = (
    b"POST /prompts/greet HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
)
OPEN: list[socket.socket] = []


@contextlib.contextmanager
def running(server: uvicorn.Server, sockets: list[socket.socket]) -> Iterator[int]:
    """The server in a thread. Yields its port."""
    thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive(), "the server starts")
    try:
        yield sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@contextlib.contextmanager
def limited_port(limits: ConnectionLimits, closed: list[str]) -> Iterator[int]:
    """A port behind these limits. It answers a large text to GET, and the body's length to POST."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answer = LARGE if scope["path"] == "/large" else b"ok"
        while scope["method"] == "POST":
            message = await receive()
            if message["type"] == "http.disconnect":
                closed.append("disconnected")
                return
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for begin in range(0, len(answer), 65_536):
            piece = answer[begin : begin + 65_536]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    settings = settings_module.load(port=0)
    config = listener.uvicorn_config(
        app, settings, 0, limits=limits, closed=closed.append, lifespan="off", timeout_graceful_shutdown=1
    )
    with running(uvicorn.Server(config), list(listener.listen("127.0.0.1", 0, "KEY"))) as port:
        yield port


def connected(port: int, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
    OPEN.append(line)
    line.sendall(sent)
    return line


def rest(line: socket.socket) -> bytes:
    """All bytes until the server closes or resets the connection."""
    parts = []
    with line, contextlib.suppress(ConnectionResetError):
        while part := line.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def free() -> list[socket.socket]:
    line = socket.socket()
    line.bind(("127.0.0.1", 0))
    return [line]


def close_all() -> None:
    """Close every socket that `connected` opened."""
    while OPEN:
        OPEN.pop().close()
