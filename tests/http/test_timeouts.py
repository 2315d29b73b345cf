"""Time-outs: clients that send slowly, send nothing, or do not read are disconnected, and others are not."""

from __future__ import annotations

import contextlib
import functools
import socket
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service import settings as settings_module
from service.http import listener
from service.http.connections import ConnectionLimits, Connections
from service.http.h11_protocol import DeadlineProtocol
from tests.http.conftest import until
from tests.http.sockets import LARGE, OPEN, close_all, connected, limited_port, rest, running

QUICK = ConnectionLimits(header_s=0.3, body_s=0.3, stall_s=0.3, check_s=0.05)


@pytest.fixture(autouse=True)
def _sockets_are_closed() -> Iterator[None]:
    yield
    close_all()


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf", b"HTTP/1.1 408 "),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", b"HTTP/1.1 408 "),
    ],
    ids=["silent", "header", "body", "chunks"],
)
def test_a_client_that_sends_too_slowly_gets_408_and_is_disconnected(sent: bytes, answer: bytes) -> None:
    """The route, if it is reached, hears that its client is gone."""
    ended: list[str] = []
    with limited_port(QUICK, ended) as port:
        assert rest(connected(port, sent)).startswith(answer)
        until(lambda: "slow" in ended, "it is counted")


def test_a_byte_now_and_then_does_not_help_but_a_slow_upload_passes() -> None:
    """The rate decides: 10 bytes a second are too few, 2,000 are enough however long it takes."""
    ended: list[str] = []
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\nConnection: close\r\n\r\n"
    with limited_port(ConnectionLimits(body_s=1.0, body_rate=500, check_s=0.05), ended) as port:
        drip, steady = connected(port, head), connected(port, head)
        for _ in range(15):
            steady.sendall(b"x" * 200)
            with contextlib.suppress(OSError):
                drip.sendall(b"x")
            time.sleep(0.1)
        assert rest(steady).startswith(b"HTTP/1.1 200 ")
        assert b" 200 " not in rest(drip)


def test_a_body_has_an_end_however_fast_it_comes() -> None:
    ended: list[str] = []
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with limited_port(ConnectionLimits(body_longest_s=0.4, check_s=0.05), ended) as port:
        with connected(port, head) as line, contextlib.suppress(OSError):
            for _ in range(200):
                line.sendall(b"100\r\n" + b"x" * 256 + b"\r\n")
                time.sleep(0.02)
            pytest.fail("it was never ended")
        assert "slow" in ended


@pytest.mark.parametrize("sent", [b"1\r\nx\r\n" * 40_000, b"1;" + b"x" * 40 + b"\r\nx\r\n"], ids=["tiny", "extended"])
def test_others_have_their_turn_however_small_the_chunks_are(sent: bytes) -> None:
    """A chunk of one byte takes as long as a large one, so the bytes of one read are bounded."""
    taken: list[int] = []

    class Counting(DeadlineProtocol):
        def data_received(self, data: bytes) -> None:
            taken.append(len(data))
            super().data_received(data)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    config = listener.uvicorn_config(app, settings_module.load(port=0), 0, lifespan="off")
    config.http = functools.partial(Counting, table=Connections(ConnectionLimits()))  # type: ignore[assignment]
    with running(uvicorn.Server(config), list(listener.listen("127.0.0.1", 0, "KEY"))) as port:
        line = connected(port, head + sent + b"0\r\n\r\n")
        assert rest(line).startswith(b"HTTP/1.1 200 ")
    assert sum(taken) == len(head + sent) + 5
    assert max(taken) <= 16_384


def test_a_header_of_thousands_of_lines_is_refused_before_it_is_read() -> None:
    ended: list[str] = []
    with limited_port(ConnectionLimits(), ended) as port:
        lines = connected(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a:\r\n" * 12_000 + b"\r\n")
        assert rest(lines).startswith(b"HTTP/1.1 400 ")
        assert ended == ["not-http"]
        usual = connected(port, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: " + b"c" * 16_000)
        usual.sendall(b"\r\n\r\n")
        assert rest(usual).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_does_not_read_is_reset_and_a_slow_reader_is_not() -> None:
    ended: list[str] = []
    with limited_port(ConnectionLimits(stall_s=0.5, stall_bytes=1000, check_s=0.05), ended) as port:
        deaf = socket.socket()
        OPEN.append(deaf)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", port))
        deaf.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        reader = connected(port, b"GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = 0
        for _ in range(20):  # longer than a stall may last
            received += len(reader.recv(65_536))
            time.sleep(0.05)
        until(lambda: "unread" in ended, "the one that does not read is ended")
        assert received + len(rest(reader)) > len(LARGE)
        assert ended.count("unread") == 1
