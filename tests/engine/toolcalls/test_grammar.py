"""The grammar of calls: text may begin with anything, and where a call begins only a valid one may follow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.engine import toolcalls
from service.engine.toolcalls import forms
from tests.engine.schema.byte_tokens import MARK, accepts, matcher
from tests.engine.toolcalls.tools import CLOCK, TOOLS, WEATHER, called

PLAIN = [
    "Hello.", "a < b", "<b>black</b>", "<", "`", "```", "[1, 2", '{"a": 1}', '{"name": "Anna", "age": 3}',
    '```json\n{"name": "Anna"}\n```', '{"name": "map", "arguments": {}}', "<tool>", "",
]  # fmt: skip
"""Answers without calls. The one with `map` names no declared function."""
CALLS = [
    called("clock", {}), "Let me see.\n" + called("weather", {"city": "é"}),
    '```json\n{"name": "clock", "arguments": {}}', 'I call {"name": "weather", "parameters": {"city": "a"}}',
    '{\n  "name": "weather",\n  "arguments": {"city": "a"}\n}',
    '{"type": "function", "name": "clock", "parameters": {}}',
    '{"id": "a", "type": "function", "function": {"name": "clock", "arguments": {}}',
]  # fmt: skip
NO_CALLS = [
    "Hi <tool_call>", "<tool_call>\nHi", called("map", {}), called("weather", {"days": 1}),
    called("weather", {"city": "a", "days": 8}), '```json\n{"name": "clock", "arguments": {"a": 1}}',
    '{"name": "weather", "arguments": {}}',
]  # fmt: skip
"""A call begins and does not go on as its schema demands."""


def lark(choice: Any = None, **options: Any) -> str:
    grammar = toolcalls.grammar(TOOLS, choice, **options)
    assert grammar is not None
    return grammar.lark


@pytest.mark.parametrize("parallel", [False, True])
def test_under_auto_an_answer_is_any_text_or_a_valid_call(parallel: bool) -> None:
    """Also an answer that begins with `<`, a fence or a brace is text, unless it names a declared function."""
    grammar = lark("auto", parallel=parallel)
    assert [text for text in PLAIN + CALLS if not accepts(grammar, text)] == []
    assert [text for text in NO_CALLS if accepts(grammar, text)] == []


@pytest.mark.parametrize("form", [forms.HERMES, forms.LLAMA, forms.MISTRAL_LIST, forms.MISTRAL_ARGS])
def test_a_required_answer_is_a_call_in_the_form_of_the_model(form: toolcalls.Form) -> None:
    """From its first character. With one function nothing is left to choose before its first free argument."""
    grammar = toolcalls.grammar([WEATHER], "required", form=form)
    assert grammar is not None
    begun = matcher(grammar.lark).compute_ff_bytes().decode()
    opening, middle, closing = form.call
    name = '"weather"' if form.quoted else "weather"
    assert begun == f'{form.mark}{form.around[0]}{opening}{name}{middle}{{"city": "'
    assert accepts(grammar.lark, f'{begun}Bern"}}{closing}{form.around[1]}')
    assert not accepts(grammar.lark, "Hello.")


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "function", "function": {"name": "clock"}},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "clock"}]},
    ],
)
def test_only_chosen_functions_can_be_called(choice: Any) -> None:
    """By a name, or by a list."""
    assert accepts(lark(choice), called("clock", {}))
    assert not accepts(lark(choice), called("weather", {"city": "Bern"}))


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_one_call_a_turn_unless_more_are_asked_for(choice: str) -> None:
    """And then not without end."""
    two = called("clock", {}) + "\n" + called("weather", {"city": "Bern"})
    assert not accepts(lark(choice), two)
    assert accepts(lark(choice, parallel=True), two)
    many = "\n".join(called("weather", {"city": str(number)}) for number in range(toolcalls.MAX_CALLS))
    assert accepts(lark(choice, parallel=True), many)
    assert not accepts(lark(choice, parallel=True), many + "\n" + called("clock", {}))


def test_parallel_calls_as_json_may_have_fences_between_them() -> None:
    """Models write them."""
    first, second = '{"name": "clock", "arguments": {}}', '{"name": "weather", "arguments": {"city": "x"}}'
    fenced = f"```json\n{first}\n```\n```json\n{second}\n```"
    assert accepts(lark("auto", parallel=True), fenced)
    assert not accepts(lark("auto", parallel=True), fenced.replace("city", "town"))


@pytest.mark.parametrize("choice", ["none"])
def test_no_call_is_possible_with_none(choice: str) -> None:
    """tool_choice none, or no tools, needs no grammar."""
    assert toolcalls.grammar(TOOLS, choice) is None
    assert toolcalls.grammar([], None) is None


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
         ['{"name": "weather"}', '{"name": "x", "more": 1}'], ['{"a": 1}', "Hello."]),
        ({"type": "array", "items": {"type": "integer"}}, ["[1, 2]"], ['["a"]', "Hello."]),
        (True, ['{"a": 1}', '{"name": 3}'], ["[1]", "Hello."]),
    ],
)  # fmt: skip
def test_with_a_schema_an_answer_is_its_json_or_a_call(schema: Any, right: list[str], wrong: list[str]) -> None:
    """A call has the form of the model, or is JSON like the answer."""
    grammar = lark("auto", schema=json.dumps(schema))
    calls = [called("clock", {}), '{"name": "weather", "arguments": {"city": "Bern"}}']
    assert [text for text in right + calls if not accepts(grammar, text)] == []
    assert [text for text in [*wrong, called("map", {}), called("weather", {})] if accepts(grammar, text)] == []


def test_a_required_call_is_no_answer_with_a_schema() -> None:
    """tool_choice decides."""
    grammar = lark("required", schema='{"type": "object"}')
    assert accepts(grammar, called("clock", {}))
    assert not accepts(grammar, "{}")


def test_references_of_arguments_hold_beside_a_schema() -> None:
    """They point into their own schema, also where the whole call is one JSON value."""
    parameters = {
        "type": "object", "properties": {"at": {"$ref": "#/$defs/place"}}, "required": ["at"],
        "$defs": {"place": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
    }  # fmt: skip
    tool = {"type": "function", "function": {"name": "go", "parameters": parameters}}
    grammar = toolcalls.grammar([tool, CLOCK], "auto", schema='{"type": "array"}')
    assert grammar is not None
    assert accepts(grammar.lark, '{"name": "go", "arguments": {"at": {"x": 3}}}')
    assert not accepts(grammar.lark, '{"name": "go", "arguments": {"at": {"x": "3"}}}')


def test_a_mark_that_is_a_control_token_is_a_token_in_the_grammar() -> None:
    """Text never spells a control token, so a grammar of text could not allow it."""
    form = toolcalls.form_of("{{ tools }} [TOOL_CALLS] [ARGS]", {"[TOOL_CALLS]": MARK})
    call = [MARK, *b'weather[ARGS]{"city": "Bern"}']
    for choice in ("auto", "required"):
        assert matcher(lark(choice, form=form)).validate_tokens(call) == len(call)
        assert matcher(lark(choice, form=form)).validate_tokens([MARK, *b"map"]) < 3
    assert matcher(lark("auto", form=form)).validate_tokens([*b"Hi. ", *call]) == 4 + len(call)
    assert matcher(lark("required", form=form, parallel=True)).validate_tokens(call * 2) == 2 * len(call)
    tagged = toolcalls.form_of('{{ tools }} {"name": name, "parameters": p}', {"<|python_tag|>": MARK})
    call = [MARK, *b'{"name": "clock", "parameters": {}}']
    assert matcher(lark("auto", form=tagged)).validate_tokens(call) == len(call)


@pytest.mark.parametrize("parallel", [False, True])
def test_as_many_tools_as_openai_allows_can_be_offered(parallel: bool) -> None:
    """The lexer has a limit of states, and a text of any length may stand before each of the names."""
    names = [f"{word}_{number}" for number in range(64) for word in ("get_thing", "set")]
    tools = [{"type": "function", "function": {**WEATHER["function"], "name": name}} for name in names]  # type: ignore[dict-item]
    grammar = toolcalls.grammar(tools, "auto", parallel=parallel)
    assert grammar is not None
    text = 'A {"name": "x"}, and {"name": "' + names[77] + '", "arguments": {"city": "Bern"}}'
    state = matcher(grammar.lark)
    for byte in text.encode():
        state.compute_bitmask()
        assert state.consume_token(byte), state.get_error()
    assert state.is_accepting()


@pytest.mark.parametrize("text", ['{"name": "map", "arguments": {"city": 1}}', '{"name": "clock", "age": 3}'])
def test_after_json_that_names_no_function_a_call_may_follow(text: str) -> None:
    """It was text, and the grammar looks for the next beginning."""
    assert accepts(lark("auto"), f"{text} and {called('clock', {})}")
    assert not accepts(lark("auto"), f"{text} and {called('map', {})}")
