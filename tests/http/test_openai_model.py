"""OpenAI's API with the real starter model behind it, through the official client and a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from service.models.catalog import Catalog

pytestmark = pytest.mark.model

SAY = [{"role": "user", "content": "Say hello to Ada in one short sentence."}]
PERSON = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "age"],
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0}},
}


@pytest.fixture
def url(starter_url: str) -> str:
    return starter_url


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    """The official client without retries, so that the tests see each answer."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0, timeout=300) as it:
        yield it


@pytest.fixture
def name(catalog: Catalog) -> str:
    """The starter model's name."""
    return catalog.default


def test_a_stream_joins_to_the_whole_answer_and_ends_with_usage(client: openai.OpenAI, name: str) -> None:
    whole = client.chat.completions.create(model=name, messages=SAY, temperature=0, max_tokens=12)
    chunks = list(
        client.chat.completions.create(
            model=name,
            messages=SAY,
            temperature=0,
            max_tokens=12,
            stream=True,
            stream_options={"include_usage": True},
            extra_headers={"Cache-Control": "no-cache"},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert whole.usage
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens > 0
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens


def test_a_schema_is_enforced_whatever_the_temperature(client: openai.OpenAI, name: str) -> None:
    answer = client.chat.completions.create(
        model=name,
        messages=[{"role": "user", "content": "Ada is 36 years old."}],
        temperature=1.5,
        seed=5,
        max_tokens=120,
        response_format={"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}},
    )
    found = json.loads(answer.choices[0].message.content or "")
    assert set(found) == {"name", "age"}
    assert isinstance(found["age"], int)


def test_a_schema_that_cannot_be_enforced_is_refused_by_its_keyword(client: openai.OpenAI, name: str) -> None:
    schema = {**PERSON, "$dynamicRef": "#node"}
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=name,
            messages=SAY,
            response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": schema}},
        )
    assert refused.value.code == "invalid_schema"
    assert "$dynamicRef" in refused.value.message


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_longer_than_the_context_is_refused_with_the_numbers(
    client: openai.OpenAI, name: str, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": "word " * 3000}], stream=stream
        )
    assert refused.value.code == "context_length_exceeded"
    assert "1024" in refused.value.message
    assert any(int(word) >= 3000 for word in refused.value.message.replace(",", "").split() if word.isdigit())


def test_a_seed_repeats_an_answer_and_n_counts_on_from_it(client: openai.OpenAI, name: str) -> None:
    def made(seed: int, n: int = 1) -> list[str | None]:
        answer = client.chat.completions.create(
            model=name,
            messages=SAY,
            temperature=1.2,
            seed=seed,
            n=n,
            max_tokens=10,
            extra_headers={"X-Sameboat-Mode": "exact", "Cache-Control": "no-cache"},
        )
        assert [choice.index for choice in answer.choices] == list(range(n))
        return [choice.message.content for choice in answer.choices]

    assert made(7, n=2) == made(7) + made(8)


def test_a_stop_string_ends_an_answer_and_is_not_in_it(client: openai.OpenAI, name: str) -> None:
    count = [{"role": "user", "content": "Repeat exactly: one two three"}]
    full = client.chat.completions.create(model=name, messages=count, temperature=0, max_tokens=20)
    text = full.choices[0].message.content or ""
    stop = text[len(text) // 2 :][:3]
    cut = client.chat.completions.create(model=name, messages=count, temperature=0, max_tokens=20, stop=[stop])
    assert cut.choices[0].message.content == text[: text.index(stop)]
    assert cut.choices[0].finish_reason == "stop"


def test_log_probabilities_belong_to_the_text(client: openai.OpenAI, name: str) -> None:
    answer = client.chat.completions.create(
        model=name, messages=SAY, temperature=0, max_tokens=6, logprobs=True, top_logprobs=3
    )
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.content
    assert len(told.content) == answer.usage.completion_tokens  # type: ignore[union-attr]
    for each in told.content:
        assert each.logprob <= 0
        assert len(each.top_logprobs) == 3
        assert each.token == each.top_logprobs[0].token, "greedy takes the likeliest"


def test_a_text_is_continued(client: openai.OpenAI, name: str) -> None:
    answer = client.completions.create(model=name, prompt="1, 2, 3, 4,", max_tokens=4, temperature=0)
    assert answer.choices[0].text
    assert answer.usage
    assert 0 < answer.usage.completion_tokens <= 4


def test_models_are_listed_with_context_and_digest_and_others_are_unknown(
    client: openai.OpenAI, catalog: Catalog, name: str, starter: Path
) -> None:
    only = next(model for model in client.models.list().data if model.id == name)
    assert only.created == int(starter.stat().st_mtime)
    assert only.model_extra
    assert only.model_extra["context_length"] == 1024
    assert only.model_extra["sha256"] == catalog[name].sha256
    for call in (
        lambda: client.models.retrieve("gpt-4"),
        lambda: client.chat.completions.create(model="gpt-4", messages=[{"role": "user", "content": "x"}]),
    ):
        with pytest.raises(openai.NotFoundError) as unknown:
            call()
        assert unknown.value.code == "model_not_found"


def test_the_service_stays_ready_and_counts_the_requests(url: str, client: openai.OpenAI, name: str) -> None:
    client.chat.completions.create(model=name, messages=SAY, max_tokens=2)
    with httpx.Client(base_url=url) as plain:
        assert plain.get("/readyz").json()["state"] == "ready"
        text = plain.get("/metrics").text
    assert f'sameboat_time_to_first_token_seconds_count{{model="{name}"}}' in text
    for metric in ("requests_total", "prefill_tokens_total", "decode_seconds_total", "worker_memory_bytes"):
        assert f'sameboat_{metric}{{model="{name}"}}' in text
    assert f'sameboat_tokens_saved_total{{cause="prefix",model="{name}"}}' in text


def test_the_starter_calls_tools_although_its_template_shows_none(client: openai.OpenAI, name: str) -> None:
    """Required, whole and streamed. Its arguments obey their schema, and the result of a call can be sent back."""
    tool = {"type": "function", "function": {"name": "greet", "parameters": PERSON}}
    body = {"model": name, "messages": SAY, "tools": [tool], "tool_choice": "required", "temperature": 0}
    choice = client.chat.completions.create(**body).choices[0]  # type: ignore[call-overload]
    (call,) = choice.message.tool_calls
    arguments = json.loads(call.function.arguments)
    assert (choice.finish_reason, call.function.name, set(arguments)) == ("tool_calls", "greet", {"name", "age"})
    chunks = list(client.chat.completions.create(**body, stream=True))  # type: ignore[call-overload]
    pieces = [piece for chunk in chunks for piece in chunk.choices[0].delta.tool_calls or []]
    assert "".join(piece.function.arguments for piece in pieces) == call.function.arguments
    result = {"role": "tool", "tool_call_id": call.id, "content": "Hello, Ada!"}
    body |= {"messages": [*SAY, choice.message.model_dump(exclude_none=True), result], "tool_choice": "auto"}
    assert client.chat.completions.create(**body, max_tokens=8).choices[0].message.content  # type: ignore[call-overload]
