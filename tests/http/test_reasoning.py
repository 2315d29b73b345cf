"""Thoughts over HTTP: reasoning items of /v1/responses, and the parameters that leave thoughts out or in the text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from service.engine.types import Answer, Message, Request, Thinking, Timings, Usage
from tests.http.conftest import Make, serving
from tests.scripted import ScriptedEngine

SAY = [{"role": "user", "content": "2 + 2?"}]
ANSWER = "<think>\n2 and 2\n</think>\n\nIt is 4."


class Counting(ScriptedEngine):
    """Records the requests for tokens, too."""

    async def count(self, request: Request) -> int:
        self.asked.append(request)
        return await super().count(request)

    async def tokenize(self, request: Request, *, add_special: bool = True) -> tuple[int, ...]:
        self.asked.append(request)
        return await super().tokenize(request, add_special=add_special)


@pytest.fixture
def engine() -> ScriptedEngine:
    made = Counting(lambda request: ANSWER)
    made.thinks = Thinking("<think>", "</think>")
    return made


@pytest.fixture
def url(make: Make, engine: ScriptedEngine) -> Iterator[str]:
    with serving(make(engine)) as it:
        yield it


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as it:
        yield it


def create(client: openai.OpenAI, said: Any = "2 + 2?", **more: Any) -> Any:
    return client.responses.create(model="smollm2-135m-instruct", input=said, **more)


def test_thoughts_are_a_reasoning_item_before_the_message(client: openai.OpenAI) -> None:
    response = create(client)
    reasoning, message = response.output
    assert (reasoning.type, reasoning.status, reasoning.summary) == ("reasoning", "completed", [])
    assert [(part.type, part.text) for part in reasoning.content] == [("reasoning_text", "2 and 2")]
    assert (message.type, response.output_text) == ("message", "It is 4.")


def test_a_stream_has_the_events_of_reasoning_and_ends_with_the_whole_response(client: openai.OpenAI) -> None:
    events = list(create(client, stream=True))
    kinds = [event.type for event in events]
    deltas = [event for event in events if event.type == "response.reasoning_text.delta"]
    [done] = [event for event in events if event.type == "response.reasoning_text.done"]
    assert "".join(event.delta for event in deltas) == done.text == "2 and 2"
    assert {event.output_index for event in [*deltas, done]} == {0}
    assert kinds.index("response.reasoning_text.done") < kinds.index("response.output_text.delta")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [kind for kind in kinds if kind.startswith("response.output_item")] == [
        "response.output_item.added", "response.output_item.done"
    ] * 2  # fmt: skip
    assert [item.type for item in events[-1].response.output] == ["reasoning", "message"]
    assert events[-1].response.output[0].content[0].text == "2 and 2"


def test_an_answer_that_is_cut_in_its_thoughts_is_an_incomplete_item(
    client: openai.OpenAI, engine: ScriptedEngine
) -> None:
    cut = Answer("<think>2 and", (1, 2), "length", Usage(7, 2), Timings(0, 0, 0))
    engine.reply = lambda request: cut
    response = create(client)
    assert [(item.type, item.status) for item in response.output] == [("reasoning", "incomplete")]
    assert (response.status, response.output_text) == ("incomplete", "")


def test_thoughts_without_an_answer_are_followed_by_an_empty_message(
    client: openai.OpenAI, engine: ScriptedEngine
) -> None:
    engine.reply = lambda request: "<think>2 and 2</think>"
    response = create(client)
    assert [(item.type, item.status) for item in response.output] == [
        ("reasoning", "completed"), ("message", "completed")
    ]  # fmt: skip
    assert list(create(client, stream=True))[-1].response.output_text == ""


def test_reasoning_items_come_back_as_thoughts_of_their_turn(client: openai.OpenAI, engine: ScriptedEngine) -> None:
    said: list[Any] = [dict(SAY[0])]
    said += [item.model_dump(exclude_none=True) for item in create(client).output]
    create(client, [*said, {"role": "user", "content": "And 3?"}])
    assert engine.asked[1].messages == (
        Message("user", "2 + 2?"), Message("assistant", "It is 4.", reasoning="2 and 2"), Message("user", "And 3?")
    )  # fmt: skip


def test_a_structured_response_and_one_that_must_be_a_call_have_no_thoughts(
    client: openai.OpenAI, engine: ScriptedEngine
) -> None:
    """The grammar leaves no room for marks, so a text that looks like one belongs to the answer."""
    engine.reply = lambda request: '{"<think>": 1}'
    response = create(client, text={"format": {"type": "json_object"}})
    assert ([item.type for item in response.output], response.output_text) == (["message"], '{"<think>": 1}')


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
def test_an_answer_that_must_be_a_call_has_no_thoughts(url: str, engine: ScriptedEngine, choice: Any) -> None:
    """Also where the prompt ends inside the thoughts: the whole answer would be taken for one."""
    engine.thinks = Thinking("<think>", "</think>", begun=True)
    engine.reply = lambda request: '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    body = {"messages": SAY, "tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": choice}
    message = httpx.post(f"{url}/v1/chat/completions", json=body).json()["choices"][0]["message"]
    assert message["tool_calls"][0]["function"]["name"] == "f"
    assert "reasoning_content" not in message


@pytest.mark.parametrize(
    ("fields", "thoughts", "text"),
    [
        ({}, "2 and 2", "It is 4."),
        ({"include_reasoning": True, "reasoning_format": "deepseek"}, "2 and 2", "It is 4."),
        ({"include_reasoning": False}, None, "It is 4."),
        ({"reasoning_format": "none"}, None, ANSWER),
        ({"separate_reasoning": False}, None, ANSWER),
    ],
)
def test_thoughts_are_left_out_or_in_the_text_as_asked(
    url: str, fields: dict[str, Any], thoughts: str | None, text: str
) -> None:
    body = {"messages": SAY, **fields}
    message = httpx.post(f"{url}/v1/chat/completions", json=body).json()["choices"][0]["message"]
    assert (message.get("reasoning_content"), message["content"]) == (thoughts, text)
    lines = httpx.post(f"{url}/v1/chat/completions", json={**body, "stream": True}).text.splitlines()
    chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == text
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == (thoughts or "")


def test_thoughts_that_are_left_out_and_kept_in_the_text_contradict_each_other(url: str) -> None:
    body = {"messages": SAY, "include_reasoning": False, "reasoning_format": "none"}
    response = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "include_reasoning")


def test_values_for_the_template_reach_every_route_that_renders_it(url: str, engine: ScriptedEngine) -> None:
    values = {"chat_template_kwargs": {"enable_thinking": False}, "template_date": "2026-11-26"}
    # An answer's request keeps no date here, because the scripted template reads none.
    for path, body in (
        ("/v1/responses", {"input": "x"}),
        ("/v1/responses/input_tokens", {"input": "x"}),
        ("/tokenize", {"messages": SAY}),
    ):
        assert httpx.post(url + path, json={**body, **values}).status_code == 200, path
        asked = engine.asked.pop()
        assert dict(asked.template.values) == {"enable_thinking": False}
        assert asked.template_date == (None if path == "/v1/responses" else "2026-11-26")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"chat_template_kwargs": {"enable_thinking": False}}, "chat_template_kwargs"),
        ({"add_generation_prompt": False}, "add_generation_prompt"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ],
)
def test_a_raw_text_has_no_template(url: str, fields: dict[str, Any], param: str) -> None:
    response = httpx.post(f"{url}/tokenize", json={"prompt": "x", **fields})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)
