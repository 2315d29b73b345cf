"""Fill the placeholders: one pass, strict, and what was filled in is never looked at again.

What comes in: templates with `{{name}}`, values. What goes out: text. A value may hold braces, YAML or role markers;
it stays one value inside one message. Spaces inside the braces are allowed; names are letters, digits, `_`, `.`, `-`.
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
    """A value as it stands in a prompt: strings as they are, everything else as canonical JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(", ", ": "))


def substitute(template: str, values: Mapping[str, Any]) -> str:
    """The template with every placeholder replaced. Raises InputsError when a value is missing."""
    missing = sorted({name for name in PLACEHOLDER.findall(template) if name not in values})
    if missing:
        raise InputsError(
            f"No value for {', '.join(missing)}.", [(f"/{name}", "this input is missing") for name in missing]
        )
    return PLACEHOLDER.sub(lambda match: text_of(values[match[1]]), template)


def render(templates: Iterable[MessageTemplate], values: Mapping[str, Any]) -> tuple[Message, ...]:
    """The messages, in order. Raises InputsError for a missing value; unused ones are the caller's business."""
    return tuple(Message(template.role, substitute(template.content, values)) for template in templates)
