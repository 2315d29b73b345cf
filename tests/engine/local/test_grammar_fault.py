"""Schemas that llguidance refuses: each refusal has the place of the fault, and repeats no text of the caller."""

from __future__ import annotations

from typing import Any

import pytest

from service.engine.schema import compile_schema
from service.engine.types import Request
from service.errors import SchemaUnsupported
from tests.engine.schema.byte_tokens import tokenizer

grammar_fault = pytest.importorskip("service.engine.local.grammar_fault", reason="llguidance comes with the engine")
SECRET = "caller-secret"  # pragma: allowlist secret
NO_TEXT = {"allOf": [{"type": "string"}, {"type": "number"}]}
FIVE = {"type": "string", "minLength": 5, "pattern": "^a{0,3}$"}
UNTELLABLE = [{"pattern": "((c1d3g3).{4,8}){6,6}"}, {"pattern": "(t|8){10,10}"}, {"minLength": 100}]


def holding(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"n": {"type": "integer"}, SECRET: schema}, "required": [SECRET], **more}


@pytest.mark.parametrize(
    ("schema", "pointer", "keyword"),
    [
        (holding(NO_TEXT), f"/properties/{SECRET}/allOf/1", "type"),
        (holding({"type": "array", "minItems": 1, "items": NO_TEXT}), f"/properties/{SECRET}/items/allOf/1", "type"),
        (holding({"$ref": "#/$defs/x"}, **{"$defs": {"x": FIVE}}), "/$defs/x", "pattern"),
        ({"anyOf": [NO_TEXT, {"allOf": [{"type": "null"}, {"type": "number"}]}]}, "/anyOf/1/allOf/1", "type"),
        (
            {"allOf": [holding({"type": "string"}), {"properties": {SECRET: {"type": "number"}}}]},
            f"/allOf/1/properties/{SECRET}",
            "type",
        ),
        ({"type": "string", "pattern": r"^(([a-z]\d)+)$", "allOf": UNTELLABLE}, "/allOf/2", "minLength"),
        ({**FIVE, "description": SECRET}, "", "pattern"),
    ],
)
def test_a_refusal_has_the_place_of_the_fault(schema: Any, pointer: str, keyword: str) -> None:
    compile_schema(schema)  # the gate takes it
    error = grammar_fault.fault(schema)
    assert error is not None
    assert (error.key, error.keyword) == (pointer, keyword)


def test_a_schema_without_a_fault_has_none_and_a_tool_is_named() -> None:
    assert grammar_fault.fault(holding({"type": "string"})) is None
    without_place = SchemaUnsupported("?", pointer="", keyword="schema")
    tools = tuple({"function": {"name": "f", "parameters": schema}} for schema in (holding({}), holding(NO_TEXT)))
    placed = grammar_fault.placed(without_place, Request(tools=tools))
    assert placed.key == f"/tools/1/function/parameters/properties/{SECRET}/allOf/1"
    assert grammar_fault.placed(without_place, Request(grammar="start: x")) is without_place


def test_the_search_for_a_large_schema_ends() -> None:
    """The fault is the last of many alternatives, so the search would compile the whole again and again."""
    many = [{"type": "string", "pattern": f"^{'x' * 40}{at}$"} for at in range(150)]
    error = grammar_fault.fault(
        {"type": "object", "properties": {"v": {"anyOf": many}, "w": NO_TEXT}, "required": ["w"]}
    )
    assert error is not None
    assert error.key.startswith("/properties")


@pytest.mark.parametrize(
    "grammar",
    [
        f"start: {SECRET.replace('-', '_')}",
        f'start: "{SECRET}" | (',
        f"start: /{SECRET}[/",
        f'start: %json {{"allOf": [{{"pattern": "^{SECRET}$"}}, {{"pattern": "^b$"}}], "type": "string"}}',
        f'start: "{SECRET}',
    ],
)
def test_no_reason_repeats_the_callers_text(grammar: str) -> None:
    text = grammar_fault.llguidance.LLMatcher.grammar_from_lark(grammar)
    matcher = grammar_fault.llguidance.LLMatcher(tokenizer(), text, log_level=0, limits=grammar_fault.LIMITS)
    assert matcher.is_error()
    reason = grammar_fault.reason_of(matcher.get_error(), place=True)
    assert reason
    assert "caller" not in reason
