"""The started service from outside: the README's requests, the official client, a browser."""

from __future__ import annotations

import json

import httpx
import openai
import pytest

from tests.browser import open_page
from tests.e2e import test_parity

pytestmark = pytest.mark.model
SCHEMA = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "green", "blue"]},
        "count": {"type": "integer", "minimum": 0, "maximum": 9},
    },
    "required": ["colour", "count"],
    "additionalProperties": False,
}


@pytest.fixture
def client(server: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0)


def chat(client: openai.OpenAI, **more: object) -> object:
    body = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Name a colour and a number."}]}
    return client.chat.completions.create(**{**body, "temperature": 0, "max_tokens": 40, **more})  # type: ignore[call-overload]


def test_the_official_client_gets_an_enforced_answer(client: openai.OpenAI) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "pick", "strict": True, "schema": SCHEMA}}
    answer = chat(client, response_format=wanted)
    value = json.loads(answer.choices[0].message.content)  # type: ignore[attr-defined]
    assert value["colour"] in {"red", "green", "blue"}
    assert 0 <= value["count"] <= 9


def test_streaming_gives_the_same_text_and_usage(client: openai.OpenAI) -> None:
    whole = chat(client)
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))  # type: ignore[call-overload]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content  # type: ignore[attr-defined]
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens  # type: ignore[attr-defined]


def test_a_schema_that_cannot_be_enforced_is_a_400_with_the_keyword(client: openai.OpenAI) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "$dynamicRef": "#node"}}}
    with pytest.raises(openai.BadRequestError, match=r"'\$dynamicRef' at the root is not supported"):
        chat(client, response_format=wanted)


def test_a_prompt_longer_than_the_context_is_a_400_with_limit_and_count(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"maximum context length is 2048 .* in \d{4} tokens") as caught:
        chat(client, messages=[{"role": "user", "content": "word " * 3000}])
    assert caught.value.code == "context_length_exceeded"


def test_a_wrong_input_is_told_by_pointer(server: str) -> None:
    answer = httpx.post(f"{server}/prompts/sender", json={"inputs": {"txt": "canary"}})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"pointer": "/inputs/text", "detail": "this input is missing"} in answer.json()["errors"]
    assert "canary" not in answer.text


def test_a_recorded_case_gets_the_recorded_tokens(server: str) -> None:
    """Twenty cases, and those in a process and in a notebook, are in `test_parity.py`."""
    answers = test_parity.over_http(server, 1)
    assert len(answers) == 1
    test_parity.assert_recorded(answers)


def test_the_documentation_needs_nothing_from_elsewhere(server: str) -> None:
    page = httpx.get(f"{server}/docs").text
    assert "https://" not in page
    assert httpx.get(f"{server}/docs/assets/swagger-ui-bundle.js").status_code == 200
    paths = httpx.get(f"{server}/openapi.json").json()["paths"]
    body = paths["/prompts/sender"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["inputs"]["required"] == ["text"]


@pytest.mark.browser
def test_a_person_sees_the_prompts_in_a_browser(server: str) -> None:
    """The page's script runs under its own strict policy and lists the promoted prompts. The views: `test_page.py`."""
    with open_page(server) as page:
        page.locator("#prompt option").first.wait_for(state="attached")
        names = page.locator("#prompt option").all_inner_texts()
        assert "sender" in names
        assert not names[0].startswith("build-"), "prompts for people come first"
        page.get_by_text("enforced: ").wait_for()
