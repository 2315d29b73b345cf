"""The parameters of a chat that its template gets, under vLLM's names.

In: fields of a body. Out: the engine's `TemplateInputs` and a date, or RequestError.
Not here: messages and tools, which the template gets too (`openai_types`).
"""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import BaseModel, Field

from service.engine.types import TemplateInputs
from service.errors import RequestError


class TemplateFields(BaseModel):
    """A part of a body."""

    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="Values for the chat template by name, such as enable_thinking"
    )
    documents: list[dict[str, Any]] | None = Field(None, description="Documents for the chat template")
    add_generation_prompt: bool = Field(True, description="false: the prompt ends with the last message")
    continue_final_message: bool = Field(False, description="The answer continues the assistant's last message")
    template_date: str | None = Field(
        None, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", description="Date for the chat template. Today's if absent"
    )

    def inputs(self) -> TemplateInputs:
        """The inputs of the chat template.

        Raises:
            RequestError: if two of the parameters contradict each other.
        """
        asked = self.add_generation_prompt and "add_generation_prompt" in self.model_fields_set
        if self.continue_final_message and asked:
            raise RequestError(
                "continue_final_message and add_generation_prompt cannot both be true.",
                key="continue_final_message",
                remedy="Send add_generation_prompt: false, or leave it out.",
            )
        return TemplateInputs(
            self.chat_template_kwargs or {},
            tuple(self.documents or ()),
            self.add_generation_prompt and not self.continue_final_message,
            self.continue_final_message,
        )

    def iso_date(self) -> str | None:
        """The date of the template.

        Raises:
            RequestError: if no month has this day.
        """
        try:
            return self.template_date and date.fromisoformat(self.template_date).isoformat()
        except ValueError:
            raise RequestError("template_date must be a date, such as 2026-11-26.", key="template_date") from None
