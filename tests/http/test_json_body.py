"""The cost of a body: many small values are refused without parsing, long texts are not, and answers repeat little."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.routing import APIRoute

from service.http import json_body
from service.http.builds import router as builds
from service.http.openai_routes import router as openai
from tests.http.conftest import Make, ask
from tests.scripted import ScriptedEngine

CHAT = "/v1/chat/completions"
SMALL = 16_384  # bytes of an answer that refuses


def sent(make: Make, path: str, body: bytes) -> Any:
    engine = ScriptedEngine(lambda request: "x")
    answer = ask(make(engine), "POST", path, content=body, headers={"content-type": "application/json"})
    assert engine.asked == []
    return answer


def test_every_route_with_a_body_reads_it_with_the_strict_reader() -> None:
    routes = [route for router in (builds, openai) for route in router.routes if isinstance(route, APIRoute)]
    with_body = [route for route in routes if route.body_field is not None]
    assert {route.path for route in with_body} >= {"/builds", "/api-endpoint", CHAT, "/v1/embeddings"}
    assert all(isinstance(route, json_body.JsonRoute) for route in with_body)


@pytest.mark.parametrize("path", [CHAT, "/prompts/greet", "/v1/completions", "/v1/embeddings"])
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"messages":[' + b",".join([b'{"role":"x"}'] * 300_000) + b"]}", "more than 65536 keys and values"),
        (b"[" + b",".join(b'{"k":[]}' for _ in range(40_000)) + b"]", "more than 65536 keys and values"),
        (b'{"a":1' + b" " * 3_000_000 + b"}", "bytes outside of texts"),
        (b'{"a":"' + b"\\n" * 1_100_000 + b'"}', "escapes"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": NaN}', "NaN"),
    ],
    ids=["messages", "objects", "white space", "escapes", "twice", "NaN"],
)
def test_a_body_that_costs_too_much_or_is_not_strict_is_refused_in_few_words(
    make: Make, path: str, body: bytes, why: str
) -> None:
    answer = sent(make, path, body)
    assert answer.status_code == 400
    assert why in answer.text
    assert len(answer.content) < SMALL


def test_counting_sees_through_texts_and_escapes_wherever_a_piece_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"a": 'one, "two": [three] {four}\\', "\\": ["\\\\", '"', '\\"', 5], "b": {"c": [{}, []]}}
    body = json.dumps(value).encode()
    for size in range(1, len(body) + 1):
        monkeypatch.setattr(json_body, "PIECE", size)
        signs, outside, escapes = json_body.measured(body)
        assert (signs, escapes) == (16, body.count(b"\\")), size
        assert outside < len(body)


def test_a_long_text_full_of_signs_is_no_problem(make: Make) -> None:
    engine = ScriptedEngine(lambda request: "x")
    body = {"messages": [{"role": "user", "content": "[a, {b: c}] " * 20_000}], "max_tokens": 1}
    assert ask(make(engine), "POST", CHAT, json=body).status_code == 200
    assert len(engine.asked) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/prompts/greet", {"inputs": {f"k{number}": 1 for number in range(20_000)}}),
        ("/prompts/greet", {"inputs": {("text" * 14) + f"{number:05d}": 1 for number in range(20_000)}}),
        ("/prompts/greet", {"inputs": {"k" * 1_000_000: 1}}),
        ("/prompts/greet", {"k" * 1_000_000: 1}),
        (CHAT, {"messages": [{"role": "user", "content": "x"}], "model": "smollm2" * 1_000_000}),
        (CHAT, {"messages": [{"role": "x"}] * 15_000}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "t" * 1_000_000}]}]}),
        (CHAT, {"messages": [{"role": "user", "content": [{"typ": "text"}] * 15_000}]}),
        (CHAT, {"messages": [{"role": "user", "content": "x", "name": "n" * 1_000_000}]}),
        (CHAT, {"messages": [{"role": "user", "content": "x", **{f"rol{n}": 1 for n in range(15_000)}}]}),
        (CHAT, {"messages": [{"role": "user", "content": "x"}] * 3_000}),
        (CHAT, {"messages": [{"role": "user", "content": "x"}], "stop": [1] * 30_000}),
        (CHAT, {"messages": [{"role": "user", "content": "x"}], "logit_bias": {str(n): "x" for n in range(20_000)}}),
        (
            CHAT,
            {
                "messages": [{"role": "user", "content": "x"}],
                "response_format": {"type": "json_schema", "json_schema": {"schema": {"k" * 1_000_000: 1}}},
            },
        ),
    ],
    ids=[
        "unknown inputs",
        "near inputs",
        "long input",
        "long key",
        "long model",
        "messages",
        "part",
        "parts",
        "name",
        "message keys",
        "many messages",
        "stop",
        "logit_bias",
        "keyword",
    ],
)  # fmt: skip
def test_an_answer_to_bad_input_is_small(make: Make, path: str, body: dict[str, Any]) -> None:
    answer = sent(make, path, json.dumps(body).encode())
    assert answer.status_code in (400, 404, 422)
    assert len(answer.content) < SMALL
