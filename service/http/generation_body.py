"""The parameters that chats and completions have in common.

In: JSON from clients. Out: the engine's sampling parameters, the form of a structured answer, and a cache salt.
Not here: messages, prompts and tools (`openai_types`).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from service.engine.types import Sampling
from service.errors import RequestError
from service.http import structured
from service.http.openai_body import OpenAIBody, other_name

MAX_SALT = 256  # characters
MAX_BIASES = 1024  # entries of logit_bias
MAX_STOPS = 16
SEEDS = 2**32 - 1  # the engine's seeds are 0 .. SEEDS - 1
DEFAULT_TOKENS = 4096  # default of max_tokens in chats. The context may end earlier


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
    """Refuses too many entries before each of them is validated. Raises ValueError."""
    if isinstance(biases, dict) and len(biases) > MAX_BIASES:
        raise ValueError(f"Dictionary should have at most {MAX_BIASES} items, not {len(biases)}")
    return biases


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
    repetition_penalty: float | None = other_name("repeat_penalty", ge=0.01, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2, description="Over the last 64 tokens of the answer")
    presence_penalty: float = Field(0.0, ge=-2, le=2, description="Over the last 64 tokens of the answer")
    seed: int | None = Field(None, description="-1, like no seed, draws a random one")
    random_seed: int | None = other_name("seed")
    stop: str | Annotated[list[str], Field(fail_fast=True)] | None = Field(
        None, description=f"Up to {MAX_STOPS} texts, none of them empty"
    )
    n: int = Field(1, ge=1, le=16, description="Answers with seed, seed + 1, ...")
    max_tokens: Limit | None = Field(None, description=f"-1 means {DEFAULT_TOKENS}, for clients of llama.cpp")
    max_completion_tokens: int | None = Field(
        None, ge=1, description="If max_tokens is set too, the smaller one counts"
    )
    max_new_tokens: int | None = other_name("max_tokens", ge=1)
    n_predict: Limit | None = other_name("max_tokens")
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
