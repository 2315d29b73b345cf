"""Tools as plain messages, for chat templates that show a model no tools.

In: messages, tools. Out: messages without tools, which every chat template can render.
Not here: templates, grammars. The calls have Hermes' form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from service.engine.toolcalls.forms import write
from service.engine.types import Message
from service.errors import RequestError

INSTRUCTIONS = """You can call these functions:
{functions}

To call a function, answer only with its name and arguments, in this form:
<tool_call>
{{"name": "FUNCTION", "arguments": {{"ARGUMENT": "VALUE"}}}}
</tool_call>
If no function helps, answer in words."""
RESULT = "<tool_response>\n{content}\n</tool_response>"


def plain_messages(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[Message]:
    """The conversation in the roles system, user and assistant. The first message describes the tools.

    Calls become the text of the assistant's message. Results become messages of the user, several in a row one message.

    Raises:
        RequestError: if a call has no function with a name, or its arguments are not JSON.
    """
    plain: list[Message] = []
    after_result = False
    for message in messages:
        if message.role == "tool":
            text = RESULT.format(content=message.content)
            if after_result:
                plain[-1] = replace(plain[-1], content=f"{plain[-1].content}\n{text}")
            else:
                plain.append(Message("user", text))
        elif message.tool_calls:
            text = "\n".join(part for part in (message.content, write(map(_call, message.tool_calls))) if part)
            plain.append(replace(message, content=text, tool_calls=()))
        else:
            plain.append(message)
        after_result = message.role == "tool"
    return _introduced(plain, tools) if tools else plain


def _introduced(messages: list[Message], tools: Sequence[Mapping[str, Any]]) -> list[Message]:
    lines = [json.dumps(tool["function"], ensure_ascii=False) for tool in tools]
    text = INSTRUCTIONS.format(functions="\n".join(lines))
    if messages and messages[0].role == "system":
        return [replace(messages[0], content=f"{messages[0].content}\n\n{text}"), *messages[1:]]
    return [Message("system", text), *messages]


def _call(call: Mapping[str, Any]) -> dict[str, str]:
    function = call.get("function")
    name = function.get("name") if isinstance(function, Mapping) else None
    arguments = function.get("arguments") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise RequestError("A tool call in messages has no function with a name.", key="messages")
    return {"name": name, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments or {})}
