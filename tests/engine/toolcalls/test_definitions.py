"""Tools and choices: those that are allowed, and errors that name their place."""

from __future__ import annotations

from typing import Any

import pytest

from service.engine import toolcalls
from service.errors import RequestError, SchemaUnsupported
from tests.engine.toolcalls.tools import CLOCK, TOOLS, WEATHER


def named(*names: str) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name}} for name in names]


@pytest.mark.parametrize(
    ("choice", "names", "required"),
    [
        (None, ["weather", "clock"], False),
        ("auto", ["weather", "clock"], False),
        ("none", [], False),
        ("required", ["weather", "clock"], True),
        (named("clock")[0], ["clock"], True),
        ({"type": "function", "name": "clock"}, ["clock"], True),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": named("clock")}}, ["clock"], False),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
         ["weather"], True),
    ],
)  # fmt: skip
def test_a_choice_says_which_functions_may_and_must_be_called(choice: Any, names: list[str], required: bool) -> None:
    """In the forms of chats and of responses."""
    functions, must = toolcalls.allowed(TOOLS, choice)
    assert (list(functions), must) == (names, required)


@pytest.mark.parametrize(
    ("tools", "choice", "key"),
    [
        ([{"type": "function", "function": {"name": "a b"}}], None, "/tools/0/function/name"),
        ([CLOCK, CLOCK], None, "/tools/1/function/name"),
        ([{"type": "retrieval"}], None, "/tools/0"),
        (TOOLS, "sometimes", "/tool_choice"),
        (TOOLS, "function", "/tool_choice"),
        (TOOLS, {"type": "auto"}, "/tool_choice"),
        (TOOLS, named("map")[0], "/tool_choice"),
        (TOOLS, {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": named("map")}}, "/tool_choice"),
        (TOOLS, {"type": "allowed_tools", "allowed_tools": {"mode": "none", "tools": named("clock")}}, "/tool_choice"),
        (TOOLS, {"type": "allowed_tools", "allowed_tools": []}, "/tool_choice"),
        ([], "required", "/tool_choice"),
    ],
)
def test_bad_definitions_name_their_place(tools: Any, choice: Any, key: str) -> None:
    """The error's key is the JSON pointer into the request."""
    with pytest.raises(RequestError) as caught:
        toolcalls.grammar(tools, choice)
    assert caught.value.key == key


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_parameters_that_cannot_be_enforced_are_refused_with_their_pointer(choice: str) -> None:
    """Fail closed for arguments as for answers."""
    properties = {"type": "object", "properties": {"a": {"pattern": "(?=x)"}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": properties}}
    with pytest.raises(SchemaUnsupported) as caught:
        toolcalls.grammar([CLOCK, tool], choice)
    assert caught.value.key == "/tools/1/function/parameters/properties/a"


def test_parameters_that_are_no_object_are_refused() -> None:
    """OpenAI's arguments are an object."""
    with pytest.raises(SchemaUnsupported) as caught:
        toolcalls.grammar([{"type": "function", "function": {"name": "f", "parameters": {"type": "array"}}}])
    assert caught.value.key == "/tools/0/function/parameters"
    assert toolcalls.grammar([WEATHER]) is not None
