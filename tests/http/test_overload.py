"""Overload, by a real server: bodies that are too large, a full service, slow uploads, a request without an answer."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from service.http.server import server_of
from tests.http.conftest import Held, Make, serving, until
from tests.http.sockets import HALF_A_BODY, close_all, connected, free, rest, running
from tests.scripted import ScriptedEngine

PROMPT = ("/prompts/greet", {"inputs": {"name": "Ada"}})


@pytest.fixture(autouse=True)
def _sockets_are_closed() -> Iterator[None]:
    yield
    close_all()


@pytest.mark.parametrize("path", ["/prompts/greet", "/v1/chat/completions"])
def test_too_large_is_413_declared_or_in_chunks(make: Make, path: str) -> None:
    engine = ScriptedEngine(lambda request: "x")

    def chunks() -> Iterator[bytes]:
        yield from (b'{"inputs": "' + b"x" * 1000 for _ in range(20))

    json = {"content-type": "application/json"}
    with serving(make(engine, max_body_bytes=4096)) as url, httpx.Client(base_url=url) as client:
        for content in (b"x" * 20_000, chunks()):
            response = client.post(path, content=content, headers=json)
            assert response.status_code == 413
            assert "4096" in response.text
        assert client.post(path, content=b'{"a": ' + b" " * 4000 + b"1}", headers=json).status_code == 400
    assert engine.asked == []


def test_when_it_is_full_it_says_so_and_when_they_leave_it_is_not(make: Make) -> None:
    engine = Held(first=1)
    engine.numbers = {"queue_wait_s": 7.3}
    with serving(make(engine, queue_requests=1, parallel=1)) as url, httpx.Client(base_url=url) as client:
        path, body = PROMPT
        with httpx.Client(base_url=url) as others:
            held = [others.send(others.build_request("POST", path, json={**body, "stream": True}), stream=True)
                    for _ in range(4)]  # fmt: skip
            until(lambda: len(engine.asked) == 4, "all are inside")
            ours, theirs = client.get("/prompts"), client.get("/v1/models")
            assert (ours.status_code, theirs.status_code) == (503, 503)
            assert int(ours.headers["retry-after"]) == 8, "the engine's own estimate, rounded up"
            assert ours.json()["type"] == "urn:sameboat:full"
            assert theirs.json()["error"]["code"] == "full"
            assert 'requests_rejected_total{reason="full"} 2.0' in client.get("/metrics").text
            for probe in ("/healthz", "/readyz", "/metrics", "/version"):
                assert client.get(probe).status_code == 200
            for each in held:
                each.close()
        until(lambda: engine.cancelled == 4, "all are withdrawn")
        until(lambda: client.get("/prompts").status_code == 200, "there is room again")


def test_slow_bodies_hold_no_place_inside(make: Make) -> None:
    """Four places, eight clients in the middle of a body: everybody else is answered."""
    server = server_of(make(ScriptedEngine(lambda request: "x"), queue_requests=1, parallel=1))
    with running(server, free()) as port:
        for _ in range(8):
            connected(port, HALF_A_BODY)
        time.sleep(0.5)
        assert httpx.get(f"http://127.0.0.1:{port}/prompts").status_code == 200
        close_all()


def test_a_request_without_a_deadline_of_its_own_has_the_servers(make: Make) -> None:
    """504 in the shape of each API."""
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
        metrics, line = f"http://127.0.0.1:{port}/metrics", 'requests_rejected_total{reason="client_disconnected"} 4.0'
        until(lambda: line in httpx.get(metrics).text, "all are counted")
    assert [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
