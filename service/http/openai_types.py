"""OpenAI's request bodies, typed, and what they mean to an engine.

In: JSON as OpenAI's clients send it, and programs that were written for other servers. Out: `engine.types.Request`s.
Every parameter is a field here, or is dealt with by `parameters`. A field that maps to another is that one under the
name that another server gives it. RequestError, before anything is computed.
Not here: messages (`openai_messages`), answers (`openai_answers`).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StrictBool,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema

from service.engine import toolcalls
from service.engine.schema import compiled
from service.engine.types import Request, Sampling
from service.errors import NotSupported, RequestError
from service.http import parameters
from service.http.openai_messages import ChatMessage
from service.prompts.run import canonical_schema

MAX_PROMPTS = 16  # prompts of one /v1/completions; each is a request of its own in the queue
MAX_SALT = 256  # characters
MAX_TEXTS = 2048  # texts of one /v1/embeddings, OpenAI's own limit
MAX_BIASES = 1024  # entries of logit_bias
MAX_STOPS = 16
MAX_MESSAGES = 2048  # of one conversation; each takes tokens of the context
SEEDS = 2**32 - 1  # the engine's seeds are 0 .. SEEDS - 1
USUAL_TOKENS = 4096  # of a chat's answer when nothing is said; it ends where the context does
USUAL_TEXT_TOKENS = 16  # OpenAI's default of /v1/completions


def _not_zero(limit: int) -> int:
    if limit == 0:
        raise ValueError("should be at least 1, or -1")
    return limit


Limit = Annotated[
    int,
    Field(ge=-1),
    AfterValidator(_not_zero),
    WithJsonSchema({"type": "integer", "minimum": -1, "not": {"const": 0}}),
]


def _few(biases: Any) -> Any:
    """Too many are refused before each of them is looked at. Raises ValueError."""
    if isinstance(biases, dict) and len(biases) > MAX_BIASES:
        raise ValueError(f"Dictionary should have at most {MAX_BIASES} items, not {len(biases)}")
    return biases


def _other_name(of: str, **limits: Any) -> Any:
    return Field(None, json_schema_extra={"x-maps-to": of}, description=f"Another name of {of}", **limits)


class OpenAIBody(BaseModel):
    """What all routes have in common: how parameters are read."""

    model_config = ConfigDict(extra="forbid", strict=True)  # true is no number, and 0 is no answer to yes or no
    route: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _read(cls, body: Any) -> Any:
        """Only fields are left of what was sent. Raises RequestError for what is neither honoured nor meaningless."""
        return parameters.read(cls.route, cls.model_fields, cls.nulls(body)) if isinstance(body, dict) else body

    @classmethod
    def nulls(cls, body: dict[str, Any]) -> dict[str, Any]:
        """The body, with a value where null means more than that nothing was said."""
        return body

    @model_validator(mode="after")
    def _map(self) -> Self:
        """Give values that came under another name to the field that they belong to. Raises RequestError for two."""
        for name in self.model_fields_set:
            target = _target(type(self), name)
            if target is None:
                continue
            value = getattr(self, name)
            if target in self.model_fields_set and getattr(self, target) != value:
                raise RequestError(f"{name} and {target} are the same, and differ. Send one of them.", key=name)
            self.__dict__[target] = value  # not by setattr, which would say that the caller has set it
        return self

    @classmethod
    def own_schema(cls) -> dict[str, Any]:
        """JSON Schema of the fields alone, without what is taken or refused."""
        whole = cls.model_json_schema()
        return {**whole, "properties": {name: whole["properties"][name] for name in cls.model_fields}}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema of what is taken: null is a default, and other parameters with values that ask for nothing."""
        schema = handler.resolve_ref_schema(handler(core))
        required = schema.get("required", [])
        for name, known in schema["properties"].items():
            if name not in required or cls.nulls({name: None})[name] is not None:
                beside = (
                    set(known) - {"anyOf"} if "anyOf" in known else {"title", "description", "default"} & set(known)
                )
                outer = {key: known.pop(key) for key in beside}
                options = known.pop("anyOf", [known])
                nullable = [*(option for option in options if option != {"type": "null"}), {"type": "null"}]
                schema["properties"][name] = {**outer, "anyOf": nullable}
        for name, (why, _) in parameters.of_route(parameters.IGNORED, cls.route).items():
            schema["properties"].setdefault(name, {"description": f"Has no effect. {why}"})
        for name, (why, values) in parameters.of_route(parameters.REFUSED, cls.route).items():
            schema["properties"].setdefault(name, {"enum": [*values, None], "description": why})
        return schema


def _target(body: type[BaseModel], name: str) -> str | None:
    """The field that this one is another name of."""
    extra = body.model_fields[name].json_schema_extra
    return str(extra["x-maps-to"]) if isinstance(extra, dict) and "x-maps-to" in extra else None


class StreamOptions(BaseModel):
    """How a stream ends. Without a stream it means nothing."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None
    continuous_usage_stats: Literal[False] | None = None


class GenerationBody(OpenAIBody):
    """What both kinds of answers have in common."""

    model: str | None = Field(None, description="A name that GET /v1/models lists; the default model without one")
    temperature: float = Field(1.0, ge=0, le=2, description="0 is greedy")
    top_p: float = Field(1.0, ge=0, le=1)
    top_k: int = Field(0, ge=-1, le=2**31 - 1, description="0 and -1 are off")
    min_p: float = Field(0.0, ge=0, le=1)
    repeat_penalty: float = Field(1.0, ge=0.01, le=2, description="Over the last 64 tokens, of the prompt too")
    repetition_penalty: float | None = _other_name("repeat_penalty", ge=0.01, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2, description="Over the last 64 tokens of the answer")
    presence_penalty: float = Field(0.0, ge=-2, le=2, description="Over the last 64 tokens of the answer")
    seed: int | None = Field(None, description="-1 draws one, as leaving it out does")
    random_seed: int | None = _other_name("seed")
    stop: str | Annotated[list[str], Field(fail_fast=True)] | None = Field(
        None, description=f"Up to {MAX_STOPS} texts, none of them empty"
    )
    n: int = Field(1, ge=1, le=16, description="Answers with seed, seed + 1, ...")
    max_tokens: Limit | None = Field(None, description=f"-1 is {USUAL_TOKENS}, as llama.cpp's clients mean it")
    max_completion_tokens: int | None = Field(None, ge=1, description="With max_tokens, the smaller of both")
    max_new_tokens: int | None = _other_name("max_tokens", ge=1)
    n_predict: Limit | None = _other_name("max_tokens")
    logit_bias: Annotated[dict[str, float], BeforeValidator(_few)] | None = Field(
        None,
        max_length=MAX_BIASES,
        description=f"Up to {MAX_BIASES} token ids, each with a number that is added to its logit",
        json_schema_extra={
            "propertyNames": {"pattern": "^(0|[1-9][0-9]{0,9})$"},
            "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
        },
    )
    stream: bool = False
    stream_options: StreamOptions | None = Field(None, description="include_usage: usage is the last chunk")
    cache_salt: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_SALT,
        description="Keeps what is reused apart from the caller's other requests",
    )

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with a usage chunk."""
        return bool(self.stream_options is not None and self.stream_options.include_usage)

    def narrowed(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options with this request's `cache_salt`, vLLM's parameter, joined to the caller's own salt: a caller can
        keep requests apart from its other ones, and cannot join another caller's."""
        if self.cache_salt is None:
            return options
        joined = json.dumps([options["cache_salt"], self.cache_salt])
        return {**options, "cache_salt": hashlib.sha256(joined.encode()).hexdigest()}

    def sampling(self, usual_tokens: int) -> Sampling:
        """OpenAI's defaults: temperature 1; without a seed one is drawn, so that two calls differ. `usual_tokens` is
        how long an answer may be where nothing is said."""
        given = [limit for limit in (self.max_completion_tokens, self.max_tokens) if limit is not None]
        limits = [USUAL_TOKENS if limit == -1 else limit for limit in given]
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(stop) > MAX_STOPS or any(not text for text in stop):
            raise RequestError(f"stop takes up to {MAX_STOPS} texts, none of them empty.", key="stop")
        return Sampling(
            temperature=self.temperature,
            top_k=max(0, self.top_k),
            top_p=self.top_p,
            min_p=self.min_p,
            repeat_penalty=self.repeat_penalty,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            # A seed decides nothing when greedy, and must not make equal requests look different.
            seed=0 if self.temperature == 0 else seed_of(self.seed),
            max_tokens=min(limits, default=usual_tokens),
            stop=tuple(stop),
            logit_bias=_biases(self.logit_bias or {}),
        )


def seed_of(seed: int | None) -> int:
    """The engine's seed. None and -1 draw one; others are taken modulo SEEDS."""
    return secrets.randbelow(SEEDS) if seed is None or seed == -1 else seed % SEEDS


def _biases(given: dict[str, float]) -> tuple[tuple[int, float], ...]:
    """(token id, bias). Raises RequestError; whether the model has these tokens, its engine knows."""
    for token, value in given.items():
        if not re.fullmatch(r"0|[1-9][0-9]{0,9}", token, re.ASCII):
            raise RequestError("logit_bias has a key that is no token id.", key="logit_bias")
        if not -100 <= value <= 100:
            raise RequestError("logit_bias takes numbers from -100 to 100.", key="logit_bias")
    return tuple((int(token), value) for token, value in given.items())


class JsonSchema(BaseModel):
    """OpenAI's wrapper around a schema."""

    name: str | None = None
    strict: StrictBool | None = None
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(BaseModel):
    """What shape the answer has."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class ChatBody(GenerationBody):
    """POST /v1/chat/completions."""

    route = parameters.CHAT

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    response_format: ResponseFormat | None = None
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20, description="With logprobs: true")
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool = True

    def _tools(self) -> dict[str, Any]:
        """The tools of the request; none where none may be called, so that the model is not shown any."""
        if not self.tools:
            if self.tool_choice not in (None, "none", "auto"):
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
        if self.top_logprobs and not self.logprobs:
            raise RequestError("top_logprobs needs logprobs: true.", key="top_logprobs")
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
                schema = canonical_schema(wanted)
                compiled(schema)
        return Request(
            messages=tuple(message.message(number) for number, message in enumerate(self.messages)),
            sampling=self.sampling(USUAL_TOKENS),
            schema=schema,
            any_json=any_json,
            logprobs=self.top_logprobs if self.logprobs else None,
            **tools,
            **self.narrowed(options),
        )


def _check_text(values: Any) -> None:
    """Half a surrogate pair is legal in JSON's grammar and in no UTF-8 text; pydantic looks only at what is typed."""
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise RequestError("tools and tool_calls must be text that UTF-8 can hold.", key="tools") from None


class CompletionBody(GenerationBody):
    """POST /v1/completions."""

    route = parameters.COMPLETIONS

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=MAX_PROMPTS)] = Field(
        description=f"A text or up to {MAX_PROMPTS}; null is the empty text"
    )
    logprobs: int | None = Field(None, ge=0, le=20)

    @classmethod
    def nulls(cls, body: dict[str, Any]) -> dict[str, Any]:
        """OpenAI's `prompt: null` is a text that begins with nothing; `logprobs: false` is what chats say."""
        prompt = "" if body.get("prompt", ...) is None else body.get("prompt")
        _refuse_tokens("prompt", prompt)
        logprobs = None if body.get("logprobs") is False else body.get("logprobs")
        given = {name: value for name, value in body.items() if name not in ("prompt", "logprobs")}
        return {**given, "prompt": prompt, "logprobs": logprobs}

    def requests(self, options: dict[str, Any]) -> list[Request]:
        """The complete requests, one per prompt."""
        texts = [self.prompt] if isinstance(self.prompt, str) else self.prompt
        sampling = self.sampling(USUAL_TEXT_TOKENS)
        options = self.narrowed(options)
        return [Request(text=text, sampling=sampling, logprobs=self.logprobs, **options) for text in texts]


class EmbeddingBody(OpenAIBody):
    """POST /v1/embeddings."""

    route = parameters.EMBEDDINGS

    model: str | None = Field(None, description="A name that GET /v1/models lists; the default model without one")
    input: str | Annotated[list[str], Field(min_length=1, max_length=MAX_TEXTS)] = Field(
        description=f"A text or up to {MAX_TEXTS}, none of them empty"
    )
    encoding_format: Literal["float", "base64"] = "float"

    @classmethod
    def nulls(cls, body: dict[str, Any]) -> dict[str, Any]:
        """Refuses token ids, in words."""
        _refuse_tokens("input", body.get("input"))
        return body

    def texts(self) -> tuple[str, ...]:
        """What to embed. Raises RequestError."""
        texts = (self.input,) if isinstance(self.input, str) else tuple(self.input)
        if "" in texts:
            raise RequestError("input may not be empty.", key="input")
        return texts


def _refuse_tokens(name: str, value: Any) -> None:
    """Raises NotSupported for token ids, which OpenAI takes in place of texts."""
    first = value[0] if isinstance(value, list) and value else None
    if isinstance(first, list) or (isinstance(first, int) and not isinstance(first, bool)):
        raise NotSupported(f"{name} takes text and no token ids.", key=name, remedy="Send a text, or a list of texts.")


BODIES: tuple[type[OpenAIBody], ...] = (ChatBody, CompletionBody, EmbeddingBody)
