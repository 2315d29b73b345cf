"""Two functions for the tests: one with arguments, and one without."""

from __future__ import annotations

import json
from typing import Any

from service.engine import toolcalls

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}
TOOLS = [WEATHER, CLOCK]


def called(name: str, arguments: Any) -> str:
    """A call in Hermes' form."""
    return toolcalls.write([{"name": name, "arguments": json.dumps(arguments)}])
