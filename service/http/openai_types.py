"""OpenAI's request bodies, typed, and what they mean to an engine.

What comes in: JSON as OpenAI's clients send it. What goes out: an `engine.types.Request`. Parameters that would change
an answer and cannot be honoured raise NotSupported; the others are ignored.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from service.engine import toolcalls
from service.engine.schema import compile_schema
from service.engine.types import Message, Request, Sampling
from service.errors import NotSupported, RequestError
from service.prompts.run import canonical_schema

REFUSED = (
    "functions", "function_call", "audio", "modalities", "prediction", "web_search_options", "best_of", "suffix",
    "grammar", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs",
)  # fmt: skip
"""OpenAI's and other servers' parameters that would change an answer, and that nothing here honours."""
MAX_PROMPTS = 16  # prompts of one /v1/completions; each is a request of its own in the queue
MAX_SALT = 256  # characters
MAX_TEXTS = 2048  # texts of one /v1/embeddings, OpenAI's own limit


class _Body(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)  # true is no number, and 0 is no answer to yes or no

    model: str | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    min_p: float | None = Field(None, ge=0, lt=1)
    repeat_penalty: float | None = Field(None, gt=0, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int = Field(1, ge=1, le=16)
    max_tokens: int | None = Field(None, ge=1)
    logit_bias: dict[str, float] | None = None
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    cache_salt: str | None = Field(None, min_length=1, max_length=MAX_SALT)
    refused: ClassVar[tuple[str, ...]] = ()

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with a usage chunk."""
        return bool((self.stream_options or {}).get("include_usage"))

    def refuse_unsupported(self) -> None:
        """Raises NotSupported for what would change the answer and cannot."""
        for name in (*REFUSED, *self.refused):
            if (self.model_extra or {}).get(name):
                raise NotSupported(f"{name} is not supported.", key=name, remedy="Leave it out.")
        if self.stream_options is not None and not self.stream:
            raise RequestError("stream_options needs stream: true.", key="stream_options")

    def narrowed(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options with this request's `cache_salt`, vLLM's parameter, joined to the caller's own salt: a caller can
        keep requests apart from its other ones, and cannot join another caller's."""
        if self.cache_salt is None:
            return options
        joined = json.dumps([options["cache_salt"], self.cache_salt])
        return {**options, "cache_salt": hashlib.sha256(joined.encode()).hexdigest()}

    def sampling(self, max_tokens: int | None) -> Sampling:
        """OpenAI's defaults: temperature 1; without a seed one is drawn, so that two calls differ."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(stop) > 16 or any(not word for word in stop):
            raise RequestError("stop takes up to 16 strings, none of them empty.", key="stop")
        try:
            bias = tuple(
                (int(token), max(-100.0, min(100.0, value))) for token, value in (self.logit_bias or {}).items()
            )
        except ValueError:
            raise RequestError("logit_bias maps token ids to numbers.", key="logit_bias") from None
        seed = self.seed if self.seed is not None else secrets.randbelow(2**32 - 1)
        return Sampling(
            temperature=1.0 if self.temperature is None else self.temperature,
            top_k=self.top_k or 0,
            top_p=1.0 if self.top_p is None else self.top_p,
            min_p=self.min_p or 0.0,
            repeat_penalty=self.repeat_penalty or 1.0,
            frequency_penalty=self.frequency_penalty or 0.0,
            presence_penalty=self.presence_penalty or 0.0,
            # A seed decides nothing when greedy, and must not make equal requests look different.
            seed=0 if self.temperature == 0 else seed % (2**32 - 1),
            max_tokens=max_tokens or 4096,
            stop=tuple(stop),
            logit_bias=bias,
        )


class Part(BaseModel):
    """A part of a message; only text."""

    type: str
    text: str = ""


class ChatMessage(BaseModel):
    """One message."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None

    def message(self, number: int) -> Message:
        """As the engine takes it; `developer` is OpenAI's newer word for `system`."""
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


class JsonSchema(BaseModel):
    """OpenAI's wrapper around a schema."""

    name: str = "answer"
    strict: StrictBool | None = None
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """What shape the answer has."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatBody(_Body):
    """POST /v1/chat/completions."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: int | None = Field(None, ge=1)
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool = True

    def _tools(self) -> dict[str, Any]:
        """The tools of the request; none where none may be called, so that the model is not shown any."""
        if not self.tools:
            if self.tool_choice not in (None, "none"):
                raise RequestError("tool_choice needs tools.", key="tool_choice")
            return {}
        functions, _ = toolcalls.allowed(self.tools, self.tool_choice)
        if not functions:
            return {}
        if self.response_format is not None and self.response_format.type != "text":
            raise NotSupported(
                "tools and a response_format cannot be enforced together.",
                key="response_format",
                remedy="Send one of them, or tool_choice none.",
            )
        toolcalls.grammar(self.tools, self.tool_choice, parallel=self.parallel_tool_calls)
        return {
            "tools": tuple(self.tools),
            "tool_choice": self.tool_choice or "auto",
            "parallel_tools": self.parallel_tool_calls,
        }

    def request(self, options: dict[str, Any]) -> Request:
        """The complete request. Raises RequestError, before anything is computed."""
        self.refuse_unsupported()
        _check_text([self.tools, [message.tool_calls for message in self.messages]])
        tools = self._tools()
        schema, any_json = None, False
        if self.response_format is not None:
            any_json = self.response_format.type == "json_object"
            if self.response_format.type == "json_schema":
                if self.response_format.json_schema is None:
                    raise RequestError(
                        "response_format json_schema needs json_schema.", key="response_format.json_schema"
                    )
                wanted = self.response_format.json_schema.schema_
                compile_schema(wanted)
                schema = canonical_schema(wanted)
        return Request(
            messages=tuple(message.message(number) for number, message in enumerate(self.messages)),
            sampling=self.sampling(self.max_completion_tokens or self.max_tokens),
            schema=schema,
            any_json=any_json,
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
            **tools,
            **self.narrowed(options),
        )


def _check_text(values: Any) -> None:
    """Half a surrogate pair is legal in JSON's grammar and in no UTF-8 text; pydantic looks only at what is typed."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RequestError("tools and tool_calls must be text that UTF-8 can hold.", key="tools") from None


class CompletionBody(_Body):
    """POST /v1/completions."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)]
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: bool = False
    refused: ClassVar[tuple[str, ...]] = ("response_format", "tools")

    def requests(self, options: dict[str, Any]) -> list[Request]:
        """The complete requests, one per prompt."""
        self.refuse_unsupported()
        if self.echo:
            raise NotSupported("echo is not supported.", key="echo")
        texts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        sampling = self.sampling(self.max_tokens or 16)
        options = self.narrowed(options)
        return [Request(text=text, sampling=sampling, logprobs=self.logprobs, **options) for text in texts]


class EmbeddingBody(BaseModel):
    """POST /v1/embeddings."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    input: str | Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None

    def texts(self) -> tuple[str, ...]:
        """What to embed. Raises RequestError."""
        if self.dimensions is not None:
            raise NotSupported("Vectors have the model's own length.", key="dimensions", remedy="Leave it out.")
        texts = (self.input,) if isinstance(self.input, str) else tuple(self.input)
        if "" in texts:
            raise RequestError("input may not be empty.", key="input")
        return texts
