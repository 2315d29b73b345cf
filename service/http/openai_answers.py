"""OpenAI's answer objects: what a `Result` looks like to OpenAI's clients, whole and streamed.

What comes in: results of `prompts.run`, or streams of them. What goes out: JSON values and server-sent events in the
shapes of platform.openai.com/docs/api-reference. What it does not know: requests, engines, routes.
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
from service.engine.types import Alternative, Answer, Chunk, Identity, Logprob
from service.errors import RemoteError, RequestError
from service.http import sse
from service.http.streams import merge
from service.prompts.run import Result

Streams = list[AsyncGenerator[Chunk | Result, None]]
Tools = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Shape:
    """Which of OpenAI's two formats, and what it needs to know of the request."""

    chat: bool
    tools: Tools = ()
    n: int = 1  # choices per prompt

    @property
    def kind(self) -> str:
        """OpenAI's name of the whole object."""
        return "chat.completion" if self.chat else "text_completion"

    def head(self, identity: Identity, *, stream: bool) -> dict[str, Any]:
        """What every object of one answer carries."""
        return {
            "id": ("chatcmpl-" if self.chat else "cmpl-") + secrets.token_hex(12),
            "object": self.kind + (".chunk" if self.chat and stream else ""),
            "created": int(time.time()),
            "model": identity.model,
            "system_fingerprint": (identity.model_sha256 or "remote")[:16],
        }


def usage_of(results: Sequence[Result], n: int = 1) -> dict[str, Any]:
    """Tokens of all choices; each prompt counts once, however many choices it has."""
    prompts = [result.answer.usage for result in results[::n]]
    read = sum(usage.prompt for usage in prompts)
    made = sum(result.answer.usage.completion for result in results)
    return {
        "prompt_tokens": read,
        "completion_tokens": made,
        "total_tokens": read + made,
        "prompt_tokens_details": {"cached_tokens": sum(usage.cached for usage in prompts)},
    }


def extras(result: Result) -> dict[str, Any]:
    """What OpenAI's objects have no place for."""
    return {"fingerprint": result.fingerprint, "reused": result.answer.reused, "tokens": list(result.answer.tokens)}


def chat_logprobs(answer: Answer | Chunk) -> dict[str, Any] | None:
    """The chat format's log-probabilities."""
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
    """Where in an answer's text each token begins, in characters, for tokens that come one after the other.

    A token that goes on with a character begins where that character does.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._offset = 0

    def next(self, data: bytes) -> int:
        """Where the token with these bytes begins."""
        begins = self._offset
        self._offset += len(self._decoder.decode(data))
        return begins


def text_logprobs(answer: Answer | Chunk, offsets: Offsets) -> dict[str, Any] | None:
    """The older format of /v1/completions: parallel lists; `offsets` knows the tokens of the chunks before."""
    if not answer.logprobs:
        return None
    return {
        "tokens": [legacy_name(token) for token in answer.logprobs],
        "token_logprobs": [token.logprob for token in answer.logprobs],
        "top_logprobs": [_by_name(token.top) for token in answer.logprobs],
        "text_offset": [offsets.next(token.raw) for token in answer.logprobs],
    }


def legacy_name(token: Logprob | Alternative) -> str:
    r"""A token in the older format: its text, and `bytes:\xf0\x9f` for a part of a character, as OpenAI names it."""
    if token.data is None:
        return token.text
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.data)


def _by_name(tokens: Sequence[Alternative]) -> dict[str, float]:
    """Log-probabilities by the tokens' names. Tokens with one text keep apart: the later ones are named by their id."""
    found: dict[str, float] = {}
    for token in tokens:
        name = legacy_name(token)
        found[name if name not in found else f"token_id:{token.token}"] = token.logprob
    return found


def called(result: Result, tools: Tools) -> tuple[str, tuple[dict[str, Any], ...], str]:
    """Visible text, tool calls, finish reason. Raises RemoteError for calls that a remote model got wrong."""
    answer = result.answer
    if not tools:
        return answer.text, (), answer.finish_reason
    try:
        text, calls = toolcalls.parse(answer.text, tools)
    except RequestError as error:
        raise RemoteError(str(error)) from None
    if calls:
        return text.strip(), calls, "tool_calls"
    visible = toolcalls.Visible()
    return visible.add(answer.text) + visible.end(), (), answer.finish_reason


def whole(results: Sequence[Result], shape: Shape, head: Mapping[str, Any]) -> dict[str, Any]:
    """The object that is answered without streaming."""
    choices = [_choice(number, result, shape) for number, result in enumerate(results)]
    return {**head, "choices": choices, "usage": usage_of(results, shape.n), "sameboat": extras(results[0])}


def _choice(number: int, result: Result, shape: Shape) -> dict[str, Any]:
    text, calls, finish = called(result, shape.tools)
    base: dict[str, Any] = {"index": number, "finish_reason": finish}
    if not shape.chat:
        return {**base, "text": text, "logprobs": text_logprobs(result.answer, Offsets())}
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if calls:
        message |= {"content": text or None, "tool_calls": list(calls)}
    return {**base, "message": message, "logprobs": chat_logprobs(result.answer)}


async def collect(streams: Streams) -> list[Result]:
    """The results of all streams, in their order; closing it withdraws all of them."""
    async with contextlib.aclosing(merge(streams)) as items:
        found = {number: item async for number, item in items if isinstance(item, Result)}
    return [found[number] for number in range(len(streams))]


@dataclass
class _Choice:
    """One choice while it is streamed."""

    number: int
    shape: Shape
    visible: toolcalls.Visible = field(default_factory=toolcalls.Visible)
    offsets: Offsets = field(default_factory=Offsets)
    begun: bool = False

    def role(self) -> list[dict[str, Any]]:
        """The first piece of a chat choice; nothing after that, and nothing for a text."""
        if self.begun or not self.shape.chat:
            return []
        self.begun = True
        return [self._piece({"delta": {"role": "assistant", "content": ""}, "logprobs": None})]

    def chunk(self, item: Chunk) -> list[dict[str, Any]]:
        """What a chunk shows: a beginning tool call is held back."""
        text = self.visible.add(item.text) if self.shape.tools else item.text
        if not text and not item.logprobs:
            return []
        if self.shape.chat:
            return [self._piece({"delta": {"content": text}, "logprobs": chat_logprobs(item)})]
        return [self._piece({"text": text, "logprobs": text_logprobs(item, self.offsets)})]

    def end(self, result: Result) -> list[dict[str, Any]]:
        """The tool calls, and the finish reason."""
        _, calls, finish = called(result, self.shape.tools)
        if not self.shape.chat:
            return [self._piece({"text": "", "logprobs": None}, finish)]
        pieces = []
        rest = self.visible.end() if self.shape.tools and not calls else ""
        if rest:
            pieces.append(self._piece({"delta": {"content": rest}, "logprobs": None}))
        for at, call in enumerate(calls):
            pieces.append(self._piece({"delta": {"tool_calls": [{"index": at, **call}]}, "logprobs": None}))
        return [*pieces, self._piece({"delta": {}, "logprobs": None}, finish)]

    def _piece(self, fields: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {"index": self.number, "finish_reason": finish, **fields}


async def events(streams: Streams, shape: Shape, head: Mapping[str, Any], *, usage: bool) -> AsyncGenerator[str, None]:
    """OpenAI's chunks: a role first, then text, then a finish reason, then usage if it was asked for, then [DONE]."""
    choices = [_Choice(number, shape) for number in range(len(streams))]
    results: dict[int, Result] = {}

    def frames(pieces: list[dict[str, Any]], **more: Any) -> str:
        extra = {"usage": None} if usage else {}
        return "".join(sse.frame({**head, "choices": [piece], **extra, **more}) for piece in pieces)

    async with contextlib.aclosing(merge(streams)) as items:
        async for number, item in items:
            choice = choices[number]
            pieces = choice.role()
            if isinstance(item, Result):
                results[number] = item
                end = await asyncio.to_thread(choice.end, item) if shape.tools else choice.end(item)
                *before, last = [*pieces, *end]
                yield frames(before) + frames([last], sameboat=extras(item))
            elif pieces := [*pieces, *choice.chunk(item)]:
                yield frames(pieces)
    if usage:
        ordered = [results[number] for number in sorted(results)]
        yield sse.frame({**head, "choices": [], "usage": usage_of(ordered, shape.n)})
    yield sse.frame("[DONE]")
