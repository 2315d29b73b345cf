"""The input of /v1/responses as the messages of a chat.

In: `input` and `instructions` of a request. Out: messages in the format of /v1/chat/completions, or RequestError.
Not here: the other parameters (`responses_types`), and the rules for the content of a message (`openai_messages`).

A model's turn is one message: a text and the calls after it are joined, as chat templates expect. The text of a
reasoning item is the `reasoning_content` of the turn that follows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.errors import NotSupported, RequestError, short_name

TEXTS = ("input_text", "output_text", "text", "summary_text")
ROLES = ("user", "assistant", "system", "developer")


def messages(given: str | Sequence[Mapping[str, Any]], instructions: str | None) -> list[dict[str, Any]]:
    """The conversation, with the instructions as its first message.

    Raises:
        NotSupported: if an item no model can be shown.
        RequestError: if an item is malformed, or is the output of a call that is not in the input.
    """
    conversation: list[dict[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(given, str):
        return [*conversation, {"role": "user", "content": given}]
    calls: set[str] = set()
    thoughts = ""  # before the next item
    for number, item in enumerate(given):
        place = f"input.{number}"
        match item.get("type") or ("message" if "role" in item else None):
            case "message":
                _add_message(conversation, item, place, thoughts)
            case "function_call":
                calls.add(_text(item, "call_id", place))
                turn = _turn(conversation, thoughts)
                turn.setdefault("tool_calls", []).append(_call(item, place))
            case "function_call_output":
                call = _text(item, "call_id", place)
                if call not in calls:
                    raise RequestError("This output is of no function call before it.", key=f"{place}.call_id")
                output = _content(item.get("output"), f"{place}.output")
                conversation.append({"role": "tool", "tool_call_id": call, "content": output})
            case "reasoning":
                thoughts += _thoughts(item)
                continue
            case "item_reference":
                raise NotSupported("Nothing is stored: send the item itself.", key=place)
            case str() as kind:
                raise NotSupported(f"Input of type {short_name(kind)} is not supported.", key=f"{place}.type")
            case _:
                raise RequestError("An item of input needs a type, or a role and content.", key=place)
        thoughts = ""
    if not any(message["role"] != "system" for message in conversation):
        raise RequestError("input has no message.", key="input")
    return conversation


def _thoughts(item: Mapping[str, Any]) -> str:
    """The text of a reasoning item. Encrypted ones and summaries of other servers have none."""
    parts = item.get("content") or ()
    texts = [part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") == "reasoning_text"]
    return "".join(text for text in texts if isinstance(text, str))


def _add_message(conversation: list[dict[str, Any]], item: Mapping[str, Any], place: str, thoughts: str) -> None:
    role = item.get("role")
    if role not in ROLES:
        raise RequestError(f"role must be {', '.join(ROLES)}.", key=f"{place}.role")
    content = _content(item.get("content"), f"{place}.content")
    before = {"reasoning_content": thoughts} if thoughts and role == "assistant" else {}
    conversation.append({"role": role, "content": content, **before})


def _turn(conversation: list[dict[str, Any]], thoughts: str) -> dict[str, Any]:
    """The message of the model's turn that is going on, or a new one, which begins with these thoughts."""
    if not conversation or conversation[-1]["role"] != "assistant":
        before = {"reasoning_content": thoughts} if thoughts else {}
        conversation.append({"role": "assistant", "content": "", **before})
    return conversation[-1]


def _call(item: Mapping[str, Any], place: str) -> dict[str, Any]:
    function = {"name": _text(item, "name", place), "arguments": _text(item, "arguments", place)}
    return {"id": item["call_id"], "type": "function", "function": function}


def _content(value: Any, place: str) -> str:
    """The text of a content: itself, or that of its parts. Raises NotSupported for a part that is no text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise RequestError("It must be a text or a list of parts.", key=place)
    texts = []
    for part in value:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind not in (*TEXTS, "refusal"):
            label = short_name(kind) if isinstance(kind, str) else "unknown"
            raise NotSupported(f"Content of type {label} is not supported.", key=place)
        texts.append(_text(part, "refusal" if kind == "refusal" else "text", place))
    return "".join(texts)


def _text(item: Mapping[str, Any], name: str, place: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        raise RequestError(f"{name} must be a text.", key=f"{place}.{name}")
    return value
