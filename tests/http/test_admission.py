"""What may come in, and what happens when it leaves again; the numbers that the service gives about itself."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from service.http import sse
from tests.http.conftest import Held, Make, ask, serving, until
from tests.scripted import ScriptedEngine

PROMPT = ("/prompts/greet", {"inputs": {"name": "Ada"}})
CHAT = ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]})


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


@pytest.mark.parametrize(
    ("path", "body", "n"), [(*PROMPT, 1), (*CHAT, 1), (*CHAT, 3)], ids=["prompt", "chat", "three choices"]
)
def test_a_client_that_leaves_in_the_middle_of_a_stream_withdraws_all_of_it(
    make: Make, path: str, body: dict[str, object], n: int
) -> None:
    engine = Held(first=2)
    sent = {**body, "stream": True, **({"n": n} if n > 1 else {})}
    with serving(make(engine)) as url:
        with httpx.Client(base_url=url) as client, client.stream("POST", path, json=sent) as response:
            assert response.status_code == 200
            lines = response.iter_lines()
            while "word" not in next(lines):
                pass
            until(lambda: len(engine.asked) == n, "everything is asked")
            assert engine.cancelled == 0
        until(lambda: engine.cancelled == n, "everything is withdrawn")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), [PROMPT, CHAT], ids=["prompt", "chat"])
def test_a_client_that_leaves_while_it_waits_withdraws_its_request(
    make: Make, path: str, body: dict[str, object], stream: bool
) -> None:
    engine = Held(first=0)
    with serving(make(engine)) as url:
        with (
            httpx.Client(base_url=url, timeout=httpx.Timeout(60, read=0.5)) as leaves,
            pytest.raises(httpx.ReadTimeout),
        ):
            leaves.post(path, json={**body, "stream": stream})
        until(lambda: len(engine.asked) == engine.cancelled == 1, "it is withdrawn")


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


def test_version_gives_the_digests_of_what_is_served(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"))
    body = ask(app, "GET", "/version").json()
    library = app.state.service.library
    assert body["prompts"]["greet"] == {"prompt": library["greet"].sha256, "lock": library.lock("greet").digest()}
    assert {each["sha256"] for each in body["models"].values()} == {"0" * 64}


def test_docs_and_their_files_come_from_here(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"))
    page = ask(app, "GET", "/docs")
    assert "http://" not in page.text
    assert "https://" not in page.text
    for name, kind in (("swagger-ui-bundle.js", "javascript"), ("swagger-ui.css", "css")):
        assert f'"docs/assets/{name}"' in page.text
        asset = ask(app, "GET", f"/docs/assets/{name}")
        assert asset.status_code == 200
        assert kind in asset.headers["content-type"]
        assert len(asset.content) > 10_000
    assert ask(app, "GET", "/docs/assets/..%2f__init__.py").status_code == 404


def test_the_page_allows_nothing_inline_and_nothing_from_elsewhere(make: Make) -> None:
    app = make(ScriptedEngine(lambda request: "x"))
    page = ask(app, "GET", "/")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "http://" not in page.text
    assert "https://" not in page.text
    for name in ("app.js", "builds.js", "app.css", "boat.svg"):
        assert f"assets/{name}" in page.text
        assert ask(app, "GET", f"/assets/{name}").status_code == 200


def test_while_nothing_comes_a_comment_does(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first event and between two, in each API; the events and their order are the same."""
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.05)
    monkeypatch.setattr(sse.prefetch_first, "__defaults__", (0.05,))
    for path, body in (PROMPT, CHAT):
        for first in (0, 2):
            engine = Held(first=first)
            with serving(make(engine)) as url:
                with (
                    httpx.Client(base_url=url) as client,
                    client.stream("POST", path, json={**body, "stream": True}) as it,
                ):
                    lines, comments, data = it.iter_lines(), 0, 0
                    while comments < 3:
                        line = next(lines)
                        comments += line == ": keep-alive"
                        data += line.startswith("data: ")
                    assert it.status_code == 200
                    assert data >= first
                until(lambda engine=engine: engine.cancelled == 1, "it is withdrawn")  # type: ignore[misc]
