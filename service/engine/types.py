"""The values that go into an engine and come out of it. They have no behaviour, and every floor above uses them.

An engine does not know prompts, files or HTTP. It gets a complete `Request`: nothing is filled in later from a default
that lives elsewhere. It gives an `Answer`. Times are seconds, sizes are tokens, log-probabilities are natural
logarithms.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls"]
Mode: TypeAlias = Literal["fast", "exact"]
Priority: TypeAlias = Literal["interactive", "background"]
State: TypeAlias = Literal["starting", "loading", "ready", "stalled", "failed", "draining", "stopped"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation. `tool_calls` and `tool_call_id` follow OpenAI's chat format, as plain JSON values."""

    role: Role
    content: str
    name: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None  # an assistant's thoughts before its answer, for templates that show them

    def to_openai(self) -> dict[str, Any]:
        """In OpenAI's chat format, without unset fields."""
        message: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.name:
            message["name"] = self.name
        if self.tool_calls:
            message["tool_calls"] = [dict(call) for call in self.tool_calls]
        if self.tool_call_id:
            message["tool_call_id"] = self.tool_call_id
        return message


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. The defaults are greedy decoding: the same request gives the same tokens.

    Penalties look back over the last 64 tokens of the answer, never over the prompt.
    The order in which they apply is llama.cpp's: logit bias, penalties, top-k, top-p, min-p, temperature, draw.
    `temperature` 0, or less than 1e-6, is greedy, and then top-k, top-p, min-p and seed decide nothing.
    """

    temperature: float = 0.0
    top_k: int = 0  # 0: off
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    seed: int = 0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token id, added to its logit)


@dataclass(frozen=True, slots=True)
class TemplateInputs:
    """The inputs of a chat template beside messages, tools and date."""

    values: Mapping[str, Any] = field(default_factory=dict)  # by name, such as enable_thinking
    documents: tuple[Mapping[str, Any], ...] = ()
    add_generation_prompt: bool = True  # the prompt ends with the beginning of an assistant's message
    continue_final_message: bool = False  # the prompt ends with the last message's text. The answer continues it


@dataclass(frozen=True, slots=True)
class Thinking:
    """The marks around a model's thoughts before its answer."""

    opening: str
    closing: str
    begun: bool = False  # the prompt ends with the opening mark, so the answer begins inside
    shown: bool = True  # thoughts are part of the answer


@dataclass(frozen=True, slots=True)
class LabelCalibration:
    """A fitted calibration: the probability of a label is proportional to exp(scale * its log-probability + its bias).

    `bias` has one number for each choice, in their order.
    """

    scale: float
    bias: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that decides one answer, and how urgent it is.

    Exactly one of `messages`, `text` and `tokens` is given: a conversation, which gets the model's chat template, raw
    text, or token ids.
    At most one of `schema`, `any_json`, `grammar` and `choices` is given. With `tools` an answer is calls, or obeys the
    `schema`.
    """

    messages: tuple[Message, ...] = ()
    text: str | None = None
    tokens: tuple[int, ...] | None = None
    suffix: str | None = None  # with `text`: the answer is the part between `text` and this
    parse_special: bool = False  # with `text`: control tokens that are written in it are read
    echo: bool = False  # the caller gets the prompt back: with `logprobs` those of its tokens too
    sampling: Sampling = field(default_factory=Sampling)
    schema: str | None = None  # a JSON Schema as canonical JSON text, which the answer is enforced to match
    any_json: bool = False  # response_format json_object: any JSON object
    grammar: str | None = None  # of a text that is not JSON, in Lark or GBNF
    choices: tuple[str, ...] = ()  # a closed set of labels, scored and not sampled
    calibrate: bool = False  # divide out the labels' probabilities on a content-free input (Zhao et al. 2021)
    neutral: tuple[Message, ...] = ()  # with `calibrate`: the same conversation around a content-free input
    calibration: LabelCalibration | None = None  # fitted, instead of `calibrate`
    tools: tuple[Mapping[str, Any], ...] = ()  # OpenAI tool definitions, passed to the chat template
    tool_choice: str | Mapping[str, Any] = "auto"  # OpenAI's: auto, required, allowed_tools, or one named function
    parallel_tools: bool = False  # more than one call in an answer
    logprobs: int | None = None  # k >= 0: those of the chosen token and of the k best alternatives
    mode: Mode = "fast"
    template: TemplateInputs = field(default_factory=TemplateInputs)
    template_date: str | None = None  # the ISO date that the chat template is given. None: the identity's
    # The fields below do not decide the answer and are not part of the fingerprint.
    prompt: str | None = None  # the prompt's name, for the result
    fingerprint: str | None = None  # set by prompts.run: the key under which an exact answer may be reused
    reuse: bool = True  # a deterministic answer that was given before may be given again
    cache_salt: str = ""  # answers and prefixes are reused only under the same salt. "": the owner
    priority: Priority = "interactive"
    deadline_s: float | None = None  # from admission


class Alternative(NamedTuple):
    """A token that could have been chosen. See `Logprob` for `text` and `data`."""

    token: int | None
    text: str
    logprob: float
    data: bytes | None = None

    @property
    def raw(self) -> bytes:
        """The token's bytes."""
        return raw_bytes(self.text, self.data)


@dataclass(frozen=True, slots=True)
class Logprob:
    """A token that was chosen, its log-probability, and the best alternatives.

    Ids are None from a remote engine, which does not tell them. `text` is for people: a token that is part of a
    character has U+FFFD there, and its bytes in `data`, which is None where the text says everything.
    """

    token: int | None
    text: str
    logprob: float
    top: tuple[Alternative, ...] = ()
    data: bytes | None = None

    @property
    def raw(self) -> bytes:
        """The token's bytes."""
        return raw_bytes(self.text, self.data)


def raw_bytes(text: str, data: bytes | None) -> bytes:
    """A token's bytes: those that are told beside its text, else the text's own."""
    return data if data is not None else text.encode(errors="replace")


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of tokens. `cached` prompt tokens were not computed. `forced` answer tokens were not sampled."""

    prompt: int
    completion: int
    cached: int = 0
    forced: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds from admission: until the first step, until the first token, until the last."""

    queued_s: float
    first_token_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector of unit length per text, in the order of the texts, and the tokens that they had together."""

    vectors: tuple[tuple[float, ...], ...]
    tokens: int


class Detokenized(NamedTuple):
    """The text of token ids, and the name that the vocabulary has for each of them."""

    text: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TokenizerInfo:
    """What a model's file says about its tokens. A token that the model does not have is None."""

    kind: str
    bos_token: str | None
    eos_token: str | None
    chat_template: str | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer while it is made: whole characters only, and none that a stop string could still retract."""

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[Logprob, ...] = ()
    prompt_logprobs: tuple[Logprob, ...] = ()  # of the prompt's tokens, before the first text


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer.

    `tokens` are the ids that were generated, without the end-of-turn token. `probabilities` has one entry per label
    when the request gave `choices`, summing to 1. `label_logprobs` has their logarithms before any calibration.
    `constrained` says that a grammar was enforced while decoding.
    `reused` says that nothing was computed: the same fingerprint had been answered before under the same salt.
    `prompt_logprobs` are those of the prompt's tokens, if the request has `echo` and `logprobs`. The first token
    follows nothing: its log-probability is 0 and means nothing.
    """

    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    logprobs: tuple[Logprob, ...] | None = None
    probabilities: Mapping[str, float] | None = None
    label_logprobs: Mapping[str, float] | None = None
    constrained: bool = False
    reused: bool = False
    prompt_logprobs: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything of an engine that decides tokens. Engines with equal identities give equal `exact` answers.

    `settings` holds only values that can change a token, never thread counts. `kernels` names the CPU variant and its
    instruction sets. The digests and the kernels of a remote engine are None, because it does not report them.
    """

    engine: Literal["local", "remote", "scripted"]
    version: str
    model: str
    model_sha256: str | None
    template_sha256: str | None
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    kernels: str | None = None  # llama.cpp's CPU variant and its instruction sets
    template_date: str | None = None  # the ISO date that the chat template is given. None if it reads no date


@dataclass(frozen=True, slots=True)
class Abilities:
    """The features of an engine. A request that needs a missing one is refused with `NotSupported`, never degraded."""

    seed: bool
    schema: bool
    logprobs: bool
    choices: bool
    tokens: bool  # answers carry token ids
    embeddings: bool
    tools: bool
    exact: bool
    template: bool = False  # requests can give its chat template values, documents and a date


@dataclass(frozen=True, slots=True)
class Health:
    """The state of an engine. `progress` is 0..1 while loading. `reason` is a sentence for people."""

    state: State
    reason: str
    progress: float | None = None
    restarts: int = 0


class Engine(Protocol):
    """Turns a request into tokens. All methods may be called many times at once from one event loop."""

    @property
    def identity(self) -> Identity:
        """Everything that decides tokens. It is known before the weights are loaded."""

    @property
    def abilities(self) -> Abilities:
        """The supported features."""

    def thinking(self, request: Request) -> Thinking | None:
        """The marks around the thoughts in the answer. None if there will be none. Raises RequestError."""

    @property
    def tools_threshold(self) -> float | None:
        """The least probability of needing a tool at which an answer may call one. None if the model is not asked."""

    @property
    def n_ctx(self) -> int | None:
        """The context of one request in tokens, prompt and answer together. None if a remote engine hides it."""

    def for_mode(self, mode: Mode) -> Engine:
        """The engine that computes this mode's answers, whose identity their fingerprints name. Often this one."""

    def health(self) -> Health:
        """The current state. It never waits."""

    def stats(self) -> Mapping[str, float]:
        """Counters and gauges by name, for `/metrics`. It never waits."""

    async def start(self) -> None:
        """Begin loading and return at once. `health` shows the progress."""

    async def ready(self) -> None:
        """Wait until it can answer. Raises EngineUnavailable with the reason when it never will."""

    def check(self, requests: Sequence[Request]) -> None:
        """Whether all of these, of one caller, can be admitted together. Raises RequestError where they never can."""

    def stream(self, request: Request) -> AsyncGenerator[Chunk | Answer, None]:
        """Chunks as they are made, then one Answer. Its text is the joined text of the chunks.

        Closing the iterator, or cancelling its task, cancels the request: it leaves the queue at once, and its
        sequence is free within one decode step. Raises RequestError, EngineBusy, EngineUnavailable, DeadlineExceeded.
        """

    async def answer(self, request: Request) -> Answer:
        """The last item of `stream`."""

    async def warm_up(self, groups: Sequence[Sequence[Request]]) -> None:
        """Decode the common beginning of each group's prompts ahead, while nobody waits, and keep it. Returns at once.

        An engine that keeps no prefixes does nothing.
        """

    async def count(self, request: Request) -> int:
        """Prompt tokens of the request as the model will see it."""

    async def tokenize(self, request: Request, *, add_special: bool = True) -> tuple[int, ...]:
        """The prompt's token ids. `add_special`: with the beginning-of-sequence token that the model wants."""

    async def detokenize(self, tokens: tuple[int, ...]) -> Detokenized:
        """The text of these tokens, and their names."""

    async def tokenizer_info(self) -> TokenizerInfo:
        """What is known about the model's tokens."""

    async def embed(self, texts: tuple[str, ...]) -> Embeddings:
        """One vector per text. Raises NotSupported, PromptTooLong, EngineBusy."""

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests, let running ones end for up to `grace_s`, then stop."""


@runtime_checkable
class ReportsLatency(Protocol):
    """An engine that tells how long people wait, as it happens."""

    on_latency: Callable[[str, float], None]
    """Called with a name ("queue_s", "first_token_s" or "inter_token_s") and seconds, for histograms."""


@runtime_checkable
class UnloadsWhenIdle(Protocol):
    """An engine that gives its memory back when nobody asked for `SAMEBOAT_UNLOAD_IDLE_S`."""

    def keep_loaded(self) -> None:
        """Stay loaded when nobody asks."""


@runtime_checkable
class LearnsIdentity(Protocol):
    """An engine that has to ask for its identity and its abilities."""

    async def learn(self) -> None:
        """Ask, if that is due. An engine that cannot be asked keeps those that it has."""

    @property
    def knows_identity(self) -> bool:
        """Whether it was told its identity, now or earlier."""
