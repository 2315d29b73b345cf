"""Fill the placeholders in one strict pass. Text that was filled in is never searched for placeholders.

In: templates with `{{name}}`, and values. Out: text. A value may hold braces, YAML or role markers. It stays one value
inside one message. Spaces inside the braces are allowed. A name has letters, digits, `_`, `.` and `-`.
Not here: which inputs a prompt takes (`inputs`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from service.engine.types import Message
from service.errors import InputsError
from service.prompts.spec import MessageTemplate

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


def render(templates: Iterable[MessageTemplate], values: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages, in order. Values without a placeholder are ignored.

    Raises:
        InputsError: if a value is missing.
    """
    return tuple(Message(template.role, substitute(template.content, values)) for template in templates)
