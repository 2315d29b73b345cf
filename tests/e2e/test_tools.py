"""Tool calls of a real model with a template for them: the official client, enforced arguments, results of tools."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from service import settings as settings_module
from service.engine.pool import Engines
from service.http.app import create_app
from service.models.cache import Cache
from service.models.catalog import Catalog
from service.prompts.library import Library
from tests.http.conftest import serving, until

pytestmark = pytest.mark.model

NAME = "qwen2.5-coder-1.5b-instruct"
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather forecast of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 20},
                "unit": {"enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
            },
            "required": ["city", "unit", "days"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def url(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = settings_module.load(port=0, context=1024, parallel=1, model=NAME)
    if not Cache(settings.cache_dir).holds(catalog[NAME]):
        pytest.skip(f"{NAME} (1.1 GB) is not in the cache: sameboat model pull {NAME}")
    app = create_app(settings, engines=Engines(settings, catalog), library=Library(tmp_path_factory.mktemp("data")))
    with serving(app) as here:
        until(lambda: httpx.get(f"{here}/readyz", timeout=60).status_code == 200, "the model is ready")
        yield here


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0, timeout=300) as it:
        yield it


def test_a_call_obeys_its_schema_and_its_result_is_answered(client: openai.OpenAI) -> None:
    messages: list[object] = [
        {"role": "user", "content": "How warm will it be in Bern in the next 3 days, in celsius?"}
    ]
    asked = client.chat.completions.create(
        model=NAME, messages=messages, tools=[WEATHER], tool_choice="required", temperature=0, parallel_tool_calls=False
    )  # type: ignore[call-overload]
    choice = asked.choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    arguments = json.loads(call.function.arguments)
    assert arguments == {"city": "Bern", "unit": "celsius", "days": 3}
    messages += [
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": '{"forecast": [21, 22, 19]}'},
    ]
    told = client.chat.completions.create(
        model=NAME, messages=messages, tools=[WEATHER], tool_choice="auto", temperature=0, max_tokens=60
    )  # type: ignore[call-overload]
    assert told.choices[0].finish_reason == "stop"
    assert "21" in told.choices[0].message.content


def test_a_stream_gives_the_same_call(client: openai.OpenAI) -> None:
    body = {
        "model": NAME, "tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "messages": [{"role": "user", "content": "Tomorrow's weather in Lima?"}], "temperature": 0,
        "parallel_tool_calls": False,
    }  # fmt: skip
    whole = client.chat.completions.create(**body)  # type: ignore[call-overload]
    fresh = {"Cache-Control": "no-cache"}  # a kept answer comes in one piece
    chunks = list(client.chat.completions.create(**body, stream=True, extra_headers=fresh))  # type: ignore[call-overload]
    pieces = [call.function for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    (call,) = whole.choices[0].message.tool_calls
    assert pieces[0].name == call.function.name
    assert "".join(piece.arguments for piece in pieces) == call.function.arguments
    assert len(pieces) > 2
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_sameboat_before_it_gives_the_same_calls(client: openai.OpenAI, url: str, tmp_path: Path) -> None:
    """Through a remote engine: the same call with the same arguments, whole and streamed."""
    settings = settings_module.load(port=0, model=NAME, engine="remote", remote_base_url=f"{url}/v1")
    body = {
        "model": NAME, "tools": [WEATHER], "tool_choice": "required", "temperature": 0, "parallel_tool_calls": False,
        "messages": [{"role": "user", "content": "Tomorrow's weather in Lima, in celsius?"}],
    }  # fmt: skip
    (behind,) = client.chat.completions.create(**body).choices  # type: ignore[call-overload]
    with (
        serving(create_app(settings, library=Library(tmp_path))) as front,
        openai.OpenAI(base_url=f"{front}/v1", api_key="x", max_retries=0, timeout=300) as through,
    ):
        (here,) = through.chat.completions.create(**body).choices  # type: ignore[call-overload]
        chunks = list(through.chat.completions.create(**body, stream=True))  # type: ignore[call-overload]
    (function,) = [call.function for call in behind.message.tool_calls]
    assert [call.function for call in here.message.tool_calls] == [function]
    assert here.finish_reason == behind.finish_reason == "tool_calls"
    pieces = [call.function for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    assert json.loads(function.arguments)["city"] == "Lima"
    assert "".join(piece.arguments for piece in pieces) == function.arguments
