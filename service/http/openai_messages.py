"""OpenAI's chat messages, typed, and their translation for an engine.

In: the messages of a request. Out: `engine.types.Message`s, or RequestError for a key that would change the answer and
cannot be honoured. Other keys are ignored: clients send back the messages of earlier answers as they got them.
Not here: the other parameters of a request (`openai_types`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.engine.types import Message
from service.errors import NotSupported, RequestError, did_you_mean

REFUSED = ("function_call", "audio", "images", "prefix", "partial")
"""Keys that would change the answer. They are ignored if null, false or empty."""


OTHERS = ("reasoning", "reasoning_details")
"""Keys of other servers' answers that are ignored, and are no misspelt ones."""


class Part(BaseModel):
    """A part of a message's content. Only text is supported."""

    type: str
    text: str = ""


MAX_PARTS = 4096  # in the content of one message
MAX_KEYS = 50  # in one message, because each unknown key is compared with the known ones
MAX_LABEL = 256  # characters of a name, or of the id of a call


class ChatMessage(BaseModel):
    """One message."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[Part], Field(max_length=MAX_PARTS, fail_fast=True)] | None = None
    name: str | None = Field(None, max_length=MAX_LABEL)
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = Field(None, max_length=MAX_LABEL)
    reasoning_content: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_dropped(cls, sent: Any) -> Any:
        """Raises NotSupported for a key that cannot be honoured, and RequestError for a misspelt one."""
        if isinstance(sent, dict) and len(sent) > MAX_KEYS:
            raise RequestError(f"A message has more than {MAX_KEYS} keys.", key="messages")
        for name in sent if isinstance(sent, dict) else ():
            if name in REFUSED and sent[name]:
                raise NotSupported(f"{name} in a message is not supported.", key="messages")
            if name not in (*cls.model_fields, *OTHERS) and (meant := did_you_mean(name, cls.model_fields)):
                raise RequestError(f"A message has an unknown key; {meant}", key="messages")
        return sent

    def message(self, number: int) -> Message:
        """The engine's message. `developer` is OpenAI's newer name of `system`. `number`: its index, for errors.

        Raises:
            NotSupported: if the content has a part that is no text.
        """
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
        thoughts = (self.reasoning_content or None) if role == "assistant" else None
        return Message(role, text, self.name, tuple(self.tool_calls or ()), self.tool_call_id, thoughts)
