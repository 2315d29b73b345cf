"""OpenAI's request bodies, typed, and their translation for an engine.

In: JSON from OpenAI's clients, and from programs for other servers. Out: `engine.types.Request`s, or RequestError
before anything is computed.
Not here: parameters of every answer (`generation_body`), messages (`openai_messages`), answers (`openai_answers`).
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, StrictBool

from service.engine.types import Request
from service.errors import NotSupported, RequestError
from service.http import parameters
from service.http.generation_body import DEFAULT_TOKENS, GenerationBody
from service.http.openai_body import OpenAIBody
from service.http.openai_messages import ChatMessage
from service.http.reasoning_fields import ReasoningFields
from service.http.template_fields import TemplateFields
from service.http.tool_fields import ToolFields

MAX_PROMPTS = 16  # prompts of one /v1/completions. Each one is a request in the queue
MAX_TEXTS = 2048  # texts of one /v1/embeddings: OpenAI's limit
MAX_MESSAGES = 2048  # messages of one conversation. Each one takes tokens of the context
DEFAULT_TEXT_TOKENS = 16  # OpenAI's default of max_tokens in /v1/completions

T = TypeVar("T")
Several = Annotated[list[T], Field(min_length=1, max_length=MAX_PROMPTS)]
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
TokenIds = Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]


class JsonSchema(BaseModel):
    """OpenAI's wrapper around a schema."""

    name: str | None = None
    strict: StrictBool | None = None
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """The format of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class ChatBody(GenerationBody, TemplateFields, ReasoningFields, ToolFields):
    """POST /v1/chat/completions."""

    route = parameters.CHAT

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    response_format: ResponseFormat | None = None
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20, description="With logprobs: true")

    def request(self, options: dict[str, Any]) -> Request:
        """The engine's request.

        Raises:
            RequestError: if parameters contradict each other, or a schema or tool cannot be enforced.
        """
        if self.top_logprobs and not self.logprobs:
            raise RequestError("top_logprobs needs logprobs: true.", key="top_logprobs")
        called = [message.tool_calls for message in self.messages]
        _check_text([self.tools, called, self.documents, self.chat_template_kwargs])
        structured = self.structured()
        return Request(
            messages=tuple(message.message(number) for number, message in enumerate(self.messages)),
            sampling=self.sampling(DEFAULT_TOKENS),
            logprobs=self.top_logprobs if self.logprobs else None,
            template=self.inputs(),
            template_date=self.iso_date(),
            **self.tool_options(structured),
            **structured,
            **self.narrowed(options),
        )


def _check_text(values: Any) -> None:
    """Raises RequestError for half a surrogate pair: legal in JSON, not in UTF-8. pydantic checks typed fields only."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RequestError("Tools and the template's inputs must be text that UTF-8 can hold.", key="tools") from None


class CompletionBody(GenerationBody):
    """POST /v1/completions."""

    route = parameters.COMPLETIONS

    prompt: str | Several[str] | TokenIds | Several[TokenIds] = Field(
        description=f"A text or token ids, or up to {MAX_PROMPTS} of them. null is the empty text"
    )
    max_tokens: int | None = Field(None, ge=-1, description="With echo also 0. -1 means 4096")
    logprobs: int | None = Field(None, ge=0, le=20, description="With echo also of the prompt's tokens")
    echo: bool = Field(False, description="The answer's text begins with the prompt")
    suffix: str | None = Field(None, description="The answer is the part between prompt and suffix")
    parse_special: bool = Field(False, description="Control tokens that are written in the prompt are read")

    @classmethod
    def nulls(cls, body: dict[str, Any]) -> dict[str, Any]:
        """`prompt: null` is the empty text, as at OpenAI. `logprobs: false` is the default of chats."""
        prompt = "" if body.get("prompt", ...) is None else body.get("prompt")
        logprobs = None if body.get("logprobs") is False else body.get("logprobs")
        given = {name: value for name, value in body.items() if name not in ("prompt", "logprobs")}
        return {**given, "prompt": prompt, "logprobs": logprobs}

    def prompts(self) -> list[str | list[int]]:
        """The prompts, each a text or token ids."""
        if isinstance(self.prompt, str) or isinstance(self.prompt[0], int):
            return [self.prompt]
        return list(self.prompt)

    def requests(self, options: dict[str, Any]) -> list[Request]:
        """The engine's requests, one per prompt.

        Raises:
            RequestError: if parameters contradict each other.
        """
        prompts, sampling = self.prompts(), self.sampling(DEFAULT_TEXT_TOKENS)
        if sampling.max_tokens == 0 and not self.echo:
            raise RequestError("max_tokens can be 0 only with echo.", key="max_tokens")
        texts_only = [("suffix", bool(self.suffix)), ("parse_special", self.parse_special)]
        for name, asked in texts_only:
            if asked and not all(isinstance(prompt, str) for prompt in prompts):
                raise RequestError(f"{name} needs a prompt that is a text.", key=name)
        if self.suffix and self.echo:
            raise RequestError("suffix and echo cannot be used together.", key="suffix")
        options = {**self.structured(), **self.narrowed(options)}
        options |= {"suffix": self.suffix or None, "parse_special": self.parse_special, "echo": self.echo}
        return [
            Request(
                text=prompt if isinstance(prompt, str) else None,
                tokens=tuple(prompt) if isinstance(prompt, list) else None,
                sampling=sampling,
                logprobs=self.logprobs,
                **options,
            )
            for prompt in prompts
        ]


class EmbeddingBody(OpenAIBody):
    """POST /v1/embeddings."""

    route = parameters.EMBEDDINGS

    model: str | None = Field(None, description="A name from GET /v1/models. The default model if absent")
    input: str | Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS)] = Field(
        description=f"A text, or up to {MAX_TEXTS} texts, none of them empty"
    )
    encoding_format: Literal["float", "base64"] = "float"

    @classmethod
    def nulls(cls, body: dict[str, Any]) -> dict[str, Any]:
        """The body. Raises NotSupported for token ids."""
        _refuse_tokens("input", body.get("input"))
        return body

    def texts(self) -> tuple[str, ...]:
        """The texts to embed.

        Raises:
            RequestError: if a text is empty.
        """
        texts = (self.input,) if isinstance(self.input, str) else tuple(self.input)
        if "" in texts:
            raise RequestError("input may not be empty.", key="input")
        return texts


def _refuse_tokens(name: str, value: Any) -> None:
    """Raises NotSupported for token ids. OpenAI accepts them in place of texts."""
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, list) or (isinstance(first, int) and not isinstance(first, bool)):
        raise NotSupported(f"{name} takes text and no token ids.", key=name, remedy="Send a text, or a list of texts.")
