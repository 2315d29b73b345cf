"""Connections: slow, silent and unreading clients end and keep nobody out; what is beyond the limits is told."""

from __future__ import annotations

import contextlib
import errno
import functools
import gc
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service import settings as settings_module
from service.errors import SettingsError
from service.http import listener
from service.http.admission import Admission
from service.http.connections import ConnectionLimits, Connections, Phase, network, trusts
from service.http.h11_protocol import DeadlineProtocol
from service.http.server import server_of
from tests.http.conftest import Held, Make, until
from tests.scripted import ScriptedEngine

QUICK = ConnectionLimits(header_s=0.3, body_s=0.3, stall_s=0.3, check_s=0.05)
LARGE = b"x" * 8_000_000
HALF_A_BODY = (
    b"POST /prompts/greet HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
)


@contextlib.contextmanager
def running(server: uvicorn.Server, sockets: list[socket.socket]) -> Iterator[int]:
    """The server in a thread; gives its port."""
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
def guarded(limits: ConnectionLimits, ended: list[str]) -> Iterator[int]:
    """A port behind these limits. It answers a large text to GET, and the body's length to POST."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answer = LARGE if scope["path"] == "/large" else b"ok"
        while scope["method"] == "POST":
            message = await receive()
            if message["type"] == "http.disconnect":
                ended.append("left")
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
        app, settings, 0, limits=limits, closed=ended.append, lifespan="off", timeout_graceful_shutdown=1
    )
    with running(uvicorn.Server(config), list(listener.listen("127.0.0.1", 0, "KEY"))) as port:
        yield port


OPENED: list[socket.socket] = []


@pytest.fixture(autouse=True)
def closed_afterwards() -> Iterator[None]:
    """Close what a test has opened, however it ends."""
    yield
    hang_up()


def hang_up() -> None:
    while OPENED:
        OPENED.pop().close()


def connected(port: int, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
    OPENED.append(line)
    line.sendall(sent)
    return line


def rest(line: socket.socket) -> bytes:
    """Everything until the server closes; a reset is an end too."""
    parts = []
    with line, contextlib.suppress(ConnectionResetError):
        while part := line.recv(65_536):
            parts.append(part)
    return b"".join(parts)


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
def test_who_sends_too_slowly_is_told_and_let_go(sent: bytes, answer: bytes) -> None:
    """The route, if it is reached, hears that its client is gone."""
    ended: list[str] = []
    with guarded(QUICK, ended) as port:
        assert rest(connected(port, sent)).startswith(answer)
        until(lambda: "slow" in ended, "it is counted")


def test_a_byte_now_and_then_does_not_help_but_a_slow_upload_passes() -> None:
    """The rate decides: 10 bytes a second are too few, 2,000 are enough however long it takes."""
    ended: list[str] = []
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000\r\nConnection: close\r\n\r\n"
    with guarded(ConnectionLimits(body_s=1.0, body_rate=500, check_s=0.05), ended) as port:
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
    with guarded(ConnectionLimits(body_longest_s=0.4, check_s=0.05), ended) as port:
        with connected(port, head) as line, contextlib.suppress(OSError):
            for _ in range(200):
                line.sendall(b"100\r\n" + b"x" * 256 + b"\r\n")
                time.sleep(0.02)
            pytest.fail("it was never ended")
        assert "slow" in ended


@pytest.mark.parametrize("sent", [b"1\r\nx\r\n" * 40_000, b"1;" + b"x" * 40 + b"\r\nx\r\n"], ids=["tiny", "extended"])
def test_others_have_their_turn_however_small_the_chunks_are(sent: bytes) -> None:
    """A chunk of one byte costs as long as a large one, so what is dealt with at a time is bounded in bytes."""
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
    with guarded(ConnectionLimits(), ended) as port:
        lines = connected(port, b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a:\r\n" * 12_000 + b"\r\n")
        assert rest(lines).startswith(b"HTTP/1.1 400 ")
        assert ended == ["not-http"]
        usual = connected(port, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: " + b"c" * 16_000)
        usual.sendall(b"\r\n\r\n")
        assert rest(usual).startswith(b"HTTP/1.1 200 ")


def test_who_does_not_read_is_reset_and_who_reads_slowly_is_not() -> None:
    ended: list[str] = []
    with guarded(ConnectionLimits(stall_s=0.5, stall_bytes=1000, check_s=0.05), ended) as port:
        deaf = socket.socket()
        OPENED.append(deaf)
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


def test_idle_connections_make_room_and_probes_are_answered_when_there_is_none() -> None:
    ended: list[str] = []
    with guarded(ConnectionLimits(connections=4, reserve=3), ended) as port:
        silent = [connected(port) for _ in range(4)]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/").status_code == 200
        assert rest(silent[0]) == b"", "the one that was silent longest was closed"
        for _ in range(5):
            connected(port, HALF_A_BODY)
        until(lambda: ended.count("idle") >= 3, "the other silent ones are closed")
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        hang_up()


def test_an_address_over_its_part_gets_probes_and_503_and_others_everything() -> None:
    ended: list[str] = []
    with guarded(ConnectionLimits(per_address=2), ended) as port:
        for _ in range(2):
            connected(port, HALF_A_BODY, "127.0.0.2")
        time.sleep(0.2)
        probe, other = (
            rest(connected(port, b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", "127.0.0.2"))
            for path in (b"/healthz", b"/v1/models")
        )
        assert probe.startswith(b"HTTP/1.1 200 ")
        assert other.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: " in other.lower()
        assert b'"code":"full"' in other
        assert httpx.get(f"http://127.0.0.1:{port}/v1/models").status_code == 200
        hang_up()


class OneConnection:
    """A connection of the policy's tests."""

    def __init__(self, address: str, phase: Phase = "body") -> None:
        self.address, self.now, self.did = address, phase, ""

    def phase(self) -> Phase:
        return self.now

    def peer(self) -> str:
        return self.address

    def check(self, now: float, limits: ConnectionLimits) -> None: ...

    def close_idle(self) -> None:
        self.did = "closed"

    def only_probes(self) -> None:
        self.did = "probes"

    def cut(self) -> None:
        self.did = "cut"


class NoLoop:
    def call_later(self, *given: Any) -> object:
        return object()


def entered(table: Connections, address: str, phase: Phase = "body") -> OneConnection:
    connection = OneConnection(address, phase)
    table.opened(connection, NoLoop())  # type: ignore[arg-type]
    return connection


def test_one_address_takes_no_more_than_its_part_and_keeps_no_other_out() -> None:
    """A trusted proxy stands for many clients; a /64 of IPv6 is one client; who leaves gives its part back."""
    table = Connections(ConnectionLimits(connections=100, per_address=2), trusts("10.0.0.0/8"))
    first, _, third = (entered(table, "192.0.2.1") for _ in range(3))
    assert third.did == "probes"
    assert entered(table, "192.0.2.2").did == ""
    assert {entered(table, "10.1.2.3").did for _ in range(10)} == {""}
    assert [entered(table, f"2001:db8::{number}").did for number in range(1, 4)] == ["", "", "probes"]
    table.forget(first)
    table.forget(third)
    table.forget(third)
    assert entered(table, "192.0.2.1").did == ""


def test_an_address_over_its_part_loses_its_own_idle_connections_first() -> None:
    table = Connections(ConnectionLimits(connections=100, per_address=2))
    stranger, own = entered(table, "192.0.2.9", "idle"), entered(table, "192.0.2.1", "idle")
    entered(table, "192.0.2.1")
    assert entered(table, "192.0.2.1").did == ""
    assert (stranger.did, own.did) == ("", "closed")


def test_beyond_the_limit_this_machine_is_served_others_are_probed_and_then_cut() -> None:
    table = Connections(ConnectionLimits(connections=2, per_address=100, reserve=2))
    for _ in range(2):
        entered(table, "192.0.2.1")
    assert entered(table, "127.0.0.1").did == ""
    assert entered(table, "192.0.2.2").did == "probes"
    assert entered(table, "192.0.2.2").did == "cut"
    assert len(table) == 4


def test_the_least_recently_active_connection_is_closed_for_room() -> None:
    table = Connections(ConnectionLimits(connections=2))
    first, second = entered(table, "192.0.2.1", "idle"), entered(table, "192.0.2.1", "idle")
    table.active(first)
    entered(table, "192.0.2.1")
    assert (first.did, second.did) == ("", "closed")


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::5", "2001:db8::/64"), ("", "")],
)
def test_what_counts_as_one_client(address: str, counts_as: str) -> None:
    assert network(address) == counts_as


def test_trusted_proxies_are_addresses_or_networks() -> None:
    trusted = trusts("127.0.0.1, 10.0.0.0/8,proxy")
    assert [trusted(each) for each in ("127.0.0.1", "10.9.9.9", "proxy", "127.0.0.2", "", "else")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert trusts("*")("192.0.2.1")


def test_slow_bodies_hold_no_place_inside(make: Make) -> None:
    """Four places, eight clients in the middle of a body: everybody else is answered."""
    server = server_of(make(ScriptedEngine(lambda request: "x"), queue_requests=1, parallel=1))
    with running(server, free()) as port:
        for _ in range(8):
            connected(port, HALF_A_BODY)
        time.sleep(0.5)
        assert httpx.get(f"http://127.0.0.1:{port}/prompts").status_code == 200
        hang_up()


def free() -> list[socket.socket]:
    line = socket.socket()
    line.bind(("127.0.0.1", 0))
    return [line]


def test_a_request_without_a_deadline_of_its_own_has_the_servers(make: Make) -> None:
    """504 in each API's shape; a stream that has begun goes on."""
    engine = Held(first=0)
    with running(server_of(make(engine, request_deadline_s=0.2)), free()) as port:
        url = f"http://127.0.0.1:{port}"
        ours = httpx.post(f"{url}/prompts/greet", json={"inputs": {"name": "Ada"}}, timeout=30)
        theirs = httpx.post(f"{url}/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}]})
        assert (ours.status_code, ours.json()["type"]) == (504, "urn:sameboat:deadline-exceeded")
        assert (theirs.status_code, theirs.json()["error"]["code"]) == (504, "deadline-exceeded")
        until(lambda: engine.cancelled == 2, "both are withdrawn")


def test_bodies_under_way_have_a_budget_together_and_small_ones_pass(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"), body_buffer_bytes=300_000)
    head = HALF_A_BODY.replace(b"Length: 99", b"Length: 250000")
    with running(server_of(app), free()) as port:
        held = [connected(port, head + b"x" * 200_000) for _ in range(2)]
        time.sleep(0.5)
        refused = connected(port, head + b"x" * 249_999)
        answer = rest(refused)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: " in answer.lower()
        url = f"http://127.0.0.1:{port}/prompts/greet"
        assert httpx.post(url, json={"inputs": {"name": "Ada"}}).status_code == 200
        for line in held:
            line.close()
        until(lambda: httpx.post(url, content=b" " * 250_000).status_code == 400, "their bytes are given back")


def test_a_client_that_leaves_while_it_posts_is_counted_and_is_no_error(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with running(server_of(make(ScriptedEngine(lambda request: "x"))), free()) as port:
        for path in (b"/prompts/greet", b"/v1/chat/completions", b"/api-endpoint", b"/nothing"):
            connected(port, HALF_A_BODY.replace(b"/prompts/greet", path)).close()
        metrics = f"http://127.0.0.1:{port}/metrics"
        until(lambda: 'refused_at_the_door_total{kind="left"} 4.0' in httpx.get(metrics).text, "all four are counted")
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


def test_what_is_no_http_behind_an_answer_ends_the_connection_and_is_no_error(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """A probe answers without its body; what is wrong with that comes when nothing can be answered any more."""
    with running(server_of(make(ScriptedEngine(lambda request: "x"))), free()) as port:
        line = connected(port, b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        answer = line.recv(65_536)
        line.sendall(b"zz\r\n")
        assert (answer + rest(line)).startswith(b"HTTP/1.1 405 ")
    assert [record.message for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []


def test_without_a_file_descriptor_left_who_connects_is_dropped_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The queue is emptied, one call for each connection; the log has one line a minute."""
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


def test_what_a_started_service_holds_is_not_looked_through_again(make: Make) -> None:
    """A full collection stops everything for as long as it takes; a request with many values begins one."""
    try:
        with running(server_of(make(ScriptedEngine(lambda request: "x"))), free()) as port:
            assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
            assert gc.get_freeze_count() > 100_000
    finally:
        gc.unfreeze()


def test_forwarded_addresses_of_one_subscriber_share_their_places(make: Make) -> None:
    """Behind a proxy as without one: who has a /64 network does not get a place for each of its addresses."""
    door = Admission(
        make(ScriptedEngine(lambda request: "x")), max_body_bytes=10, max_active=10, per_address=1, wait_s=lambda: 1.0,
        is_shared=lambda address: False,
    )  # fmt: skip
    door._active_by_address["2001:db8::/64"] = 1
    assert door._full({"client": ("2001:db8::77", 0)}) is not None
    assert door._full({"client": ("2001:db8:0:1::77", 0)}) is None
