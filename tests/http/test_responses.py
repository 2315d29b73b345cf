"""/v1/responses as the official client reads it, around scripted engines: items, tools, structured output, streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from service.engine import toolcalls
from service.engine.types import Answer, Logprob, Message, Request, Timings, Usage
from service.errors import EngineUnavailable
from tests.http.conftest import Make, ask, events, serving
from tests.scripted import ScriptedEngine

MODEL = "smollm2-135m-instruct"
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "strict": True,
    "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
        "additionalProperties": False,
    },
}  # fmt: skip
CALLS = toolcalls.write([{"name": "weather", "arguments": f'{{"city": "{city}"}}'} for city in ("Bern", "Biel")])
FAILS = EngineUnavailable("The engine went away.")


class City(BaseModel):
    name: str
    people: int


class FailsLate(ScriptedEngine):
    """Gives one chunk, and then an error."""

    async def stream(self, request: Request) -> Any:
        async for item in super().stream(request):
            yield item
            raise FAILS


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(lambda request: "It rains in Bern.")


@pytest.fixture
def client(make: Make, engine: ScriptedEngine) -> Iterator[openai.OpenAI]:
    with serving(make(engine)) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as it:
        yield it


def answers(engine: ScriptedEngine, text: str, **changes: Any) -> None:
    """The engine answers with this text."""
    whole = Answer(text, (1, 2), "stop", Usage(prompt=7, completion=2, cached=3), Timings(0, 0, 0))
    engine.reply = lambda request: replace(whole, **changes)


def test_a_text_gets_a_whole_response(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    answers(engine, "It rains.")
    response = client.responses.create(
        model=MODEL,
        input="How is it?",
        instructions="Be brief.",
        max_output_tokens=9,
        temperature=0,
        metadata={"a": "b"},
    )
    assert (response.status, response.output_text, response.store) == ("completed", "It rains.", False)
    assert (response.metadata, response.instructions, response.max_output_tokens) == ({"a": "b"}, "Be brief.", 9)
    assert response.usage is not None
    assert response.usage.input_tokens_details.cached_tokens == 3
    assert response.usage.output_tokens_details.reasoning_tokens == 0
    assert (response.usage.input_tokens, response.usage.output_tokens, response.usage.total_tokens) == (7, 2, 9)
    asked = engine.asked[0]
    assert asked.messages == (Message("system", "Be brief."), Message("user", "How is it?"))
    assert (asked.sampling.max_tokens, asked.sampling.temperature) == (9, 0)


def test_it_is_the_request_of_a_chat(make: Make, engine: ScriptedEngine) -> None:
    """The same fingerprint: both routes make one request and have one path to the answer."""
    app = make(engine)
    schema = {"name": "city", "strict": True, "schema": City.model_json_schema()}
    chat = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5, "top_p": 0.5, "seed": 3, "stop": ["."]}
    response = {"input": "x", "max_output_tokens": 5, "top_p": 0.5, "seed": 3, "stop": ["."]}
    engine.reply = lambda request: '{"name": "Bern", "people": 3}'
    for chat_format, format_ in (
        ({"type": "json_schema", "json_schema": schema}, {"type": "json_schema", **schema}),
        ({"type": "json_object"}, {"type": "json_object"}),
        ({"type": "text"}, {"type": "text"}),
    ):
        one = ask(app, "POST", "/v1/chat/completions", json={**chat, "response_format": chat_format})
        other = ask(app, "POST", "/v1/responses", json={**response, "text": {"format": format_}})
        assert one.status_code == other.status_code == 200, other.text
        assert one.headers["x-sameboat-fingerprint"] == other.headers["x-sameboat-fingerprint"]


def test_items_become_the_messages_of_a_conversation(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """The output of one response, with the results of its calls, is the input of the next."""
    answers(engine, "I look.\n" + CALLS)
    said: list[Any] = [
        {"role": "user", "content": [{"type": "input_text", "text": "Bern"}, {"type": "input_text", "text": "?"}]}
    ]
    first = client.responses.create(
        model=MODEL,
        input=said,
        tools=[WEATHER],
        parallel_tool_calls=True,  # type: ignore[list-item]
    )
    said += [item.model_dump(exclude_none=True) for item in first.output]
    said.append({"type": "reasoning", "id": "rs_1", "summary": []})
    for item in first.output:
        if item.type == "function_call":
            said.append({"type": "function_call_output", "call_id": item.call_id, "output": "rain"})
    answers(engine, "It rains.")
    client.responses.create(model=MODEL, input=said, tools=[WEATHER])  # type: ignore[list-item]
    user, turn, *outputs = engine.asked[1].messages
    assert user == Message("user", "Bern?")
    assert (turn.role, turn.content) == ("assistant", "I look.")
    assert [json.loads(call["function"]["arguments"])["city"] for call in turn.tool_calls] == ["Bern", "Biel"]
    assert [(output.role, output.content) for output in outputs] == [("tool", "rain")] * 2
    assert [output.tool_call_id for output in outputs] == [call["id"] for call in turn.tool_calls]


def test_a_call_is_an_item_whole_and_streamed(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    answers(engine, CALLS)
    choice: Any = {"type": "function", "name": "weather"}
    asked: dict[str, Any] = {"model": MODEL, "input": "Bern?", "tools": [WEATHER], "tool_choice": choice}
    asked["parallel_tool_calls"] = True
    whole = client.responses.create(**asked)
    assert [(item.type, item.status) for item in whole.output] == [("function_call", "completed")] * 2
    with client.responses.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_response()
    one = [
        "response.output_item.added", "response.function_call_arguments.delta",
        "response.function_call_arguments.done", "response.output_item.done",
    ]  # fmt: skip
    once = [
        kind for at, kind in enumerate(kinds) if kind != one[1] or kinds[at - 1] != kind
    ]  # arguments come in pieces
    assert once == ["response.created", "response.in_progress", *one, *one, "response.completed"]
    for response in (whole, streamed):
        calls = [item for item in response.output if item.type == "function_call"]
        assert [json.loads(call.arguments) for call in calls] == [{"city": "Bern"}, {"city": "Biel"}]
        assert {call.name for call in calls} == {"weather"}
    assert engine.asked[0].tool_choice == {"type": "function", "function": {"name": "weather"}}
    assert engine.asked[0].tools[0]["function"]["parameters"] == WEATHER["parameters"]


def test_a_choice_of_several_tools_has_the_form_of_chats(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    """A remote engine is asked in that form."""
    answers(engine, "It rains.")
    choice: Any = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]}
    response = client.responses.create(model=MODEL, input="Bern?", tools=[WEATHER], tool_choice=choice)  # type: ignore[list-item]
    assert response.tool_choice == choice or response.tool_choice.model_dump() == choice
    assert engine.asked[0].tool_choice == {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "weather"}}]},
    }


def test_a_text_is_streamed_in_all_its_events(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    answers(engine, "It rains.")
    stream = list(client.responses.create(model=MODEL, input="How is it?", stream=True))
    assert [event.type for event in stream] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
        "response.output_text.delta", "response.output_text.delta", "response.output_text.done",
        "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert [event.sequence_number for event in stream] == list(range(len(stream)))
    created, completed = stream[0], stream[-1]
    assert created.type == "response.created"
    assert completed.type == "response.completed"
    assert (created.response.output, created.response.status) == ([], "in_progress")
    assert (completed.response.output_text, completed.response.id) == ("It rains.", created.response.id)
    assert completed.response.usage is not None
    assert completed.response.usage.total_tokens == 9


def test_a_structured_answer_is_parsed(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    answers(engine, '{"name": "Bern", "people": 140000}')
    parsed = client.responses.parse(model=MODEL, input="Bern?", text_format=City)
    assert parsed.output_parsed == City(name="Bern", people=140000)
    assert json.loads(engine.asked[0].schema or "{}")["required"] == ["name", "people"]
    with client.responses.stream(model=MODEL, input="Bern?", text_format=City) as stream:
        assert stream.get_final_response().output_parsed == City(name="Bern", people=140000)


def test_a_cut_answer_is_incomplete(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    answers(engine, "It rains", finish_reason="length")
    whole = client.responses.create(model=MODEL, input="x", max_output_tokens=2)
    stream = list(client.responses.create(model=MODEL, input="x", max_output_tokens=2, stream=True))
    last = stream[-1]
    assert last.type == "response.incomplete"
    for response in (whole, last.response):
        assert response.status == "incomplete"
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == "max_output_tokens"
        assert [getattr(item, "status", None) for item in response.output] == ["incomplete"]


def test_an_error_is_a_status_before_the_first_event_and_fails_the_response_after_it(make: Make) -> None:
    body = {"input": "x", "stream": True}
    early = ask(make(ScriptedEngine(lambda request: FAILS)), "POST", "/v1/responses", json=body)
    assert early.status_code == 503
    assert early.json()["error"]["message"].startswith("The engine went away.")
    late = events(ask(make(FailsLate(lambda request: "a b c")), "POST", "/v1/responses", json=body).text)
    kind, last = late[-1][0], json.loads(late[-1][1])
    assert (kind, last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"]["code"] == "server_error"
    assert "went away" in last["response"]["error"]["message"]


def test_log_probabilities_come_when_they_are_included(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    engine.can_logprobs = True
    answers(engine, "Hi", logprobs=(Logprob(5, "Hi", -0.5),))
    response = client.responses.create(model=MODEL, input="x", include=["message.output_text.logprobs"], top_logprobs=2)
    message = response.output[0]
    assert message.type == "message"
    part = message.content[0]
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert (part.logprobs[0].token, part.logprobs[0].logprob) == ("Hi", -0.5)
    assert engine.asked[0].logprobs == 2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"store": True}, "store"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"top_logprobs": 1}, "top_logprobs"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools.0.name"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"tools": [{**WEATHER, "parameters": {"type": 5}}]}, "tools.0.parameters"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "odd"}}}, "text.format.type"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0"),
        ({"input": [{"type": "web_search_call"}]}, "input.0.type"),
        ({"input": [{"role": "nobody", "content": "x"}]}, "input.0.role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content"),
        ({"input": [{"role": "system", "content": "x"}]}, "input"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input.0.call_id"),
        ({"input": [{"role": "user", "content": "x"}, {"content": "x"}]}, "input.1"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_name(
    make: Make, engine: ScriptedEngine, body: dict[str, Any], param: str
) -> None:
    sent = json.dumps({"input": "x", **body})
    response = ask(make(engine), "POST", "/v1/responses", content=sent, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param), response.text
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert engine.asked == []


def test_an_input_is_counted(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    counted = client.responses.input_tokens.count(model=MODEL, input="one two three", instructions="four")
    assert counted.input_tokens == 4
    assert engine.asked == []
