"""An OpenAI-compatible server as an engine: vLLM, llama-server, a provider. The same contract with fewer abilities.

In: settings (base URL, key, model, timeout, retries, concurrency), requests. Out: chunks, answers.
Not here: the form of requests and answers (`openai_wire`).

Tokens have no ids here, a seed is only a wish, and nothing proves which weights answered: `abilities` says so. Servers
may ignore a schema or a request for log-probabilities, so the answer is checked for both.

Connection errors, 408, 409, 425, 429 and 5xx are retried, never after the first byte of an answer. All models of one
provider share its limiter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx

from service.backoff import Backoff, parse_retry_after
from service.engine.limiter import ConcurrencyLimiter
from service.engine.openai_wire import AnswerReader, parse_event, request_body
from service.engine.queue import RequestSize
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
    Thinking,
    Timings,
    TokenizerInfo,
)
from service.errors import (
    DeadlineExceeded,
    EngineBusy,
    EngineError,
    EngineUnavailable,
    NotSupported,
    RemoteError,
    SettingsError,
)
from service.settings import Settings

RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}
BACKOFF = Backoff(0.5, 60.0, jitter=0.5, longest_asked_s=60.0)
LIMIT, NEWER_LIMIT = "max_tokens", "max_completion_tokens"
BYTES_PER_TOKEN = 3  # of English text, rounded down, so that the estimate of waiting tokens errs upwards


def make_limiter(settings: Settings) -> ConcurrencyLimiter:
    """Places at one provider, as the settings have it."""
    return ConcurrencyLimiter(
        settings.remote_concurrency, requests=settings.queue_requests, tokens=settings.queue_tokens
    )


def make_client(settings: Settings) -> httpx.AsyncClient:
    """A client for the configured provider. It takes half a megabyte, so it is made once.

    Raises:
        SettingsError: if the base URL is not set or is no plain URL.
    """
    if not settings.remote_base_url:
        raise SettingsError(
            "SAMEBOAT_ENGINE is remote, and SAMEBOAT_REMOTE_BASE_URL is not set.",
            key="SAMEBOAT_REMOTE_BASE_URL",
            remedy="Set it to the server's base URL, which usually ends in /v1.",
        )
    key = settings.remote_api_key
    return httpx.AsyncClient(
        base_url=_base(settings.remote_base_url),
        headers={"authorization": f"Bearer {key.get_secret_value()}"} if key is not None else {},
        timeout=httpx.Timeout(settings.remote_timeout_s, connect=min(10.0, settings.remote_timeout_s)),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),  # the limiter bounds them
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
        self._limit = LIMIT
        self._health = Health("ready", f"{self._model} at {self._client.base_url}")
        self._open = 0  # requests that have not ended
        self._ended = asyncio.Event()  # set while there are none
        self._counters = dict.fromkeys(
            ("requests", "answers", "rejected", "cancelled", "failed", "retries", "completion_tokens", "running"), 0.0
        )
        self.on_latency: Callable[[str, float], None] = lambda name, seconds: None
        """See `ReportsLatency`. It never reports "inter_token_s", because one event may hold several tokens."""

    @property
    def identity(self) -> Identity:
        """The server's URL and the model's name. There are no digests."""
        return Identity("remote", "openai-compatible", self._model, None, None, {"url": str(self._client.base_url)})

    @property
    def abilities(self) -> Abilities:
        """The supported features."""
        return Abilities(
            seed=False, schema=True, logprobs=True, choices=False, tokens=False, embeddings=True, tools=True,
            exact=False,
        )  # fmt: skip

    def thinking(self, request: Request) -> Thinking | None:
        """The server does not tell."""
        return None

    @property
    def tools_reminder(self) -> str | None:
        """None. The server has prompts of its own."""
        return None

    @property
    def n_ctx(self) -> int | None:
        """The server does not tell."""
        return None

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
        """Nothing to load."""

    async def ready(self) -> None:
        """Nothing to wait for."""

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
            bodies = [request_body(request, self._model)[1] for request in requests]
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
        path, body = request_body(request, self._model)
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
                async with contextlib.aclosing(self._streamed(path, body, request, arrived)) as items:
                    async for item in items:
                        yield item
            finally:
                self._counters["running"] -= 1

    async def warm_up(self, groups: Sequence[Sequence[Request]]) -> None:
        """Do nothing. The server decides about its own prefix cache."""

    async def count(self, request: Request) -> int:
        """OpenAI's API has no such call.

        Raises:
            NotSupported: always.
        """
        raise NotSupported("A remote engine does not count tokens beforehand.", key="engine")

    async def tokenize(self, request: Request, *, add_special: bool = True) -> tuple[int, ...]:
        """OpenAI's API has no such call.

        Raises:
            NotSupported: always.
        """
        raise NotSupported("A remote engine does not tell its tokens.", key="engine")

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
        response = await self._send("embeddings", {"model": self._model, "input": list(texts)})
        try:
            raw = json.loads(await response.aread())
            rows = {int(row["index"]): [float(value) for value in row["embedding"]] for row in raw["data"]}
            return int((raw.get("usage") or {}).get("prompt_tokens") or 0), [rows[at] for at in range(len(texts))]
        except httpx.HTTPError as error:
            raise RemoteError(f"The connection broke in the middle of the answer: {type(error).__name__}.") from None
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise RemoteError(f"The server's embeddings cannot be read: {type(error).__name__}.") from None
        finally:
            await response.aclose()

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
            raise RemoteError(f"The connection broke in the middle of the answer: {type(error).__name__}.") from None
        finally:
            await response.aclose()
        for chunk in reading.end():
            yield chunk
        now = time.monotonic()
        self._counters["completion_tokens"] += reading.usage.completion
        yield Answer(
            text=reading.text,
            tokens=(),
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
            return await self._send(path, _limited(body, limit), fresh=fresh)
        except RemoteError as error:
            if limit == NEWER_LIMIT or (error.status, error.key) != (400, LIMIT):
                raise
            self._limit = NEWER_LIMIT
            return await self._send(path, _limited(body, NEWER_LIMIT), fresh=fresh)

    async def _send(self, path: str, body: Mapping[str, Any], *, fresh: bool = False) -> httpx.Response:
        """The response's head, after as many tries as the settings allow. `fresh`: no answer that was given before."""
        headers = {"cache-control": "no-cache"} if fresh else {}
        tries = self._settings.remote_retries + 1
        for number in range(tries):
            last = number == tries - 1
            try:
                request = self._client.build_request("POST", path, json=body, headers=headers)
                response = await self._client.send(request, stream=True)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                if last:
                    raise RemoteError(
                        f"{self._client.base_url} cannot be reached: {type(error).__name__}.", retry_after_s=5.0
                    ) from None
                wait = BACKOFF.wait_s(number + 1)
            else:
                if response.status_code == 200:
                    return response
                failure = await _failure(response)
                if last or response.status_code not in RETRIED:
                    raise failure
                wait = BACKOFF.wait_s(number + 1, asked_s=failure.retry_after_s)
            self._counters["retries"] += 1
            await asyncio.sleep(wait)
        raise AssertionError("the last try returns or raises")


def _limited(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The body with the token limit under this name."""
    return {name if key == LIMIT else key: value for key, value in body.items()}


def _tokens(body: Mapping[str, Any]) -> int:
    """Prompt tokens of a request, estimated from its JSON text."""
    return 1 + len(json.dumps(body, ensure_ascii=False).encode(errors="replace")) // BYTES_PER_TOKEN


def _base(url: str) -> str:
    """The base URL with one slash at its end. Raises SettingsError if it is not a plain URL or holds a password."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo or parsed.query:
        raise SettingsError(
            "SAMEBOAT_REMOTE_BASE_URL is not a plain http or https URL.",
            key="SAMEBOAT_REMOTE_BASE_URL",
            remedy="Write it like https://host/v1; the key goes into SAMEBOAT_REMOTE_API_KEY.",
        )
    return url.rstrip("/") + "/"


async def _failure(response: httpx.Response) -> RemoteError:
    """The server's error in its own words, cut to 300 characters. A key that the server echoes is masked."""
    try:
        raw = json.loads(await response.aread())
        error = raw.get("error", raw) if isinstance(raw, dict) else {}
        message = str(error.get("message", "")) if isinstance(error, dict) else str(error)
        fault = error.get("param") if isinstance(error, dict) else None
    except (ValueError, RecursionError, httpx.HTTPError):
        message, fault = "", None
    finally:
        await response.aclose()
    sent = response.request.headers.get("authorization", "").removeprefix("Bearer ")
    message = message.replace(sent, "[key]") if sent else message
    hint = {
        401: "Check SAMEBOAT_REMOTE_API_KEY.",
        402: "The account has no credit left.",
        404: "Check SAMEBOAT_REMOTE_BASE_URL (it usually ends in /v1) and SAMEBOAT_REMOTE_MODEL.",
    }.get(response.status_code)
    return RemoteError(
        f"The server answered {response.status_code}" + (f": {message[:300]}" if message else "."),
        status=response.status_code,
        retry_after_s=parse_retry_after(response.headers.get("retry-after")),
        key=fault if isinstance(fault, str) else None,
        remedy=hint,
    )
