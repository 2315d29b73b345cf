"""OpenAI's answer objects, whole and streamed.

In: results of `prompts.run`, or streams of chunks and results. Out: JSON values and server-sent events in the shapes of
platform.openai.com/docs/api-reference.
Not here: requests, engines, routes.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.engine import toolcalls
from service.engine.thinking import ThinkingSplitter
from service.engine.types import Alternative, Answer, Chunk, Identity, Logprob, Request, Thinking
from service.errors import AnswerUnusable, RequestError
from service.http import sse
from service.http.streams import merge
from service.prompts.run import Result

Streams = list[AsyncGenerator[tuple[int, Chunk | Result], None]]
"""Each item has the index of its choice."""
Tools = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Shape:
    """Which of OpenAI's two formats, and the parts of the request that the format depends on."""

    chat: bool
    tools: Tools = ()
    n: int = 1  # choices per prompt
    parallel: bool = False  # several calls in an answer
    structured: bool = False  # an answer without calls is JSON
    thinking: Thinking | None = None  # how an answer marks its thoughts, which then get a field of their own
    echoed: Sequence[str] = ()  # the texts of the prompts, if answers begin with them

    @property
    def kind(self) -> str:
        """OpenAI's name of the whole object."""
        return "chat.completion" if self.chat else "text_completion"

    @classmethod
    def of_chat(cls, request: Request, n: int = 1, thinking: Thinking | None = None) -> Shape:
        """That of the answer to this request."""
        structured = request.schema is not None or request.any_json
        return cls(True, request.tools, n, request.parallel_tools, structured, thinking)

    def reader(self) -> toolcalls.CallReader:
        """A reader of one answer's calls."""
        return toolcalls.CallReader(self.tools, parallel=self.parallel, structured=self.structured)

    def prompt(self, number: int) -> str:
        """The text with which this choice begins."""
        return self.echoed[number // self.n] if self.echoed else ""

    def head(self, identity: Identity, *, stream: bool) -> dict[str, Any]:
        """The fields that every object of one answer has."""
        return {
            "id": ("chatcmpl-" if self.chat else "cmpl-") + secrets.token_hex(12),
            "object": self.kind + (".chunk" if self.chat and stream else ""),
            "created": int(time.time()),
            "model": identity.model,
            "system_fingerprint": (identity.model_sha256 or "remote")[:16],
        }


def usage_of(results: Sequence[Result], n: int = 1) -> dict[str, Any]:
    """The tokens of all choices. A prompt counts once, also with several choices (`n`)."""
    per_prompt = [result.answer.usage for result in results[::n]]
    prompt_tokens = sum(usage.prompt for usage in per_prompt)
    completion_tokens = sum(result.answer.usage.completion for result in results)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": sum(usage.cached for usage in per_prompt)},
    }


def extras(result: Result) -> dict[str, Any]:
    """Fields that OpenAI's objects do not have."""
    schema = {"schema": dict(result.schema)} if result.schema is not None else {}
    answer = result.answer
    return {"fingerprint": result.fingerprint, "reused": answer.reused, "tokens": list(answer.tokens), **schema}


def chat_logprobs(answer: Answer | Chunk) -> dict[str, Any] | None:
    """Log-probabilities in the format of chats. None if none were asked for."""
    if not answer.logprobs:
        return None

    def entry(token: Logprob | Alternative) -> dict[str, Any]:
        return {"token": token.text, "logprob": token.logprob, "bytes": list(token.raw)}

    return {
        "content": [
            {**entry(token), "top_logprobs": [entry(other) for other in token.top]} for token in answer.logprobs
        ],
        "refusal": None,
    }


class Offsets:
    """Where each token of an answer begins, in characters. Call `next` with the tokens in their order.

    A token that continues a character begins where that character begins.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._offset = 0

    def next(self, data: bytes) -> int:
        """The offset of the token with these bytes."""
        offset = self._offset
        self._offset += len(self._decoder.decode(data))
        return offset


def text_logprobs(
    tokens: Sequence[Logprob], offsets: Offsets, *, prompt: Sequence[Logprob] = ()
) -> dict[str, Any] | None:
    """Log-probabilities in the format of /v1/completions: parallel lists. None if none were asked for.

    `offsets` has counted the tokens of the earlier chunks. The first token of a `prompt` follows nothing and has null.
    """
    unknown, known = prompt[:1], [*prompt[1:], *tokens]
    if not unknown and not known:
        return None
    return {
        "tokens": [legacy_name(token) for token in (*unknown, *known)],
        "token_logprobs": [None] * len(unknown) + [token.logprob for token in known],
        "top_logprobs": [None] * len(unknown) + [_by_name(token.top) for token in known],
        "text_offset": [offsets.next(token.raw) for token in (*unknown, *known)],
    }


def legacy_name(token: Logprob | Alternative) -> str:
    r"""A token in the format of /v1/completions: its text, or OpenAI's `bytes:\xf0\x9f` for a part of a character."""
    if token.data is None:
        return token.text
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.data)


def _by_name(tokens: Sequence[Alternative]) -> dict[str, float]:
    """Log-probabilities by the tokens' names. If two tokens have one text, the later one is named by its id."""
    by_name: dict[str, float] = {}
    for token in tokens:
        name = legacy_name(token)
        by_name[name if name not in by_name else f"token_id:{token.token}"] = token.logprob
    return by_name


def divided(text: str, thinking: Thinking | None) -> tuple[str, str]:
    """The thoughts and the text of a whole answer."""
    if thinking is None:
        return "", text
    splitter = ThinkingSplitter(thinking)
    first, rest = splitter.add(text), splitter.end()
    return first[0] + rest[0], first[1] + rest[1]


def usable(result: Result) -> Answer:
    """The answer.

    Raises:
        AnswerUnusable: if it breaks its schema.
    """
    if result.problem is not None and result.answer.finish_reason != "length":  # the finish reason tells of a cut one
        raise AnswerUnusable(f"The model's answer breaks its schema: {result.problem}.", key="response_format")
    return result.answer


def check_calls(reader: toolcalls.CallReader, tools: Tools, answer: Answer) -> str:
    """The finish reason of an answer whose calls were read.

    Raises:
        AnswerUnusable: if a call is incomplete or does not match its tool.
    """
    try:
        toolcalls.check(reader, tools, cut=answer.finish_reason == "length")
    except RequestError as error:
        raise AnswerUnusable(str(error), key="tools") from None
    return "tool_calls" if reader.calls and answer.finish_reason != "length" else answer.finish_reason


def whole(results: Sequence[Result], shape: Shape, head: Mapping[str, Any]) -> dict[str, Any]:
    """The whole answer, for a request without `stream`."""
    choices = [_choice(number, result, shape) for number, result in enumerate(results)]
    return {**head, "choices": choices, "usage": usage_of(results, shape.n), "sameboat": extras(results[0])}


def _choice(number: int, result: Result, shape: Shape) -> dict[str, Any]:
    answer = usable(result)
    thoughts, text = divided(answer.text, shape.thinking)
    calls: tuple[dict[str, Any], ...] = ()
    finish: str = answer.finish_reason
    if shape.tools:
        reader = shape.reader()
        text = reader.add(text).text + reader.end(cut=finish == "length")
        calls, finish = reader.calls, check_calls(reader, shape.tools, answer)
    base: dict[str, Any] = {"index": number, "finish_reason": finish}
    if not shape.chat:
        logprobs = text_logprobs(answer.logprobs or (), Offsets(), prompt=answer.prompt_logprobs)
        return {**base, "text": shape.prompt(number) + text, "logprobs": logprobs}
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if calls:
        message |= {"content": text or None, "tool_calls": list(calls)}
    if shape.thinking is not None:
        message["reasoning_content"] = thoughts or None
    return {**base, "message": message, "logprobs": chat_logprobs(answer)}


async def collect(streams: Streams) -> list[Result]:
    """The results of all streams, by index. If it is cancelled, all requests are cancelled."""
    async with contextlib.aclosing(merge(streams)) as items:
        results = {index: item async for index, item in items if isinstance(item, Result)}
    return [results[index] for index in range(len(streams))]


@dataclass
class _Choice:
    """One choice while it is streamed."""

    number: int
    shape: Shape
    offsets: Offsets = field(default_factory=Offsets)
    prompt_logprobs: list[Logprob] = field(default_factory=list)
    begun: bool = False
    reader: toolcalls.CallReader | None = None
    splitter: ThinkingSplitter | None = None

    def __post_init__(self) -> None:
        """An answer with tools gets a reader, and one with marked thoughts a splitter."""
        if self.shape.tools:
            self.reader = self.shape.reader()
        if self.shape.thinking is not None:
            self.splitter = ThinkingSplitter(self.shape.thinking)

    def first(self) -> list[dict[str, Any]]:
        """The first piece of a choice: the role in a chat, or the prompt if it is echoed. No piece at later calls."""
        if self.begun:
            return []
        self.begun = True
        if not self.shape.chat:
            if not self.shape.echoed:
                return []
            logprobs = text_logprobs((), self.offsets, prompt=self.prompt_logprobs)
            return [self._piece({"text": self.shape.prompt(self.number), "logprobs": logprobs})]
        return [self._piece({"delta": {"role": "assistant", "content": ""}, "logprobs": None})]

    def chunk(self, item: Chunk) -> list[dict[str, Any]]:
        """The pieces of one chunk. Text that may be the start of a tool call is held back."""
        thoughts, text = self.splitter.add(item.text) if self.splitter is not None else ("", item.text)
        if not self.shape.chat:
            logprobs = text_logprobs(item.logprobs, self.offsets)
            return [self._piece({"text": text, "logprobs": logprobs})] if text or item.logprobs else []
        deltas: list[dict[str, Any]] = [{"reasoning_content": thoughts}] if thoughts else []
        deltas += self._deltas(text)
        if not deltas and item.logprobs:
            deltas = [{"content": ""}]
        return [
            self._piece({"delta": delta, "logprobs": None if at else chat_logprobs(item)})
            for at, delta in enumerate(deltas)
        ]

    def _deltas(self, text: str) -> list[dict[str, Any]]:
        """Those of text, and of the calls in it."""
        read = self.reader.add(text) if self.reader is not None else toolcalls.CallDelta(text)
        return [*([{"content": read.text}] if read.text else []), *({"tool_calls": [call]} for call in read.calls)]

    def end(self, result: Result) -> list[dict[str, Any]]:
        """The pieces that were held back, and the finish reason."""
        answer = usable(result)
        if not self.shape.chat:
            return [self._piece({"text": "", "logprobs": None}, answer.finish_reason)]
        thoughts, rest = self.splitter.end() if self.splitter is not None else ("", "")
        deltas: list[dict[str, Any]] = [{"reasoning_content": thoughts}] if thoughts else []
        deltas += self._deltas(rest)
        finish: str = answer.finish_reason
        if self.reader is not None:
            text = self.reader.end(cut=finish == "length")
            deltas += [{"content": text}] if text else []
            finish = check_calls(self.reader, self.shape.tools, answer)
        pieces = [self._piece({"delta": delta, "logprobs": None}) for delta in deltas]
        return [*pieces, self._piece({"delta": {}, "logprobs": None}, finish)]

    def _piece(self, fields: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"index": self.number, "finish_reason": finish, **fields}


async def events(streams: Streams, shape: Shape, head: Mapping[str, Any], *, usage: bool) -> AsyncGenerator[str, None]:
    """OpenAI's chunks as events, and [DONE]."""
    async with contextlib.aclosing(chunks(streams, shape, head, usage=usage)) as batches:
        async for batch in batches:
            yield "".join(sse.frame(chunk) for chunk in batch)
    yield sse.frame("[DONE]")


async def chunks(
    streams: Streams, shape: Shape, head: Mapping[str, Any], *, usage: bool
) -> AsyncGenerator[list[dict[str, Any]], None]:
    """OpenAI's chunks: role, text, finish reason, usage (if `usage` is true). Those that come together are one item."""
    choices = [_Choice(number, shape) for number in range(len(streams))]
    results: dict[int, Result] = {}

    def wrapped(pieces: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
        extra = {"usage": None} if usage else {}
        return [{**head, "choices": [piece], **extra, **more} for piece in pieces]

    async with contextlib.aclosing(merge(streams)) as items:
        async for index, item in items:
            choice = choices[index]
            if isinstance(item, Chunk) and item.prompt_logprobs:
                choice.prompt_logprobs += item.prompt_logprobs
                continue
            pieces = choice.first()
            if isinstance(item, Result):
                results[index] = item
                end = await asyncio.to_thread(choice.end, item) if shape.tools else choice.end(item)
                *before, last = [*pieces, *end]
                yield wrapped(before) + wrapped([last], sameboat=extras(item))
            elif pieces := [*pieces, *choice.chunk(item)]:
                yield wrapped(pieces)
    if usage:
        ordered = [results[index] for index in sorted(results)]
        yield [{**head, "choices": [], "usage": usage_of(ordered, shape.n)}]
