"""Admission control as a pure ASGI middleware: each limit at its boundary, and the counts afterwards.

The requests are messages, without a server. `test_overload.py` has the same limits with real sockets.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.http import admission
from service.http.admission import ALWAYS_ADMITTED, FREE_BYTES, PIECE_BYTES, Admission

App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the length of the body."""
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(len(message["body"])).encode()})


class Client:
    """One request. It gives the middleware its messages, and keeps the answer."""

    def __init__(self, *parts: bytes, path: str = "/", address: str = "192.0.2.1", **headers: str) -> None:
        self.scope = {
            "type": "http",
            "path": path,
            "client": (address, 1),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
        self.parts, self.received = list(parts), 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        self.received += 1
        if not self.parts:
            return {"type": "http.disconnect"}
        part = self.parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self.parts)}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self, app: App) -> Client:
        await app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int | None:
        return self.sent[0]["status"] if self.sent else None

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])


def guard(app: App = echo, **limits: Any) -> tuple[Admission, list[str]]:
    """The middleware around an application, and the reasons of its rejections."""
    reasons: list[str] = []
    options: dict[str, Any] = {"max_body_bytes": 100, "max_active": 2, "wait_s": lambda: 1.5, **limits}
    return Admission(app, rejected=reasons.append, **options), reasons


def run(app: App, *clients: Client) -> list[Client]:
    """The requests, one after the other."""

    async def all_of_them() -> list[Client]:
        return [await client.run(app) for client in clients]

    return asyncio.run(all_of_them())


def idle(middleware: Admission) -> bool:
    """Whether nothing is counted any more."""
    return (middleware.active, middleware.held_bytes, dict(middleware._active_by_address)) == (0, 0, {})


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_may_have_its_limit_and_not_a_byte_more(chunked: bool) -> None:
    def upload(size: int) -> Client:
        body = b"x" * size
        if chunked:
            return Client(body[:50], body[50:], transfer_encoding="chunked")
        return Client(body, content_length=str(size))

    middleware, reasons = guard()
    fits, exceeds = run(middleware, upload(100), upload(101))
    assert (fits.status, fits.body) == (200, b"100")
    assert exceeds.status == 413
    assert exceeds.headers[b"connection"] == b"close"
    assert "100 bytes" in json.loads(exceeds.body)["detail"]
    assert reasons == ["too-large"]
    assert idle(middleware)


def test_a_client_that_expects_100_continue_is_rejected_without_reading_its_body() -> None:
    middleware, _ = guard()
    waits, sends = run(
        middleware,
        Client(b"x", content_length="101", expect="100-continue"),
        Client(b"x" * 60, b"x" * 41, content_length="101"),
    )
    assert (waits.status, waits.received) == (413, 0)
    assert (sends.status, sends.received) == (413, 2), "the rest of the body is read before the connection closes"


def test_the_rest_of_a_rejected_body_is_read_to_its_limit_only() -> None:
    endless = Client(*[b"x" * admission.LINGER_BYTES] * 5, content_length="10000000")
    run(guard()[0], endless)
    assert (endless.status, endless.received) == (413, 2), "exactly the limit is read, and the next part ends it"


def test_a_content_length_that_is_no_number_does_not_break_the_middleware() -> None:
    assert run(guard()[0], Client(b"", content_length="ten"))[0].status == 200


class Waiting:
    """An application that answers after `go` is set."""

    def __init__(self) -> None:
        self.go, self.arrived, self.running = asyncio.Event(), asyncio.Semaphore(0), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.running += 1
        self.arrived.release()
        await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def started(middleware: Admission, app: Waiting, *clients: Client) -> list[asyncio.Task[Client]]:
    """The requests as tasks, after all of them have reached the application."""
    tasks = [asyncio.create_task(client.run(middleware)) for client in clients]
    for _ in clients:
        await asyncio.wait_for(app.arrived.acquire(), 5)
    return tasks


def test_one_request_more_than_may_run_is_503_with_the_seconds_to_wait() -> None:
    app = Waiting()
    middleware, reasons = guard(app)

    async def scenario() -> list[Client]:
        tasks = await started(middleware, app, Client(), Client())
        rejected = await Client().run(middleware)
        with_body = await Client(b"x", content_length="1").run(middleware)
        probes = await started(middleware, app, *(Client(path=path) for path in sorted(ALWAYS_ADMITTED)))
        app.go.set()
        return [rejected, with_body, *await asyncio.gather(*tasks, *probes), await Client().run(middleware)]

    rejected, with_body, *admitted = asyncio.run(scenario())
    assert (rejected.status, rejected.headers[b"retry-after"]) == (503, b"2")
    assert (with_body.status, with_body.received) == (503, 0)
    assert [client.status for client in admitted] == [200] * (2 + len(ALWAYS_ADMITTED) + 1)
    assert reasons == ["full", "full"]
    assert idle(middleware)


def test_a_request_is_rejected_if_the_service_became_full_while_its_body_arrived() -> None:
    app = Waiting()
    middleware, reasons = guard(app, max_active=1)

    class Slow(Client):
        async def receive(self) -> Message:
            if self.received == 0:
                self.others = await started(middleware, app, Client())
            return await super().receive()

    async def scenario() -> Client:
        slow = await Slow(b"x", content_length="1").run(middleware)
        app.go.set()
        await asyncio.gather(*slow.others)
        return slow

    assert asyncio.run(scenario()).status == 503
    assert (app.running, reasons) == (1, ["full"])
    assert idle(middleware)


def test_an_address_has_a_limit_of_its_own_unless_it_is_shared() -> None:
    """The addresses of one /64 network count as one."""
    app = Waiting()
    middleware, reasons = guard(app, max_active=9, per_address=1, is_shared=lambda address: address == "10.0.0.1")

    async def scenario() -> list[Client]:
        tasks = await started(middleware, app, Client(address="2001:db8::1"))
        same = await Client(address="2001:db8::2").run(middleware)
        tasks += await started(middleware, app, Client(address="2001:db8:0:1::1"))
        tasks += await started(middleware, app, *(Client(address="10.0.0.1") for _ in range(3)))
        app.go.set()
        return [same, *await asyncio.gather(*tasks)]

    same, *others = asyncio.run(scenario())
    assert (same.status, reasons) == (429, ["busy"])
    assert [client.status for client in others] == [200] * 5
    assert idle(middleware)


def test_all_bodies_together_have_a_budget_and_the_first_bytes_of_each_are_free() -> None:
    """The bytes of a body are held until its request is answered."""
    app = Waiting()
    middleware, reasons = guard(app, max_body_bytes=10**6, max_active=9, bodies_bytes=1000)

    def upload(counted: int) -> Client:
        return Client(b"x" * (FREE_BYTES + counted), content_length=str(FREE_BYTES + counted))

    async def scenario() -> list[Client]:
        tasks = await started(middleware, app, upload(600))
        exceeds = await upload(401).run(middleware)
        held = middleware.held_bytes
        tasks += await started(middleware, app, upload(400), upload(0))
        assert (held, middleware.held_bytes) == (600, 1000)
        app.go.set()
        return [exceeds, *await asyncio.gather(*tasks)]

    exceeds, *others = asyncio.run(scenario())
    assert (exceeds.status, exceeds.headers[b"retry-after"], exceeds.headers[b"connection"]) == (503, b"2", b"close")
    assert exceeds.received == 1, "a complete body needs no further reading"
    assert [client.status for client in others] == [200] * 3
    assert reasons == ["full"]
    assert idle(middleware)


def test_the_default_budget_holds_a_body_for_every_request() -> None:
    assert guard(max_body_bytes=70, max_active=3)[0].bodies_bytes == 210


def test_a_client_that_disconnects_during_its_body_reaches_no_route() -> None:
    app = Waiting()
    middleware, reasons = guard(app)
    client = Client(content_length="10")
    run(middleware, client)
    assert (client.sent, app.running, reasons) == ([], 0, ["client_disconnected"])
    assert idle(middleware)


def test_the_application_gets_the_whole_body_first_and_then_the_connections_messages() -> None:
    messages: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        messages.extend([await receive(), await receive()])

    run(guard(app)[0], Client(b"ab", b"cd", content_length="4"))
    assert messages == [{"type": "http.request", "body": b"abcd", "more_body": False}, {"type": "http.disconnect"}]


def test_a_request_without_an_answer_by_its_deadline_is_504() -> None:
    middleware, reasons = guard(Waiting(), deadline_s=0.01)
    (client,) = run(middleware, Client())
    assert (client.status, reasons) == (504, ["deadline-exceeded"])
    assert idle(middleware)


def test_an_answer_that_has_begun_has_no_deadline_and_the_applications_own_time_out_is_an_error() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b"late"})

    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError("of the application")

    assert run(guard(slow, deadline_s=0.01)[0], Client())[0].body == b"late"
    middleware, reasons = guard(fails, deadline_s=60)
    with pytest.raises(TimeoutError, match="of the application"):
        run(middleware, Client())
    assert reasons == []
    assert idle(middleware)


def test_a_request_stops_counting_when_the_last_part_of_its_answer_is_sent() -> None:
    """A client that reads slowly holds its connection, and no longer a request."""
    active: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        active.append(middleware.active)
        await send({"type": "http.response.body", "body": b"b"})
        active.append(middleware.active)

    middleware, _ = guard(app)
    run(middleware, Client())
    assert active == [1, 0]
    assert idle(middleware)


@pytest.mark.parametrize("more", [None, False, True])
@pytest.mark.parametrize(("size", "pieces"), [(PIECE_BYTES, 1), (PIECE_BYTES + 1, 2), (2 * PIECE_BYTES, 2)])
def test_a_large_answer_is_sent_in_pieces(size: int, pieces: int, more: bool | None) -> None:
    """A message without `more_body` is the last one."""
    rest = {} if more is None else {"more_body": more}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * size, **rest})

    (client,) = run(guard(app)[0], Client())
    assert len(client.body) == size
    assert [message.get("more_body", False) for message in client.sent[1:]] == [True] * (pieces - 1) + [bool(more)]


def test_other_protocols_pass() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    client = Client()
    client.scope["type"] = "lifespan"
    run(guard(app, max_active=0)[0], client)
    assert seen == ["lifespan"]
