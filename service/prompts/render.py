"""Fill the placeholders in one strict pass. Text that was filled in is never searched for placeholders.

In: templates with `{{name}}`, and values. Out: text. A value may hold braces, YAML or role markers. It stays one value
inside one message. Spaces inside the braces are allowed. A name has letters, digits, `_`, `.` and `-`.
Not here: which inputs a prompt takes (`inputs`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping
from typing import Any

from service.engine.types import Message
from service.errors import InputsError
from service.prompts.spec import MessageTemplate

ROLES = ("system", "user", "assistant")
PLACEHOLDER = re.compile(r"\{\{\s*([\w.-]+)\s*\}\}")


def variables(templates: Iterable[MessageTemplate]) -> set[str]:
    """The names of all placeholders."""
    return {name for template in templates for name in PLACEHOLDER.findall(template.content)}


def text_of(value: Any) -> str:
    """A value as text in a prompt: a string unchanged, any other value as canonical JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(", ", ": "))


def substitute(template: str, values: Mapping[str, Any]) -> str:
    """The template with every placeholder replaced.

    Raises:
        InputsError: if a value is missing.
    """
    missing = sorted({name for name in PLACEHOLDER.findall(template) if name not in values})
    if missing:
        raise InputsError(
            f"No value for {', '.join(missing)}.", [(f"/{name}", "this input is missing") for name in missing]
        )
    return PLACEHOLDER.sub(lambda match: text_of(values[match[1]]), template)


def render(
    templates: Iterable[MessageTemplate], values: Mapping[str, Any], lists: Container[str] = ()
) -> tuple[Message, ...]:
    """The messages, in order. Values without a placeholder are ignored.

    `lists` are inputs that may be lists of messages. If such an input is the whole content of a message, its messages
    take the place of that message.

    Raises:
        InputsError: if a value is missing, or if some items of a list are messages and others are not.
    """
    messages: list[Message] = []
    for template in templates:
        whole = PLACEHOLDER.fullmatch(template.content.strip())
        name = whole[1] if whole is not None else ""
        value = values.get(name) if name in lists else None
        if isinstance(value, list) and (turns := _turns(name, value)) is not None:
            messages += turns
        else:
            messages.append(Message(template.role, substitute(template.content, values)))
    return tuple(messages)


def _turns(name: str, items: list[Any]) -> list[Message] | None:
    """The messages of a list. None if no item is a message: such a list is data."""
    if items and not any(isinstance(item, Mapping) and "role" in item for item in items):
        return None
    messages = []
    for index, item in enumerate(items):
        place = f"/{name}/{index}"
        if not isinstance(item, Mapping) or set(item) != {"role", "content"} or not isinstance(item["content"], str):
            raise InputsError(
                f"{name} is a list of messages, and item {index} is not a message with role and content.",
                [(place, "is not a message")],
            )
        if item["role"] not in ROLES:
            raise InputsError(
                f"{name}: the role of item {index} is none of {', '.join(ROLES)}.", [(f"{place}/role", "unknown")]
            )
        messages.append(Message(item["role"], item["content"]))
    return messages
