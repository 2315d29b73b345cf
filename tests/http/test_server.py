"""The server and its socket: mistakes of clients are not logged, and a process without descriptors keeps running."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import socket
from collections.abc import Iterator

import httpx
import pytest

from service.errors import SettingsError
from service.http import listener
from service.http.server import server_of
from tests.http.conftest import Make
from tests.http.sockets import close_all, connected, free, rest, running
from tests.scripted import ScriptedEngine


@pytest.fixture(autouse=True)
def _sockets_are_closed() -> Iterator[None]:
    yield
    close_all()


def test_bytes_that_are_no_http_after_an_answer_close_the_connection_without_a_log_line(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A probe answers before its body arrives. An error in the body comes after the answer."""
    with running(server_of(make(ScriptedEngine(lambda request: "x"))), free()) as port:
        line = connected(port, b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer = line.recv(65_536)
        line.sendall(b"zz\r\n")
        assert (answer + rest(line)).startswith(b"HTTP/1.1 405 ")
    assert [record.message for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


def test_without_a_file_descriptor_new_connections_are_dropped_and_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each call of `accept` drops one connection from the queue. The log has one line per minute."""
    (listening,) = listener.listen("127.0.0.1", 0, "KEY")
    with listening:
        listening.listen(16)
        port = listening.getsockname()[1]
        clients = [connected(port) for _ in range(5)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))), hard))
        taken = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            for _ in clients:
                with pytest.raises(BlockingIOError):
                    listening.accept()
        finally:
            for each in taken:
                os.close(each)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [rest(client) for client in clients] == [b""] * 5
        assert [record.message for record in caplog.records] == [
            f"{os.strerror(errno.EMFILE)}: connections are dropped, 1 so far."
        ]
        again = connected(port)
        line, address = listening.accept()
        line.close()
        assert address == again.getsockname()


def test_a_port_that_is_taken_is_told_with_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"cannot listen on 127.0.0.1:{port}") as caught:
            listener.listen("127.0.0.1", port, "SAMEBOAT_PORT")
    assert caught.value.key == "SAMEBOAT_PORT"


def test_objects_of_the_start_are_exempt_from_garbage_collection(make: Make) -> None:
    """A full garbage collection blocks the service, and a request with many values can start one."""
    try:
        with running(server_of(make(ScriptedEngine(lambda request: "x"))), free()) as port:
            assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
            assert gc.get_freeze_count() > 100_000
    finally:
        gc.unfreeze()
