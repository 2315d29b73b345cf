"""The configuration of the load balancer, in a real HAProxy before two processes that end without an answer."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.http.conftest import until
from tests.ports import free_port

CONFIGURATION = Path(__file__).resolve().parent.parent / "deploy" / "balancer" / "haproxy.cfg"
Told = tuple[int, str | None]


class Processes:
    """Two servers. Those that get the next `ending` requests close the connection without an answer."""

    def __init__(self) -> None:
        self.ending = 0
        self.seen: list[str] = []
        self.port = free_port()
        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), self._handler()) for _ in range(2)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        processes = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                processes.seen.append(self.path)
                if processes.ending:
                    processes.ending -= 1
                    self.close_connection = True
                    return
                self.do_GET()

            def log_message(self, format: str, *args: Any) -> None:
                return

        return Handler

    def told(self, path: str, *, ending: int, used: bool = False) -> Told:
        """The balancer's answer. On a `used` connection another request was answered before."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            if used:
                assert ask(connection, "/prompts/x") == (200, None)
            self.seen.clear()
            self.ending = ending
            return ask(connection, path)


def ask(connection: http.client.HTTPConnection, path: str) -> Told:
    """Status and `Retry-After`."""
    connection.request("POST", path, body=b"{}")
    response = connection.getresponse()
    response.read()
    return response.status, response.getheader("Retry-After")


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    if shutil.which("haproxy") is None:
        pytest.skip("HAProxy is not installed")
    made = Processes()
    head, _, _ = CONFIGURATION.read_text(encoding="utf-8").partition("    server-template")
    named = [f"    server s{at} 127.0.0.1:{server.server_address[1]}\n" for at, server in enumerate(made.servers)]
    path = tmp_path_factory.mktemp("balancer") / "haproxy.cfg"
    path.write_text(head + "".join(named), encoding="utf-8")
    address = {"BALANCER_ADDRESS": f"127.0.0.1:{made.port}", "BALANCER_CONNECTIONS": "100", "API_NAME": "localhost"}
    command = ["haproxy", "-db", "-f", str(path)]
    process = subprocess.Popen(
        command, env={**os.environ, **address}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def answers() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=30)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            return ask(connection, "/prompts/x")[0] == 200
        return False

    try:
        until(answers, "the balancer answers")
        yield made
    finally:
        process.terminate()
        process.wait(30)
        for server in made.servers:
            server.shutdown()
            server.server_close()


@pytest.mark.parametrize("used", [False, True], ids=["new connection", "used connection"])
def test_a_request_whose_process_ends_is_answered_by_the_other_one(processes: Processes, used: bool) -> None:
    """HAProxy would else close a used connection without an answer."""
    for path in ("/prompts/x", "/v1/chat/completions", "/api-endpoint"):
        assert processes.told(path, ending=1, used=used) == (200, None)
        assert processes.seen == [path, path]


def test_a_second_process_that_ends_is_told_with_retry_after(processes: Processes) -> None:
    assert processes.told("/prompts/x", ending=2) == (502, "1")
    assert (len(processes.seen), processes.ending) == (2, 0)


def test_a_request_that_starts_a_build_or_pushes_is_not_sent_twice(processes: Processes) -> None:
    for path in ("/builds", "/git/task.git/git-receive-pack"):
        assert processes.told(path, ending=1) == (502, "1")
        assert processes.seen == [path]
