"""OpenAI's chat messages, typed, and what they mean to an engine.

In: the messages of a request. Out: `engine.types.Message`s. RequestError for what would change the answer and cannot be
honoured; what clients send back of an answer, and what means nothing for the next one, is let be.
Not here: parameters of the request (`openai_types`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.engine.types import Message
from service.errors import NotSupported, RequestError, did_you_mean

REFUSED = ("function_call", "audio", "images", "prefix", "partial")
"""Keys that would change the answer; null, false and empty ones are let be."""


class Part(BaseModel):
    """A part of a message; only text."""

    type: str
    text: str = ""


MAX_PARTS = 4096  # of one message's content
MAX_KEYS = 50  # of one message; each unknown one is compared with the known
MAX_LABEL = 256  # characters of a name or of a call's id


class ChatMessage(BaseModel):
    """One message."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[Part], Field(max_length=MAX_PARTS, fail_fast=True)] | None = None
    name: str | None = Field(None, max_length=MAX_LABEL)
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = Field(None, max_length=MAX_LABEL)

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_dropped(cls, sent: Any) -> Any:
        """Raises NotSupported for keys that cannot be honoured, RequestError for one that is misspelt."""
        if isinstance(sent, dict) and len(sent) > MAX_KEYS:
            raise RequestError(f"A message has more than {MAX_KEYS} keys.", key="messages")
        for name in sent if isinstance(sent, dict) else ():
            if name in REFUSED and sent[name]:
                raise NotSupported(f"{name} in a message is not supported.", key="messages")
            if name not in cls.model_fields and (meant := did_you_mean(name, cls.model_fields)):
                raise RequestError(f"A message has an unknown key; {meant}", key="messages")
        return sent

    def message(self, number: int) -> Message:
        """As the engine takes it; `developer` is OpenAI's newer word for `system`. `number`: its place, for errors."""
        if isinstance(self.content, list):
            for part in self.content:
                if part.type != "text":
                    raise NotSupported(
                        f"Content of type {part.type!r} is not supported.", key=f"messages.{number}.content"
                    )
            text = "".join(part.text for part in self.content)
        else:
            text = self.content or ""
        role = "system" if self.role == "developer" else self.role
        return Message(role, text, self.name, tuple(self.tool_calls or ()), self.tool_call_id)
