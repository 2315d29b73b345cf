"""Tool calls with enforced arguments: a grammar for them, and the way back into OpenAI's shape.

In: OpenAI tool definitions and `tool_choice`, and later the text of an answer. Out: a `Grammar` of calls in the form
that Qwen2.5 and Hermes models are trained on, one call after the other,

    <tool_call>
    {"name": "weather", "arguments": {"city": "Bern"}}
    </tool_call>

and `tool_calls` as OpenAI's clients expect them. The arguments of a call obey the schema of its function.
Not here: models, engines, HTTP.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from service import strict_json
from service.engine.schema import Grammar, compile_schema
from service.engine.schema.keywords import refuse
from service.engine.schema.limits import Work
from service.errors import RequestError, SchemaUnsupported

MAX_TOOLS = 128  # OpenAI's own limit
OPEN, CLOSE = "<tool_call>\n", "\n</tool_call>"
_OPENING = OPEN.strip()
_CALL = re.compile(r"\s*<tool_call>\s*(.*?)\s*</tool_call>", re.DOTALL)
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # OpenAI's rule for function names
ToolChoice = str | Mapping[str, Any] | None


def template_has_tools(template: str) -> bool:
    """Whether a chat template shows the model its tools and asks for calls in the form above."""
    return bool(re.search(r"\btools\b", template)) and "<tool_call>" in template


def allowed(tools: Sequence[Mapping[str, Any]], choice: ToolChoice) -> tuple[dict[str, Mapping[str, Any]], bool]:
    """The functions that may be called, by name, and whether a call is required.

    `choice` is OpenAI's: None or "auto" may call, "required" must, "none" must not, a named function must be that one.

    Raises:
        RequestError: if a definition or the choice is malformed.
    """
    if len(tools) > MAX_TOOLS:
        raise RequestError(f"/tools may hold {MAX_TOOLS} tools.", key="/tools")
    functions: dict[str, Mapping[str, Any]] = {}
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
    match choice:
        case None | "auto":
            return functions, False
        case "none":
            return {}, False
        case "required":
            if functions:
                return functions, True
        case Mapping():
            inner = choice.get("function")
            named = inner.get("name") if isinstance(inner, Mapping) else None
            if choice.get("type") == "function" and isinstance(named, str) and named in functions:
                return {named: functions[named]}, True
    raise RequestError(
        "/tool_choice must be none, auto, required or a function that tools defines.", key="/tool_choice"
    )


def grammar(tools: Sequence[Mapping[str, Any]], choice: ToolChoice = None, *, parallel: bool = True) -> Grammar | None:
    """The grammar of an answer that may or must call tools. None if it may call none.

    With "auto" the answer is plain text without `<tool_call>`, or one or more calls.

    Raises:
        SchemaUnsupported: if the parameters of a function cannot be enforced, with the pointer into `tools`.
        RequestError: if a definition or the choice is malformed.
    """
    allowed(tools, choice)  # the common mistakes, at little cost
    return _grammar(json.dumps([list(tools), choice], ensure_ascii=False), parallel)


@lru_cache(maxsize=32)
def _grammar(asked: str, parallel: bool) -> Grammar | None:
    """The same tools are compiled once: they are asked for by the door, the fingerprint and the engine."""
    tools, choice = json.loads(asked)
    functions, must = allowed(tools, choice)
    if not functions:
        return None
    places = [tool["function"]["name"] for tool in tools]
    bodies: list[str] = []
    names: list[str] = []
    after: list[str] = []
    enforced: set[str] = set()
    work = Work()
    for number, (name, function) in enumerate(functions.items()):
        pointer = f"/tools/{places.index(name)}/function/parameters"
        grammar = _arguments(function.get("parameters"), pointer, work)
        bodies.append(f"arguments{number}: {grammar.lark.removeprefix('start: ')}")
        opening = json.dumps(f'{{"name": {json.dumps(name)}, "arguments": ')
        names.append(f'{opening} arguments{number} "}}"')
        enforced.update(grammar.enforced)
        after += [f"{item} of {name}" for item in grammar.checked_after]
    calls = f"call ({json.dumps(chr(10))} call)*" if parallel else "call"
    lines = [f"start: {calls}" if must else f"start: {calls} | PLAIN"]
    lines.append(f"call: {json.dumps(OPEN)} ({' | '.join(names)}) {json.dumps(CLOSE)}")
    if not must:  # a plain answer begins with anything but the "<" of a call, after any white space
        lines.append(r"PLAIN: /(?s:[^<].*)/ & ~/(?s:.*)<tool_call>(?s:.*)/")
    return Grammar("\n".join([*lines, *bodies]), tuple(sorted(enforced | {"tools"})), tuple(after))


def _arguments(parameters: Any, pointer: str, work: Work | None = None) -> Grammar:
    """The grammar of one function's arguments, which are an object. `work` adds up the cost of all functions."""
    schema = {"type": "object", "properties": {}, "additionalProperties": False} if parameters is None else parameters
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        refuse(pointer, "type", "of a function's parameters must be object")
    try:
        return compile_schema({"type": "object", **schema} if "$ref" not in schema else schema, work)
    except SchemaUnsupported as error:
        raise SchemaUnsupported(
            f"{error.message.rstrip('.')} (in {pointer}).",
            pointer=pointer + (error.key or ""), keyword=error.keyword, remedy=error.remedy,
        ) from None  # fmt: skip


def parse(text: str, tools: Sequence[Mapping[str, Any]] = ()) -> tuple[str, tuple[dict[str, Any], ...]]:
    """The text outside the calls, and the calls in OpenAI's shape. Equal calls at the same place have equal ids.

    A text without a complete call comes back unchanged.

    Raises:
        RequestError: if a call is not readable, names no tool, or its arguments break the function's schema.
    """
    functions, _ = allowed(tools, None)
    calls = []
    for at, body in enumerate(_CALL.findall(text)):
        try:
            call = json.loads(body)
            name, arguments = call["name"], call["arguments"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RequestError("A tool call of the model is not readable JSON.", key="tool_calls") from None
        if functions:
            if name not in functions:
                raise RequestError("The model called a tool that was not given.", key="tool_calls")
            _, problems = _arguments(functions[name].get("parameters"), "/tools").check(json.dumps(arguments))
            if problems:
                raise RequestError(f"The arguments of {name} are not valid: {problems[0]}.", key="tool_calls")
        written = json.dumps(arguments, ensure_ascii=False)
        identity = hashlib.sha256(f"{at}\0{name}\0{written}".encode()).hexdigest()[:24]
        calls.append({"id": f"call_{identity}", "type": "function", "function": {"name": name, "arguments": written}})
    return (_CALL.sub("", text) if calls else text), tuple(calls)


class Visible:
    """The part of a growing answer that is surely no call: the text before the first `<tool_call>`."""

    def __init__(self) -> None:
        self._held = ""
        self._calling = False

    def add(self, text: str) -> str:
        """The text that is visible for sure. A text that may yet become a call is held back."""
        if self._calling:
            return ""
        self._held += text
        start = self._held.find(_OPENING)
        if start >= 0:
            self._calling = True
            return self._held[:start].rstrip()
        keep = next((size for size in range(len(_OPENING) - 1, 0, -1) if self._held.endswith(_OPENING[:size])), 0)
        cut = len(self._held) - keep
        final, self._held = self._held[:cut], self._held[cut:]
        return final

    def end(self) -> str:
        """The text that was held back and became no call, once nothing follows."""
        return "" if self._calling else self._held


def write(calls: Iterable[Mapping[str, Any]]) -> str:
    """Calls as text, from their names and arguments (JSON texts). `parse` reads them back.

    Raises:
        RequestError: if arguments are not JSON.
    """
    lines = []
    for call in calls:
        try:
            arguments = strict_json.loads(call["arguments"] or "{}")
        except strict_json.NotJson as error:
            raise RequestError(f"The text of a tool call's arguments {error}.", key="tool_calls") from None
        body = json.dumps({"name": call["name"], "arguments": arguments}, ensure_ascii=False)
        lines.append(f"{OPEN}{body}{CLOSE}")
    return "\n".join(lines)
