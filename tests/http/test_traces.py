"""A request is one trace, and its metrics and attributes have the names of the published conventions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from service import settings as settings_module
from service import tracing
from service.engine.types import Answer, Request, Timings
from service.errors import EngineUnavailable
from service.telemetry import HISTOGRAMS
from tests.http.conftest import Make, ask, inside
from tests.scripted import ScriptedEngine
from tests.servers.openai_server import OpenAIServer
from tests.servers.otlp import Received, published, receiver

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"  # pragma: allowlist secret
CANARY_INPUT, CANARY_ANSWER = "canary-input-4711", "canary-answer-4711"
SERVER, CLIENT = 2, 3


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    with receiver() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        yield received
    assert not tracing.enabled()  # the application stopped it


def timed(request: Request) -> Answer:
    """As a local engine: 20 ms in the queue, 30 ms of prefill, 50 ms of decoding."""
    answer = ScriptedEngine._answer(request, f"Hello {CANARY_ANSWER}")
    return replace(answer, timings=Timings(0.02, 0.05, 0.1))


def test_a_prompt_is_one_trace_from_its_caller_to_the_tokens(make: Make, heard: Received) -> None:
    sent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    response = ask(
        make(ScriptedEngine(timed)), "POST", "/prompts/greet?x=canary", json={"inputs": {"name": CANARY_INPUT}},
        headers=sent,
    )  # fmt: skip
    assert heard.tree() == {
        (None, "POST /prompts/{name}"),
        ("POST /prompts/{name}", "chat scripted"),
        ("chat scripted", "queue"),
        ("chat scripted", "prefill"),
        ("chat scripted", "decode"),
    }
    assert {span.trace for span in heard.spans} == {TRACE}
    server, chat = heard.named("POST /prompts/{name}"), heard.named("chat scripted")
    assert (server.parent, server.kind) == (PARENT, SERVER)
    lengths = {name: heard.named(name).ends - heard.named(name).begins for name in ("queue", "prefill", "decode")}
    assert {name: round(length / 1e6) for name, length in lengths.items()} == {"queue": 20, "prefill": 30, "decode": 50}
    assert heard.named("queue").ends == heard.named("prefill").begins
    told = response.json()
    assert (
        chat.attributes
        | {
            "gen_ai.operation.name": "chat",
            "gen_ai.prompt.name": "greet",
            "gen_ai.response.model": "scripted",
            "gen_ai.usage.input_tokens": told["usage"]["prompt"],
            "gen_ai.usage.output_tokens": told["usage"]["completion"],
            "gen_ai.response.finish_reasons": ["stop"],
            "sameboat.fingerprint": told["fingerprint"],
        }
        == chat.attributes
    )
    assert chat.resource["service.name"] == "sameboat"
    assert chat.resource["deployment.environment.name"] == "test"
    assert "canary" not in str(heard)


def test_an_error_is_told_by_its_type_and_without_its_text(make: Make, heard: Received) -> None:
    app = make(ScriptedEngine(lambda request: EngineUnavailable(f"gone {CANARY_ANSWER}")))
    assert ask(app, "POST", "/prompts/greet", json={"inputs": {"name": "Bo"}}).status_code == 503
    chat = heard.named("chat")
    assert chat.failed
    assert chat.attributes["error.type"] == "EngineUnavailable"
    assert heard.named("POST /prompts/{name}").attributes["http.response.status_code"] == 503
    assert "canary" not in str(heard)


def test_a_path_with_values_and_a_query_are_hidden_and_probes_have_no_span(make: Make, heard: Received) -> None:
    """A build's id in a path lets its holder read the build."""

    async def asked() -> None:
        async with inside(make(ScriptedEngine(timed))) as client:
            for path in ("/healthz", "/metrics", "/builds/build-canary", "/canary", "/v1/models?canary=1"):
                await client.get(path)

    asyncio.run(asked())
    assert "canary" not in str(heard)
    paths = sorted(str(span.attributes["url.path"]) for span in heard.spans)
    assert paths == ["/v1/models", "REDACTED", "REDACTED"]


def test_a_chat_over_a_remote_engine_carries_the_trace_to_it(heard: Received, make: Make, catalog: Any) -> None:
    """Also a streamed one. Its spans end with the stream. Each try is a span of its own."""
    from service.engine.pool import Engines
    from service.http.app import create_app
    from service.prompts.library import Library

    with OpenAIServer(reply="hello there") as server:
        server.script("503", "normal")
        settings = settings_module.load(
            engine="remote", remote_base_url=server.base_url, port=0, remote_kind="openai", data_dir=library_of(make)
        )
        app = create_app(settings, engines=Engines(settings, catalog), library=Library(settings.data_dir))
        body = {"model": catalog.default, "messages": [{"role": "user", "content": CANARY_INPUT}], "stream": True}
        assert ask(app, "POST", "/v1/chat/completions", json=body).status_code == 200
        sent = [headers["traceparent"].split("-") for path, headers, _ in server.asked if path.endswith("completions")]
    tries = sorted((span for span in heard.spans if span.name == "POST"), key=lambda span: span.begins)
    assert [span.attributes["http.response.status_code"] for span in tries] == [503, 200]
    assert [part[2] for part in sent] == [span.id for span in tries]
    assert len({span.trace for span in heard.spans} | {part[1] for part in sent}) == 1
    [chat] = [span for span in heard.spans if span.name.startswith("chat ")]
    assert {span.parent for span in tries} == {chat.id}
    assert chat.kind == CLIENT
    assert heard.parent(chat) == "POST /v1/chat/completions"
    assert "canary" not in str(heard)


def library_of(make: Make) -> Any:
    """The data directory that `make` wrote."""
    return make(ScriptedEngine(timed)).state.service.settings.data_dir


def test_every_name_is_in_the_published_registry_or_is_our_own(make: Make, heard: Received) -> None:
    app = make(ScriptedEngine(timed))

    async def asked() -> None:
        async with inside(app) as client:
            await client.post("/prompts/greet", json={"inputs": {"name": "Bo"}})
            sampled = {"temperature": 0.5, "messages": [{"role": "user", "content": "hi"}]}
            assert (await client.post("/v1/chat/completions", json=sampled)).status_code == 200

    asyncio.run(asked())
    attributes, metrics = published()
    used = {name for span in heard.spans for name in (*span.attributes, *span.resource)}
    used |= {name for points in heard.metrics.values() for point in points for name in point}
    assert "gen_ai.usage.input_tokens" in used
    assert {name for name in used if not name.startswith("sameboat.")} - attributes == set()
    own = {"gen_ai.server.request.duration", "gen_ai.client.token.usage", "gen_ai.server.time_to_first_token"}
    assert own | {"gen_ai.server.time_per_output_token", "http.server.request.duration"} <= set(heard.metrics)
    assert set(heard.metrics) - metrics == set()
    assert set(HISTOGRAMS) - metrics == set()
    kinds = {point["gen_ai.token.type"] for point in heard.metrics["gen_ai.client.token.usage"]}
    assert kinds == {"input", "output"}
