"""Structured answers over HTTP: each form reaches the engine, and no answer that breaks its schema is a success."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.engine.schema import text_grammar
from service.errors import RequestError, SchemaUnsupported
from service.http.structured import engine_fields
from tests.http.conftest import Make, ask
from tests.scripted import ScriptedEngine

SAY = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
TEXT = json.dumps(SCHEMA, separators=(",", ":"))


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}, {"schema": TEXT}),
        ({"response_format": {"type": "json_schema", "schema": SCHEMA}}, {"schema": TEXT}),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, {"schema": TEXT}),
        ({"response_format": {"type": "json_object"}}, {"any_json": True}),
        ({"response_format": {"type": "text"}}, {}),
        ({"json_schema": SCHEMA}, {"schema": TEXT}),
        ({"guided_json": json.dumps(SCHEMA)}, {"schema": TEXT}),
        ({"structured_outputs": {"json": SCHEMA}}, {"schema": TEXT}),
        ({"structured_outputs": {"json_object": True, "regex": None}}, {"any_json": True}),
        ({"guided_regex": "[0-9]+"}, {"grammar": text_grammar.of_regex("[0-9]+")}),
        ({"regex": "a"}, {"grammar": text_grammar.of_regex("a")}),
        ({"structured_outputs": {"choice": ["a/", "b"]}}, {"grammar": "start: /(?:[a][\\x{2f}]|[b])/\n"}),
        ({"grammar": 'root ::= "a"'}, {"grammar": 'root ::= "a"'}),
        ({"grammar": "", "guided_regex": None}, {}),
    ],
)
def test_each_form_reaches_the_engine(body: dict[str, Any], fields: dict[str, Any]) -> None:
    """OpenAI's, vLLM's, llama-server's and SGLang's names."""
    assert engine_fields(body) == fields


@pytest.mark.parametrize(
    "body",
    [
        {"json_schema": SCHEMA, "grammar": "x"},
        {"structured_outputs": {"json": SCHEMA, "regex": "a"}},
        {"structured_outputs": {"structural_tag": "x"}},
        {"response_format": {"type": "json_schema"}},
        {"json_schema": "{"},
        {"json_schema": "[]"},
        {"structured_outputs": {"regex": 5}},
        {"guided_choice": []},
        {"guided_choice": [""]},
        {"grammar": "x" * 70_000},
    ],
)
def test_a_malformed_or_double_form_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(RequestError):
        engine_fields(body)


def test_an_expression_outside_the_subset_is_refused() -> None:
    with pytest.raises(SchemaUnsupported):
        engine_fields({"regex": "(?=a)"})


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"type": "object", "properties": {"to": {"type": "string", "format": "email"}}}, '{"to": "nobody"}'),
    ({"type": "object", "properties": {"n": {"type": "number", "multipleOf": 7}}}, '{"n": 12}'),
    ({"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True}, '["a", "a"]'),
    ({"type": "number"}, "1e999"),
    ({"type": "array", "contains": {"const": 1}}, "[2]"),
]


@pytest.mark.parametrize(("schema", "text"), BROKEN)
@pytest.mark.parametrize("stream", [False, True])
def test_no_answer_that_breaks_its_schema_is_a_success(
    make: Make, schema: dict[str, Any], text: str, stream: bool
) -> None:
    """The check after decoding gives a 502, or an error event in a stream, and does not repeat the answer."""
    app = make(ScriptedEngine(lambda request: text))
    body = {"messages": SAY, "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    named = {"x-request-id": "named-here"}  # a random one may hold the answer
    response = ask(app, "POST", "/v1/chat/completions", json={**body, "stream": stream}, headers=named)
    if stream:
        events = [line for line in response.text.splitlines() if line.startswith("data: {")]
        error = json.loads(events[-1][6:])["error"]
        assert "[DONE]" not in response.text
    else:
        assert response.status_code == 502
        error = response.json()["error"]
        assert text not in response.text
    assert error["code"] == "answer-unusable"


def test_a_broken_argument_of_a_tool_is_an_unusable_answer(make: Make) -> None:
    parameters = {"type": "object", "properties": {"to": {"type": "string", "format": "email"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    call = '<tool_call>\n{"name": "f", "arguments": {"to": "nobody"}}\n</tool_call>'
    app = make(ScriptedEngine(lambda request: call))
    response = ask(app, "POST", "/v1/chat/completions", json={"messages": SAY, "tools": [tool]})
    assert (response.status_code, response.json()["error"]["code"]) == (502, "answer-unusable")


def test_the_answer_says_what_was_enforced_and_what_was_checked(make: Make) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "number", "multipleOf": 7}}}
    app = make(ScriptedEngine(lambda request: '{"n": 14}'))
    body = {"messages": SAY, "response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    extra = ask(app, "POST", "/v1/chat/completions", json=body).json()["sameboat"]["schema"]
    assert extra["checked"] == ["multipleOf at /properties/n"]
    assert {"type", "properties", "multipleOf"} <= set(extra["enforced"])
