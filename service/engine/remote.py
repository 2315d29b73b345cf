"""A server with OpenAI's API as an engine: vLLM, SGLang, llama-server, another Sameboat, a provider.

In: settings (base URL, key, kind, model, timeout, retries, concurrency), requests. Out: chunks, answers.
Not here: the kinds of servers (`remote_kinds`), the connection (`remote_server`), the form of requests and answers
(`openai_wire`), the scoring of labels (`remote_labels`).

A kind that does not tell token ids gives answers without them, and nothing proves which weights answered. Servers may
ignore a schema or a request for log-probabilities, so the answer is checked for both. All models of one provider share
its limiter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx

from service.engine.limiter import ConcurrencyLimiter
from service.engine.openai_wire import AnswerReader, parse_event, request_body
from service.engine.queue import RequestSize
from service.engine.remote_kinds import KINDS, RemoteFacts, find_out
from service.engine.remote_labels import RemoteLabels
from service.engine.remote_server import RemoteServer, make_client
from service.engine.streams import answer_of
from service.engine.types import (
    Abilities,
    Answer,
    Chunk,
    Detokenized,
    Embeddings,
    Health,
    Identity,
    Mode,
    Request,
    TemplateInputs,
    Thinking,
    Timings,
    TokenizerInfo,
    Usage,
)
from service.errors import (
    DeadlineExceeded,
    EngineBusy,
    EngineError,
    EngineUnavailable,
    NotSupported,
    RemoteError,
)
from service.settings import Settings

log = logging.getLogger("sameboat.engine")
LIMIT, NEWER_LIMIT = "max_tokens", "max_completion_tokens"
REFRESH_S = 60.0  # between questions about the server, because it may come back with another model
BYTES_PER_TOKEN = 3  # of English text, rounded down, so that the estimate of waiting tokens errs upwards


def make_limiter(settings: Settings) -> ConcurrencyLimiter:
    """Places at one provider, as the settings have it."""
    return ConcurrencyLimiter(
        settings.remote_concurrency, requests=settings.queue_requests, tokens=settings.queue_tokens
    )


class RemoteEngine:
    """One model of one OpenAI-compatible server."""

    def __init__(
        self,
        settings: Settings,
        model: str,
        *,
        limiter: ConcurrencyLimiter | None = None,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        """`limiter` and `client` may be shared by the models of one provider. The owner of a shared client closes
        it.
        """
        self._settings = settings
        self._model = settings.remote_model or model
        self._client = client or make_client(settings)
        self._own_client = client is None
        self._limiter = limiter or make_limiter(settings)
        self._server = RemoteServer(self._client, settings.remote_retries, self._retried)
        self._labels = RemoteLabels(self._server, self._model)
        self._facts: RemoteFacts | None = None  # None: not told yet
        self._asked = -REFRESH_S
        self._asking = asyncio.Lock()
        self._limit = LIMIT
        self._health = Health("ready", f"{self._model} at {self._client.base_url}")
        self._open = 0  # requests that have not ended
        self._ended = asyncio.Event()  # set while there are none
        self._counters = dict.fromkeys(
            ("requests", "answers", "rejected", "cancelled", "failed", "retries", "completion_tokens", "running"), 0.0
        )
        self.on_latency: Callable[[str, float], None] = lambda name, seconds: None
        """See `ReportsLatency`. It never reports "inter_token_s", because one event may hold several tokens."""

    def _retried(self) -> None:
        self._counters["retries"] += 1

    @property
    def facts(self) -> RemoteFacts:
        """The kind and the model, as far as the server told them."""
        return self._facts or RemoteFacts(KINDS.get(self._settings.remote_kind, KINDS["openai"]))

    @property
    def knows_identity(self) -> bool:
        """Whether the server told its kind, now or earlier."""
        return self._facts is not None

    @property
    def identity(self) -> Identity:
        """The server's URL, kind and version, and its own description of the model. Few kinds tell a digest."""
        facts = self.facts
        settings = {"url": str(self._client.base_url), **facts.settings}
        return Identity("remote", facts.version, self._model, facts.model_sha256, facts.template_sha256, settings)

    @property
    def abilities(self) -> Abilities:
        """The features of this kind of server. An unknown one may score labels, which `stream` finds out."""
        kind = self.facts.kind
        unknown = self._facts is None and self._settings.remote_kind == "auto"
        return Abilities(
            seed=kind.seed, schema=True, logprobs=True, choices=unknown or kind.labels is not None,
            tokens=kind.ids_by is not None, embeddings=True, tools=True, exact=False,
        )  # fmt: skip

    async def learn(self) -> None:
        """Ask the server for its kind and its model, at most once in REFRESH_S seconds. See `LearnsIdentity`."""
        if time.monotonic() - self._asked < REFRESH_S:
            return
        async with self._asking:
            if time.monotonic() - self._asked < REFRESH_S:
                return
            kind = self._facts.kind.name if self._facts is not None else self._settings.remote_kind
            try:
                facts = await find_out(self._server, kind, self._model)
            except RemoteError as error:  # the request that follows has tries, and an error of its own
                log.info("the remote server does not tell its kind: %s", error.message)
                return
            if self._facts is None:
                log.info("%s at %s is %s (%s)", self._model, self._server.base, facts.kind.name, facts.version)
            elif facts != self._facts:
                log.warning("the remote server changed to %s", facts.version)
                self._labels.forget()
            self._facts, self._asked = facts, time.monotonic()

    def thinking(self, request: Request) -> Thinking | None:
        """The server does not tell."""
        return None

    @property
    def tools_threshold(self) -> float | None:
        """None. The server decides by itself."""
        return None

    @property
    def n_ctx(self) -> int | None:
        """The context, if the server tells it."""
        return self.facts.n_ctx

    def for_mode(self, mode: Mode) -> RemoteEngine:
        """This one. The server has no modes."""
        return self

    def health(self) -> Health:
        """Ready until it is stopped. Only a request shows whether the server answers."""
        return self._health

    def stats(self) -> Mapping[str, float]:
        """Counters, and how it stands with the places that this model shares with the provider's others."""
        return {
            **self._counters,
            "queue_requests": float(self._limiter.waiting),
            "queue_tokens": float(self._limiter.waiting_tokens),
            "queue_wait_s": self._limiter.wait_s(),
        }

    async def start(self) -> None:
        """Nothing to load. The server is asked for its kind."""
        await self.learn()

    async def ready(self) -> None:
        """Nothing to wait for. The server is asked for its kind, so that `identity` is known."""
        await self.learn()

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests, let running ones end for up to `grace_s`, then close the connections."""
        if self._open:
            self._health = Health("draining", "shutting down")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._ended.wait()
        self._health = Health("stopped", "stopped")
        if self._own_client:
            await self._client.aclose()

    def check(self, requests: Sequence[Request]) -> None:
        """Raises RequestError for more requests than may wait for a place where nobody else does."""
        if len(requests) > self._limiter.limit:
            bodies = [self._body(request)[1] for request in requests]
            background = requests[0].priority == "background"
            self._limiter.check([RequestSize(_tokens(body), background) for body in bodies])

    async def answer(self, request: Request) -> Answer:
        """The last item of `stream`."""
        return await answer_of(self.stream(request))

    async def stream(self, request: Request) -> AsyncGenerator[Chunk | Answer, None]:
        """Chunks, then the answer. Closing the iterator closes the connection, which tells the server to stop.

        Raises:
            DeadlineExceeded: if the request's deadline passes.
            EngineError: EngineBusy if too many requests wait, RemoteError for the server's errors.
        """
        await self.learn()
        path, body = self._body(request)
        self._counters["requests"] += 1
        arrived = time.monotonic()
        outcome = "cancelled"
        self._enter()
        try:
            async with contextlib.aclosing(self._in_turn(path, body, request, arrived)) as items:
                while True:
                    left = None if request.deadline_s is None else arrived + request.deadline_s - time.monotonic()
                    async with asyncio.timeout(left):
                        item = await anext(items)
                    if isinstance(item, Answer):
                        outcome = "answers"
                    yield item
                    if isinstance(item, Answer):
                        return
        except TimeoutError:
            outcome = "failed"
            raise DeadlineExceeded(f"No answer within the {request.deadline_s:g} s that the request allows.") from None
        except EngineError as error:
            outcome = "rejected" if isinstance(error, EngineBusy) else "failed"
            raise
        finally:
            self._counters[outcome] += 1
            self._leave()

    def _body(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Path and body. Raises NotSupported, or RemoteError if the server's kind is unknown and decides."""
        if request.choices and self._facts is None and self._settings.remote_kind == "auto":
            raise RemoteError(
                f"{self._server.base} does not tell yet whether it can score labels.",
                retry_after_s=5.0,
                remedy="Start the server, or set SAMEBOAT_REMOTE_KIND.",
            )
        return request_body(request, self._model, self.facts.kind)

    def _enter(self) -> None:
        """One more is open. Raises EngineUnavailable when the service is leaving."""
        if self._health.state != "ready":
            raise EngineUnavailable(f"The engine is {self._health.state}.", retry_after_s=5.0)
        self._open += 1
        self._ended.clear()

    def _leave(self) -> None:
        self._open -= 1
        if not self._open:
            self._ended.set()

    async def _in_turn(
        self, path: str, body: dict[str, Any], request: Request, arrived: float
    ) -> AsyncGenerator[Chunk | Answer, None]:
        """The answer, when it is this request's turn."""
        async with self._limiter.acquire(tokens=_tokens(body), background=request.priority == "background"):
            self._counters["running"] += 1
            self.on_latency("queue_s", time.monotonic() - arrived)
            try:
                answering = (
                    self._labelled(request, arrived)
                    if request.choices
                    else self._streamed(path, body, request, arrived)
                )
                async with contextlib.aclosing(answering) as items:
                    async for item in items:
                        yield item
            finally:
                self._counters["running"] -= 1

    async def warm_up(self, groups: Sequence[Sequence[Request]]) -> None:
        """Do nothing. The server decides about its own prefix cache."""

    async def count(self, request: Request) -> int:
        """Prompt tokens of the request, if the server has a tokenizer.

        Raises:
            NotSupported: if it tells none.
        """
        return len(await self.tokenize(request))

    async def tokenize(self, request: Request, *, add_special: bool = True) -> tuple[int, ...]:
        """The prompt's token ids, if the server has a tokenizer.

        Raises:
            NotSupported: if it tells none, or the request has tools, values for the template, or a text without the
                tokens that begin a sequence.
        """
        await self.learn()
        if request.tools or request.template != TemplateInputs() or not add_special:
            raise NotSupported("A remote engine counts the tokens of plain conversations and texts.", key="engine")
        return await self._labels.prompt(request, self.facts.kind)

    async def detokenize(self, tokens: tuple[int, ...]) -> Detokenized:
        """OpenAI's API has no such call.

        Raises:
            NotSupported: always.
        """
        raise NotSupported("A remote engine does not tell its tokens.", key="engine")

    async def tokenizer_info(self) -> TokenizerInfo:
        """OpenAI's API has no such call.

        Raises:
            NotSupported: always.
        """
        raise NotSupported("A remote engine does not tell its tokens.", key="engine")

    async def embed(self, texts: tuple[str, ...]) -> Embeddings:
        """Vectors as the server gives them, scaled to unit length."""
        size = 1 + sum(len(text) for text in texts) // BYTES_PER_TOKEN
        self._enter()
        try:
            async with self._limiter.acquire(tokens=size, background=False):
                tokens, vectors = await self._embedded(texts)
        finally:
            self._leave()
        norms = [sum(value * value for value in vector) ** 0.5 or 1.0 for vector in vectors]
        unit = tuple(tuple(value / norm for value in vector) for vector, norm in zip(vectors, norms, strict=True))
        return Embeddings(unit, tokens)

    async def _embedded(self, texts: tuple[str, ...]) -> tuple[int, list[list[float]]]:
        """The tokens that the server counted, and its vectors in the order of the texts."""
        raw = await self._server.ask("embeddings", {"model": self._model, "input": list(texts)})
        try:
            rows = {int(row["index"]): [float(value) for value in row["embedding"]] for row in raw["data"]}
            return int((raw.get("usage") or {}).get("prompt_tokens") or 0), [rows[at] for at in range(len(texts))]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise RemoteError(f"The server's embeddings cannot be read: {type(error).__name__}.") from None

    async def _without_end(self, reading: AnswerReader) -> tuple[int, ...]:
        """The answer's token ids without the end of the turn, which vLLM tells too. None if that is not known."""
        tokens = tuple(reading.tokens)
        if not tokens or reading.finish != "stop" or self.facts.kind.ids_by != "return_token_ids":
            return tokens
        try:
            end = await self._labels.end_of_turn(self.facts.kind)
        except RemoteError as error:
            log.warning("the answer's token ids are left out: %s", error.message)
            return ()
        return tokens[:-1] if tokens[-1] == end else tokens

    async def _labelled(self, request: Request, arrived: float) -> AsyncGenerator[Chunk | Answer, None]:
        begun = time.monotonic()
        scores = await self._labels.score(request, self.facts.kind)
        now = time.monotonic()
        self.on_latency("first_token_s", now - arrived)
        label = request.choices[scores.best]
        self._counters["completion_tokens"] += len(scores.tokens)
        yield Chunk(label, scores.tokens)
        yield Answer(
            text=label,
            tokens=scores.tokens,
            finish_reason="stop",
            usage=Usage(scores.prompt, len(scores.tokens)),
            timings=Timings(begun - arrived, now - arrived, now - arrived),
            probabilities=dict(zip(request.choices, scores.probabilities, strict=True)),
            label_logprobs=dict(zip(request.choices, scores.logprobs, strict=True)),
            constrained=True,
        )

    async def _streamed(
        self, path: str, body: dict[str, Any], request: Request, arrived: float
    ) -> AsyncGenerator[Chunk | Answer, None]:
        begun = time.monotonic()
        response = await self._begin(path, body, fresh=not request.reuse)
        reading = AnswerReader(request)
        first: float | None = None
        try:
            if "text/event-stream" not in response.headers.get("content-type", ""):
                raise RemoteError(
                    f"The server sent {response.headers.get('content-type', 'nothing')!r} and not an event stream.",
                    status=response.status_code,
                    remedy="Check that SAMEBOAT_REMOTE_BASE_URL ends in /v1.",
                )
            async for line in response.aiter_lines():
                event = parse_event(line)
                for chunk in reading.add(event) if event is not None else ():
                    if first is None:
                        first = time.monotonic()
                        self.on_latency("first_token_s", first - arrived)
                    yield chunk
        except httpx.HTTPError as error:
            raise RemoteError(
                f"The connection broke in the middle of the answer: {type(error).__name__}.", retry_after_s=1.0
            ) from None
        finally:
            await response.aclose()
        for chunk in reading.end():
            yield chunk
        now = time.monotonic()
        self._counters["completion_tokens"] += reading.usage.completion
        yield Answer(
            text=reading.text,
            tokens=await self._without_end(reading),
            finish_reason=reading.finish,
            # All callers of this service share the server's cache, so its hits would tell one about the others.
            usage=replace(reading.usage, cached=0) if request.cache_salt else reading.usage,
            timings=Timings(begun - arrived, (first or now) - arrived, now - arrived),
            logprobs=tuple(reading.logprobs) if request.logprobs is not None else None,
            constrained=request.schema is not None or request.any_json,
        )

    async def _begin(self, path: str, body: Mapping[str, Any], *, fresh: bool) -> httpx.Response:
        """The head of an answer. Newer models of OpenAI's want the limit by its newer name, and say so when asked."""
        limit = self._limit
        try:
            return await self._server.post(path, _limited(body, limit), fresh=fresh)
        except RemoteError as error:
            if limit == NEWER_LIMIT or (error.status, error.key) != (400, LIMIT):
                raise
            self._limit = NEWER_LIMIT
            return await self._server.post(path, _limited(body, NEWER_LIMIT), fresh=fresh)


def _limited(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The body with the token limit under this name."""
    return {name if key == LIMIT else key: value for key, value in body.items()}


def _tokens(body: Mapping[str, Any]) -> int:
    """Prompt tokens of a request, estimated from its JSON text."""
    return 1 + len(json.dumps(body, ensure_ascii=False).encode(errors="replace")) // BYTES_PER_TOKEN
