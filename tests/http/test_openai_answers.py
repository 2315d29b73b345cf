"""OpenAI's answer objects as the official client reads them, around scripted engines: tool calls, choices, vectors."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
        model="smollm2-135m-instruct", messages=SAY, tools=[WEATHER], tool_choice="required", parallel_tool_calls=True
    )
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    first, second = choice.message.tool_calls or []
    assert (first.function.name, json.loads(first.function.arguments)) == ("weather", {"city": "Bern"})
    assert first.id != second.id
    asked = engine.asked[0]
    assert (asked.tools, asked.tool_choice, asked.parallel_tools) == ((WEATHER,), "required", True)


def joined(chunks: list[Any]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of streamed calls. The arguments come in pieces."""
    calls: dict[int, list[str]] = {}
    for call in [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]:
        if call.id is not None:
            calls[call.index] = [call.id, call.function.name, ""]
        calls[call.index][2] += call.function.arguments
    return [(one, name, arguments) for one, name, arguments in (calls[index] for index in sorted(calls))]


def test_streamed_calls_arrive_in_pieces_and_no_byte_of_them_as_text(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="smollm2-135m-instruct", messages=SAY, tools=[WEATHER], stream=True, parallel_tool_calls=True
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ""
    calls = joined(chunks)
    assert [(name, arguments) for _, name, arguments in calls] == [
        ("weather", '{"city": "Bern"}'), ("weather", '{"city": "Biel"}'),
    ]  # fmt: skip
    assert len({one for one, _, _ in calls}) == 2
    assert sum(len(chunk.choices[0].delta.tool_calls or []) for chunk in chunks) > 3
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_ids_are_new_in_every_choice_and_answer(client: openai.OpenAI) -> None:
    """Also for equal calls, which a deterministic engine gives again."""
    body: Any = {"model": "smollm2-135m-instruct", "messages": SAY, "tools": [WEATHER], "n": 2}
    answers = [client.chat.completions.create(**body) for _ in range(2)]
    ids = [call.id for answer in answers for choice in answer.choices for call in choice.message.tool_calls or []]
    assert len(set(ids)) == len(ids) == 4


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_the_limit_cuts_says_length_and_shows_no_markup(make: Make, stream: bool) -> None:
    """The complete calls before it stay."""

    def reply(request: Request) -> Answer:
        return Answer(CALLS[:-25], (1,), "length", Usage(1, 1), Timings(0, 0, 0))

    with (
        serving(make(ScriptedEngine(reply))) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
    ):
        body: Any = {"model": "smollm2-135m-instruct", "messages": SAY, "tools": [WEATHER], "parallel_tool_calls": True}
        if stream:
            chunks = list(client.chat.completions.create(**body, stream=True))
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ""
            assert (chunks[-1].choices[0].finish_reason, len(joined(chunks))) == ("length", 1)
        else:
            choice = client.chat.completions.create(**body).choices[0]
            assert (choice.finish_reason, choice.message.content) == ("length", None)
            assert [call.function.arguments for call in choice.message.tool_calls] == ['{"city": "Bern"}']


@pytest.mark.parametrize(
    ("text", "calls"), [('{"city": "Bern"}', 0), ('{"name": "weather", "arguments": {"city": "Bern"}}', 1), (CALLS, 1)]
)
def test_with_a_response_format_an_answer_is_a_call_or_the_json(make: Make, text: str, calls: int) -> None:
    """A call is no answer that breaks the schema."""
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    engine = ScriptedEngine(lambda request: text)
    format_ = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    body = {"messages": SAY, "tools": [WEATHER], "response_format": format_}
    response = ask(make(engine), "POST", "/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    choice = response.json()["choices"][0]
    assert len(choice["message"].get("tool_calls") or []) == calls
    assert choice["message"]["content"] == (None if calls else text)
    assert (engine.asked[0].schema is not None, len(engine.asked[0].tools)) == (True, 1)


@pytest.mark.parametrize("text", ["It rains.", "a < b", "<tool", "<tool_call>\n{", "<b>rain</b>", '{"name": "Bern"}'])
def test_a_text_that_begins_like_a_call_is_text(make: Make, text: str) -> None:
    """A beginning of a call that never became one is shown where it can be told from a call, streamed or not."""
    app = make(ScriptedEngine(lambda request: text))
    body = {"messages": SAY, "tools": [WEATHER]}
    message = ask(app, "POST", "/v1/chat/completions", json=body).json()["choices"][0]
    assert message["message"].get("tool_calls") is None
    told = ask(app, "POST", "/v1/chat/completions", json={**body, "stream": True}).text
    events = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: {")]
    streamed = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
    assert streamed == message["message"]["content"] == text
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
        ({"tools": [WEATHER], "regex": "[a-z]+"}, "tools"),
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
