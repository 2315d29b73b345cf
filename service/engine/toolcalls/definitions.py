"""The functions that an answer may call.

In: OpenAI's tool definitions and `tool_choice`. Out: functions by name, and the grammar of their arguments.
Not here: how a call is written (`forms`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from service.engine.schema import Grammar, compile_schema
from service.engine.schema.keywords import refuse
from service.engine.schema.limits import Work
from service.errors import RequestError, SchemaUnsupported

MAX_TOOLS = 128  # OpenAI's own limit
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # OpenAI's rule for function names
ToolChoice = str | Mapping[str, Any] | None
Functions = dict[str, Mapping[str, Any]]


def allowed(tools: Sequence[Mapping[str, Any]], choice: ToolChoice) -> tuple[Functions, bool]:
    """The functions that may be called, by name, and whether a call is required.

    `choice` is OpenAI's: None or "auto" may call, "required" must, "none" must not, a named function must be that one,
    and `allowed_tools` names those of a list, with a mode of its own.

    Raises:
        RequestError: if a definition or the choice is malformed.
    """
    functions = _by_name(tools)
    kind = choice.get("type") if isinstance(choice, Mapping) else choice
    match kind, choice:
        case None, None:
            return functions, False
        case "auto", str():
            return functions, False
        case "none", str():
            return {}, False
        case "required", str():
            if functions:
                return functions, True
        case "function", Mapping():
            name = _name_of(choice)
            if name in functions:
                return {name: functions[name]}, True
        case "allowed_tools", Mapping():
            return _allowed_tools(functions, choice)
    raise RequestError(
        "/tool_choice must be none, auto, required, allowed_tools or a function that tools defines.", key="/tool_choice"
    )


def _by_name(tools: Sequence[Mapping[str, Any]]) -> Functions:
    if len(tools) > MAX_TOOLS:
        raise RequestError(f"/tools may hold {MAX_TOOLS} tools.", key="/tools")
    functions: Functions = {}
    for at, tool in enumerate(tools):
        function = tool.get("function")
        name = function.get("name") if isinstance(function, Mapping) else None
        if tool.get("type") != "function" or not isinstance(function, Mapping) or not isinstance(name, str):
            raise RequestError(f"/tools/{at} is not a function with a name.", key=f"/tools/{at}")
        if not _NAME.fullmatch(name) or name in functions:
            raise RequestError(
                f"/tools/{at}/function/name must be new, of letters, digits, _ and -, and at most 64 long.",
                key=f"/tools/{at}/function/name",
            )
        functions[name] = function
    return functions


def _allowed_tools(functions: Functions, choice: Mapping[str, Any]) -> tuple[Functions, bool]:
    """OpenAI's `allowed_tools`: in chats its fields are in an object of their own, in responses beside the type."""
    inner = choice.get("allowed_tools", choice)
    listed = inner.get("tools") if isinstance(inner, Mapping) else None
    names = [_name_of(tool) for tool in listed] if isinstance(listed, list) else []
    mode = inner.get("mode", "auto") if isinstance(inner, Mapping) else None
    if not names or mode not in ("auto", "required") or any(name not in functions for name in names):
        raise RequestError(
            "/tool_choice of type allowed_tools needs tools, a list of functions that tools defines, and a mode: auto "
            "or required.",
            key="/tool_choice",
        )
    return {name: function for name, function in functions.items() if name in names}, mode == "required"


def _name_of(tool: Any) -> str:
    """The name of a function in a choice, in the form of chats or of responses. Empty if it has none."""
    if not isinstance(tool, Mapping):
        return ""
    inner = tool.get("function", tool)
    name = inner.get("name") if isinstance(inner, Mapping) else None
    return name if isinstance(name, str) else ""


def parameters_schema(parameters: Any, pointer: str) -> dict[str, Any]:
    """The schema of a function's arguments, which are an object.

    Raises:
        SchemaUnsupported: if they are no object. `pointer` is the place in the request.
    """
    schema = {"type": "object", "properties": {}, "additionalProperties": False} if parameters is None else parameters
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        refuse(pointer, "type", "of a function's parameters must be object")
    return {"type": "object", **schema} if "$ref" not in schema else dict(schema)


def arguments_grammar(parameters: Any, pointer: str, work: Work | None = None) -> Grammar:
    """The grammar of one function's arguments. `work` adds up the cost of all functions.

    Raises:
        SchemaUnsupported: if they cannot be enforced. `pointer` is the place in the request.
    """
    try:
        return compile_schema(parameters_schema(parameters, pointer), work)
    except SchemaUnsupported as error:
        if (error.key or "").startswith(pointer):
            raise
        raise SchemaUnsupported(
            f"{error.message.rstrip('.')} (in {pointer}).",
            pointer=pointer + (error.key or ""), keyword=error.keyword, remedy=error.remedy,
        ) from None  # fmt: skip
