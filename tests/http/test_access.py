"""Request ids, access lines and the metrics of routes and prompts."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from service import keys, request_id
from service.engine.types import Request
from service.errors import EngineUnavailable
from service.http.logs import IdFormatter, JsonFormatter
from tests.engine.remote.requests import ask as ask_remote
from tests.http.conftest import Make, ask, inside
from tests.scripted import ScriptedEngine
from tests.servers.openai_server import OpenAIServer

KEY = keys.new()
CANARY_INPUT = "canary-input-4711"
CANARY_ANSWER = "canary-answer-4711"


class Lines(logging.Handler):
    """The access lines, as JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[dict[str, Any]] = []
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        line = JsonFormatter().format(record)
        self.text += line + IdFormatter("%(message)s").format(record)
        self.all.append(json.loads(line))


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("sameboat.access")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda request: f"Hello {CANARY_ANSWER}")


def test_a_line_has_the_route_the_prompt_and_the_tokens_and_no_content(make: Make, lines: Lines) -> None:
    response = ask(make(engine()), "POST", "/prompts/greet?x=canary", json={"inputs": {"name": CANARY_INPUT}})
    (line,) = lines.all
    told = {name: line[name] for name in ("logger", "method", "route", "status", "prompt", "answers", "complete")}
    assert told == {
        "logger": "sameboat.access", "method": "POST", "route": "/prompts/{name}", "status": 200, "prompt": "greet",
        "answers": 1, "complete": True,
    }  # fmt: skip
    assert line["completion_tokens"] == response.json()["usage"]["completion"] > 0
    assert line["fingerprint"] == response.json()["fingerprint"]
    assert line["bytes"] == len(response.content)
    assert line["request_id"] == response.headers["x-request-id"]
    assert "canary" not in lines.text


def test_a_callers_id_is_taken_and_an_unusable_one_is_replaced(make: Make, lines: Lines) -> None:
    app = make(engine())
    taken = ask(app, "GET", "/v1/models", headers={"x-request-id": "trace-1.2:3_x"})
    assert taken.headers["x-request-id"] == lines.all[-1]["request_id"] == "trace-1.2:3_x"
    for wrong in ("", "a b", "a\x1b[31m", "-x", "a" * 129, "é"):
        response = ask(app, "GET", "/v1/models", headers={"x-request-id": wrong.encode()})
        assert len(response.headers["x-request-id"]) == 32
        assert response.headers["x-request-id"] != wrong


def test_rejections_and_errors_have_an_id_and_a_line(make: Make, lines: Lines) -> None:
    """Also those of the outermost middleware, of a key, and of an error that nobody expected."""

    def breaks(request: Request) -> Exception:
        return RuntimeError("broken") if "Ada" in request.messages[-1].content else EngineUnavailable("gone")

    app = make(ScriptedEngine(breaks), api_keys=keys.line("tester", KEY))
    key = {"authorization": f"Bearer {KEY}"}
    asked = [
        ("GET", "/v1/models", {"headers": {"host": "evil.example"}}),
        ("GET", "/v1/models", {}),
        ("GET", "/canary-path", {"headers": key}),
        ("POST", "/prompts/greet", {"headers": key, "json": {"inputs": {"name": "Bo"}}}),
        ("POST", "/prompts/greet", {"headers": key, "json": {"inputs": {"name": "Ada"}}}),
    ]
    statuses = []
    for method, path, options in asked:
        response = ask(app, method, path, **options)
        assert response.headers["x-request-id"] == lines.all[-1]["request_id"]
        assert response.status_code == lines.all[-1]["status"]
        statuses.append(response.status_code)
    assert statuses[1:] == [401, 404, 503, 500]
    assert statuses[0] in (400, 403, 421)
    assert [line.get("key") for line in lines.all[2:]] == ["tester"] * 3
    assert lines.all[2]["route"] == "unmatched"
    assert "canary" not in lines.text


def test_probes_have_no_line_and_lines_can_be_switched_off(make: Make, lines: Lines) -> None:
    assert ask(make(engine()), "GET", "/healthz").headers["x-request-id"]
    assert ask(make(engine()), "GET", "/status").status_code == 200
    ask(make(engine(), access_log=False), "GET", "/v1/models")
    assert lines.all == []


def test_a_stream_has_its_line_at_the_end(make: Make, lines: Lines) -> None:
    body = {"inputs": {"name": "Bo"}, "stream": True}
    ask(make(engine()), "POST", "/prompts/greet", json=body)
    (line,) = lines.all
    assert (line["prompt"], line["answers"], line["complete"]) == ("greet", 1, True)


def test_routes_and_prompts_are_counted(make: Make) -> None:

    async def main() -> str:
        async with inside(make(engine())) as client:
            await client.post("/prompts/greet", json={"inputs": {"name": "Ada"}})
            await client.post("/prompts/greet", json={"inputs": {}})
            await client.get("/nowhere/at/all")
            return (await client.get("/metrics")).text

    text = asyncio.run(main())
    for line in (
        'sameboat_http_request_duration_seconds_count{route="/prompts/{name}",status="2xx"} 1.0',
        'sameboat_http_request_duration_seconds_count{route="/prompts/{name}",status="4xx"} 1.0',
        'sameboat_http_request_duration_seconds_count{route="unmatched",status="4xx"} 1.0',
        'sameboat_prompt_duration_seconds_count{finish_reason="stop",model="scripted",prompt="greet"} 1.0',
    ):
        assert line in text


def test_a_remote_server_gets_the_id() -> None:
    with OpenAIServer("hello") as server:
        token = request_id.current.set("from-the-caller")
        try:
            ask_remote(server)
        finally:
            request_id.current.reset(token)
        ask_remote(server)
        ids = [headers.get("x-request-id") for _, headers, _ in server.asked]
    assert ids == ["from-the-caller", None]


def test_a_record_has_the_id_of_its_request_in_both_formats() -> None:
    record = logging.LogRecord("sameboat", logging.WARNING, "", 0, "one\ntwo %s", ("\x1b",), None)
    text = IdFormatter("%(levelname)s %(name)s: %(message)s")
    assert text.format(record) == "WARNING sameboat: one\n    two \\x1b"
    assert "request_id" not in json.loads(JsonFormatter().format(record))
    token = request_id.current.set("abc")
    try:
        assert text.format(record) == "WARNING sameboat: one request_id=abc\n    two \\x1b"
        told = json.loads(JsonFormatter().format(record))
    finally:
        request_id.current.reset(token)
    assert (told["message"], told["level"], told["request_id"]) == ("one\ntwo \x1b", "warning", "abc")
    assert told["time"].endswith("+00:00")


def test_a_traceback_is_part_of_the_object() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "no", (), (ValueError, error, error.__traceback__))
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: broken" in json.loads(line)["traceback"]


PRIVATE = "Ada, ada@mail.example"


def test_inputs_and_answers_are_in_the_line_only_if_the_setting_asks_and_then_masked(make: Make, lines: Lines) -> None:
    """Of a prompt and of a chat."""
    chat = {"messages": [{"role": "user", "content": f"{CANARY_INPUT} for {PRIVATE}"}]}
    for content in (False, True):
        app = make(ScriptedEngine(lambda request: "Call 044 668 18 00\nnow"), log_content=content)
        ask(app, "POST", "/prompts/greet", json={"inputs": {"name": PRIVATE}})
        ask(app, "POST", "/v1/chat/completions", json=chat)
    silent, masked = lines.all[:2], lines.all[2:]
    assert [set(line) & {"input", "answer"} for line in silent] == [set(), set()]
    assert masked[0]["input"] == '{"name": "Ada, [email]"}'
    assert CANARY_INPUT in masked[1]["input"]
    assert {line["answer"] for line in masked} == {"Call [number]\nnow"}
    for private in ("ada@mail", "668 18"):  # a request id may hold three digits of a number
        assert private not in lines.text
