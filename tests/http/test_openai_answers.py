"""OpenAI's answer objects as the official client reads them, around scripted engines: tool calls, choices, vectors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from service.engine import toolcalls
from service.engine.types import Abilities, Alternative, Answer, Embeddings, Logprob, Request, Timings, Usage
from service.models.cache import Cache
from service.models.catalog import Catalog
from tests.http.conftest import READY, Make, ask, serving
from tests.scripted import ScriptedEngine

SAY = [{"role": "user", "content": "What is the weather in Bern?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALLS = toolcalls.write([{"name": "weather", "arguments": f'{{"city": "{city}"}}'} for city in ("Bern", "Biel")])


class Embedding(ScriptedEngine):
    """Gives a vector per text: its length, and one."""

    @property
    def abilities(self) -> Abilities:
        return Abilities(*[False] * 5, embeddings=True, tools=False, exact=False)

    async def embed(self, texts: tuple[str, ...]) -> Embeddings:
        return Embeddings(tuple((float(len(text)), 1.0) for text in texts), tokens=7)


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda request: CALLS)


@pytest.fixture
def client(make: Make, engine: ScriptedEngine) -> Iterator[openai.OpenAI]:
    with serving(make(engine)) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as it:
        yield it


@pytest.mark.parametrize(
    "odd",
    [
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": []}}},
        {"tools": [{"type": "function", "function": {"name": "f", "description": "\ud800"}}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"id": "\ud800", "function": {"name": "f"}}]}]},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": ["a"], "pattern": "("}}}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"oneOf": [{"type": 5}, True]}}}},
    ],
    ids=["choice", "half a pair in tools", "half a pair in calls", "pattern", "type"],
)
def test_a_mistake_in_untyped_json_is_the_callers_error(make: Make, odd: dict[str, object]) -> None:
    """Tools and schemas may be any JSON: a mistake in them is a 400 and never a 500."""
    body, kind = json.dumps({"messages": SAY, **odd}), {"content-type": "application/json"}
    app = make(ScriptedEngine(lambda request: "x"))
    response = ask(app, "POST", "/v1/chat/completions", content=body, headers=kind)
    assert response.status_code == 400, response.text
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_calls_are_calls_and_not_text(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    answer = client.chat.completions.create(
        model="smollm2-135m-instruct", messages=SAY, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False
    )
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    first, second = choice.message.tool_calls or []
    assert (first.function.name, json.loads(first.function.arguments)) == ("weather", {"city": "Bern"})
    assert first.id != second.id
    asked = engine.asked[0]
    assert (asked.tools, asked.tool_choice, asked.parallel_tools) == ((WEATHER,), "required", False)


def test_streamed_calls_arrive_whole_and_no_byte_of_them_as_text(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(model="smollm2-135m-instruct", messages=SAY, tools=[WEATHER], stream=True)
    )
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert "".join(delta.content or "" for delta in deltas) == ""
    calls = [call for delta in deltas for call in delta.tool_calls or []]
    assert [(call.index, call.function.arguments) for call in calls if call.function] == [
        (0, '{"city": "Bern"}'),
        (1, '{"city": "Biel"}'),
    ]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("text", ["It rains.", "a < b", "<tool", "<tool_call>\n{"])
def test_a_text_that_begins_like_a_call_is_text(make: Make, text: str) -> None:
    """A beginning of a call that never became one is shown where it can be told from a call, streamed or not."""
    app = make(ScriptedEngine(lambda request: text))
    body = {"messages": SAY, "tools": [WEATHER]}
    message = ask(app, "POST", "/v1/chat/completions", json=body).json()["choices"][0]
    assert message["message"].get("tool_calls") is None
    told = ask(app, "POST", "/v1/chat/completions", json={**body, "stream": True}).text
    events = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: {")]
    streamed = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
    assert streamed == message["message"]["content"] == ("" if text.startswith("<tool_call>") else text)
    assert message["finish_reason"] == events[-1]["choices"][0]["finish_reason"] == "stop"


def test_none_shows_the_model_no_tools(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    client.chat.completions.create(model="smollm2-135m-instruct", messages=SAY, tools=[WEATHER], tool_choice="none")
    assert engine.asked[0].tools == ()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "map"}}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "response_format": {"type": "json_object"}}, "response_format"),
        ({"guided_json": {}, "guided_choice": ["a"]}, "guided_choice"),
        ({"top_logprobs": 3}, "top_logprobs"),
    ],
)
def test_contradicting_parameters_are_a_400_with_the_name_of_one(
    make: Make, body: dict[str, object], param: str
) -> None:
    engine = ScriptedEngine(lambda request: "x")
    answer = ask(make(engine), "POST", "/v1/chat/completions", json={"messages": SAY, **body})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert engine.asked == []


def test_each_of_several_texts_has_its_choices(make: Make) -> None:
    """Two prompts with two choices each: four, in order, and each prompt counts once."""
    app = make(ScriptedEngine(lambda request: f"{request.text} {request.sampling.seed}"))
    body = {"prompt": ["a b", "c"], "n": 2, "seed": 5}
    answer = ask(app, "POST", "/v1/completions", json=body).json()
    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == [
        (0, "a b 5"), (1, "a b 6"), (2, "c 5"), (3, "c 6"),
    ]  # fmt: skip
    assert answer["usage"]["prompt_tokens"] == 3


def test_log_probabilities_of_texts_say_where_each_token_begins(make: Make) -> None:
    pieces = [Logprob(1, "one", -0.5, (Alternative(1, "one", -0.5),)), Logprob(2, " two", -1.0)]

    def reply(request: Request) -> Answer:
        return Answer("one two", (1, 2), "stop", Usage(1, 2), Timings(0, 0, 0), logprobs=tuple(pieces))

    engine = ScriptedEngine(reply)
    engine.can_logprobs = True
    told = ask(make(engine), "POST", "/v1/completions", json={"prompt": "x", "logprobs": 1}).json()["choices"][0]
    assert told["logprobs"]["text_offset"] == [0, 3]
    assert told["logprobs"]["top_logprobs"][0] == {"one": -0.5}


def test_vectors_in_the_client_s_default_form_and_with_usage(make: Make) -> None:
    """The official client asks for base64 unless told otherwise."""
    with (
        serving(make(Embedding(lambda request: "x"))) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
    ):
        found = client.embeddings.create(model="smollm2-135m-instruct", input=["a", "abc"])
        plain = client.embeddings.create(model="smollm2-135m-instruct", input="abc", encoding_format="float")
        with pytest.raises(openai.BadRequestError, match="the model's length"):
            client.embeddings.create(model="smollm2-135m-instruct", input="x", dimensions=2)
    assert [row.embedding for row in found.data] == [[1.0, 1.0], [3.0, 1.0]]
    assert plain.data[0].embedding == [3.0, 1.0]
    assert found.usage.prompt_tokens == 7


def test_models_that_the_cache_holds_are_listed_from_when_they_are_there(
    make: Make, tmp_path: Path, catalog: Catalog
) -> None:
    """A model that is pulled while the service runs is listed. `created` is the time of its file."""
    engine, cache = ScriptedEngine(lambda request: "x"), tmp_path / "cache"
    app = make(engine, cache_dir=cache)
    before = {model["id"] for model in ask(app, "GET", "/v1/models").json()["data"]}
    pulled = next(model for model in catalog if model.name not in before)
    path = Cache(cache).path(pulled)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(pulled.size_bytes)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    engine.state = READY  # the first life of the application has stopped it
    listed = {model["id"]: model["created"] for model in ask(app, "GET", "/v1/models").json()["data"]}
    assert set(listed) == {*before, pulled.name}
    assert listed[pulled.name] == ask(app, "GET", f"/v1/models/{pulled.name}").json()["created"] == 1_700_000_000
