"""The parameters of a chat about tools.

In: fields of a body. Out: the matching fields of an engine's request, or RequestError.
Not here: calls in messages (`openai_messages`), calls in answers (`openai_answers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from service.engine import toolcalls
from service.errors import NotSupported, RequestError


class ToolFields(BaseModel):
    """A part of a body."""

    tools: list[dict[str, Any]] | None = Field(None, description="Functions that the model may call")
    tool_choice: str | dict[str, Any] | None = Field(
        None, description="none, auto, required, one function, or allowed_tools with a list"
    )
    parallel_tool_calls: bool = Field(
        False, description=f"true: up to {toolcalls.MAX_CALLS} calls in an answer, and not only one"
    )

    def tool_options(self, structured: Mapping[str, Any]) -> dict[str, Any]:
        """The engine's fields. Empty if no tool may be called, so that the model sees none.

        `structured`: the engine's fields of an answer without calls.

        Raises:
            RequestError: if a definition or the choice is malformed.
            NotSupported: if an answer without calls has a grammar of its own.
            SchemaUnsupported: if the parameters of a function cannot be enforced.
        """
        if not self.tools:
            if self.tool_choice not in (None, "none", "auto"):
                raise RequestError("tool_choice needs tools.", key="tool_choice")
            return {}
        functions, _ = toolcalls.allowed(self.tools, self.tool_choice)
        if not functions:
            return {}
        if "grammar" in structured:
            raise NotSupported(
                "Tools and a grammar cannot be enforced together.",
                key="tools",
                remedy="Send one of them, or a JSON Schema in place of the grammar, or tool_choice none.",
            )
        schema = "true" if structured.get("any_json") else structured.get("schema")
        toolcalls.grammar(self.tools, self.tool_choice, parallel=self.parallel_tool_calls, schema=schema)
        return {
            "tools": tuple(self.tools),
            "tool_choice": self.tool_choice or "auto",
            "parallel_tools": self.parallel_tool_calls,
        }
