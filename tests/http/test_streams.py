"""Streams: a client that disconnects cancels its requests, and a silent stream sends comments."""

from __future__ import annotations

import httpx
import pytest

from service.http import sse
from tests.http.conftest import Held, Make, serving, until

PROMPT = ("/prompts/greet", {"inputs": {"name": "Ada"}})
CHAT = ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]})


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


def test_while_nothing_comes_a_comment_does(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first event and between two events, in each API. The events and their order do not change."""
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
