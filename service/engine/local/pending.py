"""One request from admission to its last token: the worker's events become chunks and an answer.

In: messages of `protocol`, or an error. Out: chunks, one Answer, or that error.
Not here: the queue, other requests, the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.engine.local.protocol import refusal_error
from service.engine.types import Alternative, Answer, Chunk, Logprob, Request, Timings, Usage
from service.errors import DeadlineExceeded, RequestFailed, SameboatError


@dataclass(eq=False)
class PendingRequest:
    """A request, its message to the worker, and the events so far. Times are of `time.monotonic`."""

    id: int
    request: Request
    message: dict[str, Any]
    tokens: int  # estimated prompt tokens
    arrived: float
    events: asyncio.Queue[dict[str, Any] | SameboatError] = field(default_factory=asyncio.Queue)
    begun: float | None = None

    @property
    def background(self) -> bool:
        """Whether a person is not waiting for it."""
        return self.request.priority == "background"

    async def follow(self, on_latency: Callable[[str, float], None]) -> AsyncGenerator[Chunk | Answer, None]:
        """Chunks, then the answer.

        Raises:
            SameboatError: the error of the request or of the lost worker.
            DeadlineExceeded: if the request's deadline passes within `deadline`.
            RequestError: the refusal of the worker, made by `refusal_error`.
            RequestFailed: if the engine broke at this request, made by `broken`.
        """
        text: list[str] = []
        tokens: list[int] = []
        logprobs: list[Logprob] = []
        prompt_logprobs: list[Logprob] = []
        prompt = 0
        first: float | None = None
        latest = 0.0
        while True:
            event = await self.events.get()
            if isinstance(event, SameboatError):
                raise event
            now = time.monotonic()
            if event["op"] == "begun":
                prompt = event["prompt"]
            elif event["op"] == "echo":
                echoed = tuple(_logprob(record) for record in event["logprobs"])
                prompt_logprobs += echoed
                yield Chunk("", (), (), echoed)
            elif event["op"] == "tokens":
                if first is None:
                    first = now
                    on_latency("first_token_s", now - self.arrived)
                else:
                    on_latency("inter_token_s", (now - latest) / max(1, len(event["tokens"])))
                latest = now
                fresh = tuple(_logprob(entry) for entry in event["logprobs"])
                text.append(event["text"])
                tokens += event["tokens"]
                logprobs += fresh
                yield Chunk(event["text"], tuple(event["tokens"]), fresh)
            elif event["op"] == "refused":
                raise refusal_error(event)
            elif event["op"] == "broken":
                raise broken(event["log_id"])
            else:
                probabilities = label_logprobs = None
                if self.request.choices:
                    probabilities = dict(zip(self.request.choices, event["probabilities"], strict=True))
                    label_logprobs = dict(zip(self.request.choices, event["label_logprobs"], strict=True))
                    text, tokens = [self.request.choices[event["best"]]], event["tokens"]
                    yield Chunk(text[0], tuple(tokens))
                yield Answer(
                    text="".join(text),
                    tokens=tuple(tokens),
                    finish_reason=event["finish"],
                    usage=Usage(prompt, len(tokens), event["cached"], event["forced"]),
                    timings=Timings(
                        (self.begun or now) - self.arrived, (first or now) - self.arrived, now - self.arrived
                    ),
                    logprobs=tuple(logprobs) if self.request.logprobs is not None else None,
                    probabilities=probabilities,
                    label_logprobs=label_logprobs,
                    prompt_logprobs=tuple(prompt_logprobs),
                    constrained=self.message["lark"] is not None or bool(self.request.choices),
                )
                return

    @contextlib.contextmanager
    def deadline(self) -> Iterator[None]:
        """While this is open, the request's deadline is one of its events. One timer costs less than one per token."""
        limit = self.request.deadline_s
        if limit is None:
            yield
            return
        error = DeadlineExceeded(f"No answer within the {limit:g} s that the request allows.")
        left = max(0.0, self.arrived + limit - time.monotonic())
        timer = asyncio.get_running_loop().call_later(left, self.events.put_nowait, error)
        try:
            yield
        finally:
            timer.cancel()


def _logprob(raw: Mapping[str, Any]) -> Logprob:
    top = tuple(Alternative(other["token"], other["text"], other["logprob"], _data(other)) for other in raw["top"])
    return Logprob(raw["token"], raw["text"], raw["logprob"], top, _data(raw))


def _data(raw: Mapping[str, Any]) -> bytes | None:
    return None if raw["data"] is None else bytes(raw["data"])


def broken(identifier: str) -> RequestFailed:
    """The error of a request that broke the engine. The log has the traceback under this identifier."""
    return RequestFailed(f"The engine broke at this request. Its log tells why, under {identifier}.", id=identifier)
