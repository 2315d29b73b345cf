"""OpenAI's request bodies, typed, and their translation for an engine.

In: JSON from OpenAI's clients, and from programs for other servers. Out: `engine.types.Request`s, or RequestError
before anything is computed.
Not here: messages (`openai_messages`), ignored and refused parameters (`parameters`), answers (`openai_answers`).

Some fields have `x-maps-to`: they are another server's name of the field that it contains.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

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
from service.engine.types import Request, Sampling
from service.errors import NotSupported, RequestError
from service.http import parameters, structured
from service.http.openai_messages import ChatMessage
from service.http.template_fields import TemplateFields

MAX_PROMPTS = 16  # prompts of one /v1/completions. Each one is a request in the queue
MAX_SALT = 256  # characters
MAX_TEXTS = 2048  # texts of one /v1/embeddings: OpenAI's limit
MAX_BIASES = 1024  # entries of logit_bias
MAX_STOPS = 16
MAX_MESSAGES = 2048  # messages of one conversation. Each one takes tokens of the context
SEEDS = 2**32 - 1  # the engine's seeds are 0 .. SEEDS - 1
DEFAULT_TOKENS = 4096  # default of max_tokens in chats. The context may end earlier
DEFAULT_TEXT_TOKENS = 16  # OpenAI's default of max_tokens in /v1/completions


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


T = TypeVar("T")
Several = Annotated[list[T], Field(min_length=1, max_length=MAX_PROMPTS)]
TokenId = Annotated[int, Field(ge=0, le=2**31 - 1)]
TokenIds = Annotated[list[TokenId], Field(min_length=1, fail_fast=True)]


def _few(biases: Any) -> Any:
    """Refuses too many entries before each of them is validated. Raises ValueError."""
    if isinstance(biases, dict) and len(biases) > MAX_BIASES:
        raise ValueError(f"Dictionary should have at most {MAX_BIASES} items, not {len(biases)}")
    return biases


def _other_name(of: str, **limits: Any) -> Any:
    return Field(None, json_schema_extra={"x-maps-to": of}, description=f"Another name of {of}", **limits)


class OpenAIBody(BaseModel):
    """A request body. Its parameters are fields, or `parameters` ignores or refuses them."""

    model_config = ConfigDict(extra="forbid", strict=True)  # strict: true is no number, and 0 is no boolean
    route: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def _read(cls, body: Any) -> Any:
        """The values of the fields. Raises RequestError for a parameter that can be neither honoured nor ignored."""
        return parameters.read(cls.route, cls.model_fields, cls.nulls(body)) if isinstance(body, dict) else body

    @classmethod
    def nulls(cls, body: dict[str, Any]) -> dict[str, Any]:
        """The body with values in place of those nulls that do not mean the default."""
        return body

    @model_validator(mode="after")
    def _map(self) -> Self:
        """Copy values from another server's name to the field. Raises RequestError if both are set and differ."""
        for name in self.model_fields_set:
            target = _target(type(self), name)
            if target is None:
                continue
            value = getattr(self, name)
            if target in self.model_fields_set and getattr(self, target) != value:
                raise RequestError(
                    f"{name} is another name of {target}, and their values differ. Send one of them.", key=name
                )
            self.__dict__[target] = value  # setattr would add it to model_fields_set
        return self

    @classmethod
    def own_schema(cls) -> dict[str, Any]:
        """JSON Schema of the fields, without ignored and refused parameters."""
        whole = cls.model_json_schema()
        return {**whole, "properties": {name: whole["properties"][name] for name in cls.model_fields}}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema of every accepted body: null is a default, and refused parameters may have neutral values."""
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
    """The field for which this one is another name. None if it is no other name."""
    extra = body.model_fields[name].json_schema_extra
    return str(extra["x-maps-to"]) if isinstance(extra, dict) and "x-maps-to" in extra else None


class StreamOptions(BaseModel):
    """Options of a stream. Without `stream` they have no effect."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool | None = None
    include_obfuscation: Literal[False] | None = None
    continuous_usage_stats: Literal[False] | None = None


class GenerationBody(OpenAIBody):
    """The parameters that chats and completions have in common."""

    model: str | None = Field(None, description="A name from GET /v1/models. The default model if absent")
    temperature: float = Field(1.0, ge=0, le=2, description="0 is greedy")
    top_p: float = Field(1.0, ge=0, le=1)
    top_k: int = Field(0, ge=-1, le=2**31 - 1, description="0 and -1 switch it off")
    min_p: float = Field(0.0, ge=0, le=1)
    repeat_penalty: float = Field(1.0, ge=0.01, le=2, description="Over the last 64 tokens of prompt and answer")
    repetition_penalty: float | None = _other_name("repeat_penalty", ge=0.01, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2, description="Over the last 64 tokens of the answer")
    presence_penalty: float = Field(0.0, ge=-2, le=2, description="Over the last 64 tokens of the answer")
    seed: int | None = Field(None, description="-1, like no seed, draws a random one")
    random_seed: int | None = _other_name("seed")
    stop: str | Annotated[list[str], Field(fail_fast=True)] | None = Field(
        None, description=f"Up to {MAX_STOPS} texts, none of them empty"
    )
    n: int = Field(1, ge=1, le=16, description="Answers with seed, seed + 1, ...")
    max_tokens: Limit | None = Field(None, description=f"-1 means {DEFAULT_TOKENS}, for clients of llama.cpp")
    max_completion_tokens: int | None = Field(
        None, ge=1, description="If max_tokens is set too, the smaller one counts"
    )
    max_new_tokens: int | None = _other_name("max_tokens", ge=1)
    n_predict: Limit | None = _other_name("max_tokens")
    logit_bias: Annotated[dict[str, float], BeforeValidator(_few)] | None = Field(
        None,
        max_length=MAX_BIASES,
        description=f"Up to {MAX_BIASES} token ids, each with a number to add to its logit",
        json_schema_extra={
            "propertyNames": {"pattern": "^(0|[1-9][0-9]{0,9})$"},
            "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
        },
    )
    stream: bool = False
    stream_options: StreamOptions | None = Field(None, description="include_usage: the last chunk has the usage")
    structured_outputs: dict[str, Any] | None = Field(
        None, description="vLLM's: one of json, regex, choice, grammar and json_object"
    )
    guided_json: dict[str, Any] | str | None = Field(None, description="A JSON Schema, as vLLM's older clients send it")
    guided_regex: str | None = Field(None, description="The whole answer matches it")
    guided_choice: list[str] | None = Field(None, description="The answer is one of these texts")
    guided_grammar: str | None = Field(None, description="The answer's grammar, in Lark or GBNF")
    json_schema: dict[str, Any] | str | None = Field(
        None, description="A JSON Schema, as llama-server's clients send it"
    )
    grammar: str | None = Field(None, description="The answer's grammar, in GBNF or Lark")
    regex: str | None = Field(None, description="SGLang's name of guided_regex")
    ebnf: str | None = Field(None, description="SGLang's name of guided_grammar")
    cache_salt: str | None = Field(
        None,
        min_length=1,
        max_length=MAX_SALT,
        description="Requests with another salt share no cached answers and prefixes",
    )

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with a chunk of usage."""
        return bool(self.stream_options is not None and self.stream_options.include_usage)

    def structured(self) -> dict[str, Any]:
        """The engine's fields of a structured answer, from the one form that the request uses."""
        values = {name: getattr(self, name) for name in (*structured.KINDS, "structured_outputs")}
        response_format = getattr(self, "response_format", None)
        if response_format is not None:
            values["response_format"] = response_format.model_dump(by_alias=True)
        return structured.engine_fields(values)

    def narrowed(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options with `cache_salt`, vLLM's parameter, added to the caller's own salt.

        So a caller can separate its requests from each other, and cannot use the salt of another caller.
        """
        if self.cache_salt is None:
            return options
        joined = json.dumps([options["cache_salt"], self.cache_salt])
        return {**options, "cache_salt": hashlib.sha256(joined.encode()).hexdigest()}

    def sampling(self, default_tokens: int) -> Sampling:
        """The sampling parameters. Without a seed a random one is drawn, so that two calls differ, as at OpenAI.

        `default_tokens`: the limit of tokens if the request has none.

        Raises:
            RequestError: if `stop` has too many texts or an empty one, or `logit_bias` has a wrong entry.
        """
        given = [limit for limit in (self.max_completion_tokens, self.max_tokens) if limit is not None]
        limits = [DEFAULT_TOKENS if limit == -1 else limit for limit in given]
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
            # A greedy request does not use its seed. With different seeds equal requests would have two fingerprints.
            seed=0 if self.temperature == 0 else seed_of(self.seed),
            max_tokens=min(limits, default=default_tokens),
            stop=tuple(stop),
            logit_bias=_biases(self.logit_bias or {}),
        )


def seed_of(seed: int | None) -> int:
    """The engine's seed. None and -1 draw a random one. Others are taken modulo SEEDS."""
    return secrets.randbelow(SEEDS) if seed is None or seed == -1 else seed % SEEDS


def _biases(given: dict[str, float]) -> tuple[tuple[int, float], ...]:
    """(token id, bias). Raises RequestError. The engine checks that the model has the tokens."""
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
    """The format of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class ChatBody(GenerationBody, TemplateFields):
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
        """The arguments about tools. Empty if no tool may be called, so that the model sees none."""
        if not self.tools:
            if self.tool_choice not in (None, "none", "auto"):
                raise RequestError("tool_choice needs tools.", key="tool_choice")
            return {}
        functions, _ = toolcalls.allowed(self.tools, self.tool_choice)
        if not functions:
            return {}
        if self.structured():
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
        """The engine's request.

        Raises:
            RequestError: if parameters contradict each other, or a schema or tool cannot be enforced.
        """
        if self.top_logprobs and not self.logprobs:
            raise RequestError("top_logprobs needs logprobs: true.", key="top_logprobs")
        called = [message.tool_calls for message in self.messages]
        _check_text([self.tools, called, self.documents, self.chat_template_kwargs])
        tools = self._tools()
        return Request(
            messages=tuple(message.message(number) for number, message in enumerate(self.messages)),
            sampling=self.sampling(DEFAULT_TOKENS),
            logprobs=self.top_logprobs if self.logprobs else None,
            template=self.inputs(),
            template_date=self.iso_date(),
            **tools,
            **self.structured(),
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
