"""Any OpenAI-compatible server as an engine: vLLM, llama-server, a provider. The same contract, honestly narrower.

What comes in: settings (base URL, key, model, timeout, retries, concurrency), requests. What goes out: chunks, answers.
Tokens have no ids here, seeds are a wish, and nothing proves which weights answered: `abilities` says so. A schema is
asked for and then checked, because servers fail open; an answer that does not satisfy it is an error.

Protocol: OpenAI's API reference, /v1/chat/completions and /v1/completions, streamed as server-sent events.
Retried are connection errors, 408, 429 and 5xx, never after the first byte of an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from service.engine import toolcalls
from service.engine.schema import any_json, compile_schema
from service.engine.types import (
    Abilities,
    Answer,
    Chunk,
    Embeddings,
    FinishReason,
    Health,
    Identity,
    Message,
    Request,
    Timings,
    Usage,
)
from service.errors import DeadlineExceeded, NotSupported, RemoteError, SettingsError
from service.settings import Settings

RETRIED = {408, 409, 425, 429, 500, 502, 503, 504}
LONGEST_WAIT_S = 60.0


class RemoteEngine:
    """One model of one OpenAI-compatible server."""

    def __init__(self, settings: Settings, model: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        if not settings.remote_base_url:
            raise SettingsError(
                "SAMEBOAT_ENGINE is remote, and SAMEBOAT_REMOTE_BASE_URL is not set.",
                key="SAMEBOAT_REMOTE_BASE_URL",
                remedy="Set it to the server's base URL, which usually ends in /v1.",
            )
        self._settings = settings
        self._model = settings.remote_model or model
        key = settings.remote_api_key
        self._client = httpx.AsyncClient(
            base_url=_base(settings.remote_base_url),
            headers={"authorization": f"Bearer {key.get_secret_value()}"} if key is not None else {},
            timeout=httpx.Timeout(settings.remote_timeout_s, connect=min(10.0, settings.remote_timeout_s)),
            transport=transport,
        )
        self._places = asyncio.Semaphore(settings.remote_concurrency)
        self._health = Health("ready", f"{self._model} at {self._client.base_url}")
        self._counters = dict.fromkeys(("requests", "retries", "failed", "completion_tokens", "running"), 0.0)

    @property
    def identity(self) -> Identity:
        """Which server and model; it tells no digests."""
        return Identity("remote", "openai-compatible", self._model, None, None, {"url": str(self._client.base_url)})

    @property
    def abilities(self) -> Abilities:
        """What can be asked for and relied on."""
        return Abilities(
            seed=False, schema=True, logprobs=False, choices=False, tokens=False, embeddings=True, tools=True,
            exact=False,
        )  # fmt: skip

    @property
    def n_ctx(self) -> int | None:
        """The server does not tell."""
        return None

    def health(self) -> Health:
        """Ready until it is stopped; whether the server answers is only known by asking it."""
        return self._health

    def stats(self) -> Mapping[str, float]:
        """Counters."""
        return dict(self._counters)

    async def start(self) -> None:
        """Nothing to load."""

    async def ready(self) -> None:
        """Nothing to wait for."""

    async def stop(self, grace_s: float) -> None:
        """Close the connections."""
        self._health = Health("stopped", "stopped")
        await self._client.aclose()

    async def answer(self, request: Request) -> Answer:
        """The last item of `stream`."""
        async with contextlib.aclosing(self.stream(request)) as items:
            async for item in items:
                if isinstance(item, Answer):
                    return item
        raise AssertionError("a stream ends with an answer or an error")

    async def stream(self, request: Request) -> AsyncGenerator[Chunk | Answer, None]:
        """Chunks, then the answer. Closing it closes the connection, which is how a server learns of it."""
        path, body = self._body(request)
        self._counters["requests"] += 1
        began = time.monotonic()
        async with self._places:
            self._counters["running"] += 1
            try:
                async with asyncio.timeout(request.deadline_s):
                    async for item in self._streamed(path, body, request, began):
                        yield item
            except TimeoutError:
                raise DeadlineExceeded(
                    f"No answer within the {request.deadline_s:g} s that the request allows."
                ) from None
            except RemoteError:
                self._counters["failed"] += 1
                raise
            finally:
                self._counters["running"] -= 1

    async def warm(self, groups: Sequence[Sequence[Request]]) -> None:
        """Nothing: what the server keeps is its own affair."""

    async def count(self, request: Request) -> int:
        """Not part of OpenAI's API."""
        raise NotSupported("A remote engine does not count tokens beforehand.", key="engine")

    async def embed(self, texts: tuple[str, ...]) -> Embeddings:
        """Vectors as the server gives them, scaled to unit length."""
        response = await self._send("embeddings", {"model": self._model, "input": list(texts)})
        try:
            raw = json.loads(await response.aread())
            rows = sorted(raw["data"], key=lambda row: row["index"])
            vectors = [[float(value) for value in row["embedding"]] for row in rows]
        except (ValueError, KeyError, TypeError) as error:
            raise RemoteError(f"The server's embeddings cannot be read: {type(error).__name__}.") from None
        finally:
            await response.aclose()
        norms = [sum(value * value for value in vector) ** 0.5 or 1.0 for vector in vectors]
        unit = tuple(tuple(value / norm for value in vector) for vector, norm in zip(vectors, norms, strict=True))
        return Embeddings(unit, int((raw.get("usage") or {}).get("prompt_tokens") or 0))

    def _body(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Path and JSON body of one request."""
        sampling = request.sampling
        refused = {
            "choices": (bool(request.choices), "Labels can only be scored by a local engine."),
            "mode": (request.mode == "exact", "Nobody can promise exact answers of a remote engine."),
            "logprobs": (
                request.logprobs is not None,
                "Log-probabilities come without token ids from a remote engine.",
            ),
            "top_k": (bool(sampling.top_k), "OpenAI's API has no top-k."),
            "min_p": (bool(sampling.min_p), "OpenAI's API has no min-p."),
            "repeat_penalty": (sampling.repeat_penalty != 1.0, "OpenAI's API has no repeat penalty."),
            "logit_bias": (bool(sampling.logit_bias), "Token ids of a remote engine are not known here."),
            "text": (
                request.text is not None and (request.schema is not None or request.any_json),
                "A remote engine enforces schemas only in conversations, not on raw text.",
            ),
        }
        for name, (asked, why) in refused.items():
            if asked:
                raise NotSupported(why, key=name, remedy="Leave it out, or use the local engine.")
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.frequency_penalty:
            body["frequency_penalty"] = sampling.frequency_penalty
        if sampling.presence_penalty:
            body["presence_penalty"] = sampling.presence_penalty
        if request.text is not None:
            return "completions", {**body, "prompt": request.text}
        body["messages"] = [_message(message) for message in request.messages]
        if request.tools:
            body["tools"] = [dict(tool) for tool in request.tools]
            body["tool_choice"] = request.tool_choice
            body["parallel_tool_calls"] = request.parallel_tools
        if request.schema is not None:
            wrapped = {"name": "answer", "strict": True, "schema": json.loads(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": wrapped}
        elif request.any_json:
            body["response_format"] = {"type": "json_object"}
        return "chat/completions", body

    async def _streamed(
        self, path: str, body: dict[str, Any], request: Request, began: float
    ) -> AsyncGenerator[Chunk | Answer, None]:
        response = await self._send(path, body)
        text: list[str] = []
        finish: str | None = None
        usage: Mapping[str, Any] = {}
        first: float | None = None
        calls: dict[int, dict[str, Any]] = {}
        try:
            if "text/event-stream" not in response.headers.get("content-type", ""):
                raise RemoteError(
                    f"The server sent {response.headers.get('content-type', 'nothing')!r} and not an event stream.",
                    status=response.status_code,
                    remedy="Check that SAMEBOAT_REMOTE_BASE_URL ends in /v1.",
                )
            async for line in response.aiter_lines():
                if not line.startswith("data:") or line[5:].strip() == "[DONE]":
                    continue
                event = _event(line[5:])
                usage = event.get("usage") or usage
                for choice in event.get("choices") or []:
                    delta = choice.get("delta") or {}
                    said = choice.get("text") or delta.get("content") or ""
                    if delta.get("refusal"):
                        raise RemoteError("The model refused to answer.")
                    _collect(calls, delta.get("tool_calls") or [])
                    finish = choice.get("finish_reason") or finish
                    if said:
                        first = first or time.monotonic()
                        text.append(said)
                        yield Chunk(said)
        except httpx.HTTPError as error:
            raise RemoteError(f"The connection broke in the middle of the answer: {type(error).__name__}.") from None
        finally:
            await response.aclose()
        if finish is None:
            raise RemoteError("The stream ended in the middle of the answer.")
        if finish == "content_filter":
            raise RemoteError("The server's content filter stopped the answer.")
        if calls:  # in the form that models themselves write, which `toolcalls.parse` reads
            said = toolcalls.write([calls[index] for index in sorted(calls)])
            text.append(said)
            yield Chunk(said)
        whole = "".join(text)
        self._check(whole, finish, request)
        now = time.monotonic()
        made = int(usage.get("completion_tokens") or 0)
        self._counters["completion_tokens"] += made
        kind: FinishReason = "length" if finish == "length" else "tool_calls" if calls else "stop"
        cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        yield Answer(
            text=whole,
            tokens=(),
            finish_reason=kind,
            usage=Usage(int(usage.get("prompt_tokens") or 0), made, cached),
            timings=Timings(0.0, (first or now) - began, now - began),
            constrained=request.schema is not None or request.any_json,
        )

    @staticmethod
    def _check(text: str, finish: str, request: Request) -> None:
        """Servers fail open, so what was asked for is checked here. A cut answer is told by its finish reason."""
        if finish in ("length", "tool_calls") or not (request.schema is not None or request.any_json):
            return
        grammar = compile_schema(json.loads(request.schema)) if request.schema is not None else any_json()
        _, problems = grammar.check(text)
        if problems:
            raise RemoteError(f"The server did not enforce the schema: {problems[0]}.")

    async def _send(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """The response's head, after as many tries as the settings allow."""
        tries = self._settings.remote_retries + 1
        for number in range(tries):
            last = number == tries - 1
            try:
                request = self._client.build_request("POST", path, json=body)
                response = await self._client.send(request, stream=True)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                if last:
                    raise RemoteError(
                        f"{self._client.base_url} cannot be reached: {type(error).__name__}.", retry_after_s=5.0
                    ) from None
                wait = _backoff(number, None)
            else:
                if response.status_code == 200:
                    return response
                failure = await _failure(response)
                if last or response.status_code not in RETRIED:
                    raise failure
                wait = _backoff(number, failure.retry_after_s)
            self._counters["retries"] += 1
            await asyncio.sleep(wait)
        raise AssertionError("the last try returns or raises")


def _base(url: str) -> str:
    """The base URL with one slash at its end. Raises SettingsError for what is none, or holds a password."""
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


def _backoff(number: int, asked_s: float | None) -> float:
    """Seconds before the next try: what the server asks for, else 0.5, 1, 2, ... with full jitter on the upper half."""
    if asked_s is not None:
        return min(asked_s, LONGEST_WAIT_S)
    step: float = min(0.5 * 2.0**number, LONGEST_WAIT_S)
    return step * random.uniform(0.5, 1.0)  # noqa: S311  (jitter, not a secret)


async def _failure(response: httpx.Response) -> RemoteError:
    """The server's error in its own words, cut short; a key that the server may echo is never repeated."""
    try:
        raw = json.loads(await response.aread())
        error = raw.get("error", raw) if isinstance(raw, dict) else {}
        said = str(error.get("message", "")) if isinstance(error, dict) else str(error)
    except (ValueError, httpx.HTTPError):
        said = ""
    finally:
        await response.aclose()
    sent = response.request.headers.get("authorization", "").removeprefix("Bearer ")
    said = said.replace(sent, "[key]") if sent else said
    hint = {
        401: "Check SAMEBOAT_REMOTE_API_KEY.",
        402: "The account has no credit left.",
        404: "Check SAMEBOAT_REMOTE_BASE_URL (it usually ends in /v1) and SAMEBOAT_REMOTE_MODEL.",
    }.get(response.status_code)
    return RemoteError(
        f"The server answered {response.status_code}" + (f": {said[:300]}" if said else "."),
        status=response.status_code,
        retry_after_s=_retry_after(response.headers.get("retry-after", "")),
        remedy=hint,
    )


def _retry_after(header: str) -> float | None:
    """Seconds to wait, from either form of RFC 9110 section 10.2.3: a number, or a date."""
    if re.fullmatch(r"\d+(\.\d+)?", header):
        return float(header)
    try:
        then = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, then.timestamp() - time.time())


def _collect(calls: dict[int, dict[str, Any]], parts: list[Mapping[str, Any]]) -> None:
    """Add the pieces of tool calls in one event to what came before: the name once, the arguments bit by bit."""
    for part in parts:
        call = calls.setdefault(int(part.get("index") or 0), {"name": "", "arguments": ""})
        function = part.get("function") or {}
        call["name"] = function.get("name") or call["name"]
        call["arguments"] += function.get("arguments") or ""


def _event(data: str) -> dict[str, Any]:
    try:
        event = json.loads(data)
    except ValueError:
        raise RemoteError("The server's event stream is not JSON.") from None
    if not isinstance(event, dict):
        raise RemoteError("The server's event stream is not JSON objects.")
    if event.get("error"):
        error = event["error"]
        raise RemoteError(
            f"The server broke off: {str(error.get('message', error) if isinstance(error, dict) else error)[:300]}"
        )
    return event


def _message(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name:
        plain["name"] = message.name
    if message.tool_calls:
        plain["tool_calls"] = [dict(call) for call in message.tool_calls]
    if message.tool_call_id:
        plain["tool_call_id"] = message.tool_call_id
    return plain
