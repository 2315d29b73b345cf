"""Tool calls: the grammar accepts exactly the texts that parse into calls with arguments that obey their schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.engine import toolcalls
from service.errors import RequestError, SchemaUnsupported
from tests.engine.schema.byte_tokens import accepts, matcher

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}
TOOLS = [WEATHER, CLOCK]


def called(name: str, arguments: Any) -> str:
    return toolcalls.write([{"name": name, "arguments": json.dumps(arguments)}])


@pytest.mark.parametrize(
    ("choice", "right", "wrong"),
    [
        (
            "required",
            [called("weather", {"city": "Bern", "days": 3}), called("clock", {})],
            ["Hello.", called("weather", {"days": 3}), called("weather", {"city": "x", "days": 8}), called("map", {})],
        ),
        (
            "auto",
            ["Hello.", "a < b", called("clock", {}), called("clock", {}) + "\n" + called("weather", {"city": "é"})],
            ["Hi <tool_call>", called("clock", {}) + " and so on"],
        ),
        (
            {"type": "function", "function": {"name": "clock"}},
            [called("clock", {})],
            [called("weather", {"city": "Bern"})],
        ),
    ],
)
def test_the_grammar_takes_exactly_valid_calls(choice: Any, right: list[str], wrong: list[str]) -> None:
    """Required, automatic and named choices accept the right calls, with arguments that obey the schema."""
    made = toolcalls.grammar(TOOLS, choice)
    assert made is not None
    for text in right:
        assert accepts(made.lark, text), f"{text}\n{made.lark}"
    for text in wrong:
        assert not accepts(made.lark, text), text


def test_a_required_call_is_forced_up_to_the_name() -> None:
    """With one tool nothing is left to choose before its first free argument."""
    made = toolcalls.grammar([WEATHER], "required", parallel=False)
    assert made is not None
    assert matcher(made.lark).compute_ff_bytes().decode() == '<tool_call>\n{"name": "weather", "arguments": {"city": "'


def test_no_call_is_possible_with_none() -> None:
    """tool_choice none, or no tools, needs no grammar."""
    assert toolcalls.grammar(TOOLS, "none") is None
    assert toolcalls.grammar([], None) is None


def test_calls_come_back_in_openais_shape() -> None:
    """Name and arguments as JSON text, an id that repeats for the same answer and differs between calls."""
    text = called("weather", {"city": "Bern"}) + "\n" + called("weather", {"city": "Bern"})
    content, calls = toolcalls.parse(text, TOOLS)
    assert content == ""
    assert [call["function"] for call in calls] == [{"name": "weather", "arguments": '{"city": "Bern"}'}] * 2
    assert len({call["id"] for call in calls}) == 2
    assert toolcalls.parse(text, TOOLS) == (content, calls)
    assert toolcalls.parse("Just text.", TOOLS) == ("Just text.", ())


@pytest.mark.parametrize(
    "text", ["<tool_call>{</tool_call>", called("map", {}), called("weather", {"city": 1}), called("weather", [1])]
)
def test_what_is_no_valid_call_is_an_error(text: str) -> None:
    """An unreadable call, an unknown tool and wrong arguments are told, never passed on."""
    with pytest.raises(RequestError):
        toolcalls.parse(text, TOOLS)


@pytest.mark.parametrize(
    ("tools", "choice", "key"),
    [
        ([{"type": "function", "function": {"name": "a b"}}], None, "/tools/0/function/name"),
        ([CLOCK, CLOCK], None, "/tools/1/function/name"),
        ([{"type": "retrieval"}], None, "/tools/0"),
        (TOOLS, "sometimes", "/tool_choice"),
        (TOOLS, {"type": "function", "function": {"name": "map"}}, "/tool_choice"),
        ([], "required", "/tool_choice"),
    ],
)
def test_bad_definitions_name_their_place(tools: Any, choice: Any, key: str) -> None:
    """The error's key is the JSON pointer into the request."""
    with pytest.raises(RequestError) as caught:
        toolcalls.grammar(tools, choice)
    assert caught.value.key == key


def test_parameters_that_cannot_be_enforced_are_refused_with_their_pointer() -> None:
    """Fail closed for arguments as for answers."""
    tool = {
        "type": "function",
        "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"pattern": "(?=x)"}}}},
    }
    with pytest.raises(SchemaUnsupported) as caught:
        toolcalls.grammar([CLOCK, tool], "auto")
    assert caught.value.key == "/tools/1/function/parameters/properties/a"


def test_which_templates_have_tools() -> None:
    """A template that lists tools and shows the call form, and one that only mentions them."""
    assert toolcalls.template_has_tools("{% if tools %}...<tool_call>...{% endif %}")
    assert not toolcalls.template_has_tools("{% for message in messages %}{{ message.content }}{% endfor %}")
