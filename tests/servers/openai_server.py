"""A scripted OpenAI-compatible server on a free port: real HTTP, and every way such servers misbehave.

    with OpenAIServer(reply="hello") as server:
        server.script("429", "500", "normal")   # one word per request, and the last one stays
        ... server.base_url ...
        server.asked                             # (path, headers, JSON body) of every request

`reply` is a text or a function of the request's JSON body. Modes:

    normal        the answer, streamed with usage if asked to, in chunks that end inside words
    429 · 500 · 503   that error, 429 with `retry-after` (seconds, `retry_after`)
    unauthorized  401 that echoes the key, as careless servers do
    credit        402 insufficient_quota
    wrong_model   404 model_not_found
    not_found     404 without JSON: a base URL without /v1
    outage        the connection is closed without an answer
    slow          the head of the answer, then nothing for `slow_s`
    truncated     the stream ends in the middle of the answer without a finish reason
    broken        the connection breaks in the middle of the answer
    bad_json      events that are not JSON
    html          200 with a web page
    error_event   an error object in the middle of the stream
    refusal       the model refuses
    filtered      finish_reason content_filter
    length        finish_reason length after the first chunk
    tool_calls    calls the first tool of the request with `{"city": "Bern"}`
    cut_call      the same, cut by the token limit in the middle of the arguments
    bad_call      the same, with arguments that are not JSON
    odd_event     an event that is JSON of another form, or embeddings of another form
    few           one vector less than there are texts
    newer         400 for `max_tokens`, as OpenAI's newer models, and the answer for `max_completion_tokens`
    silent        leaves out the log-probabilities of the request. Every other mode gives them
    bad_logprobs  log-probabilities of another shape
    bad_ids       token ids that are no numbers, if the request asks for ids
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from service.http.quiet_server import QuietServer

Reply = str | Callable[[dict[str, Any]], str]
ERRORS = {
    "429": (429, "rate_limit_exceeded", "Rate limit reached."),
    "500": (500, "server_error", "The server had an error."),
    "503": (503, "overloaded", "Overloaded."),
    "credit": (402, "insufficient_quota", "You exceeded your current quota."),
    "wrong_model": (404, "model_not_found", "The model does not exist."),
}

CALLS = {"tool_calls": ('{"city": ', '"Bern"}'), "cut_call": ('{"city": ', '"Be'), "bad_call": ("{city", "}")}


class OpenAIServer:
    """Serves on its own thread from `__enter__` to `__exit__`."""

    def __init__(
        self, reply: Reply = "hello", *, retry_after: str = "0", slow_s: float = 30.0, routes: Sequence[Route] = ()
    ) -> None:
        """`routes` come before the server's own."""
        self.reply = reply
        self.retry_after = retry_after
        self.slow_s = slow_s
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.left = 0  # streams with a reader that went away
        self.most_at_once = 0
        self._running = 0
        self._modes = ["normal"]
        own = [Route(f"/v1/{path}", self._answer, methods=["POST"]) for path in ("chat/completions", "completions")]
        own += [Route("/v1/embeddings", self._embed, methods=["POST"]), Route("/v1/models", self._models)]
        # The protocol is named, or asyncio would leave Nagle's algorithm on, and a body would wait 40 ms for its head.
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            Starlette(routes=[*routes, *own]),
            log_level="critical",
            lifespan="off",
            timeout_graceful_shutdown=1,
            server_header=False,
        )
        self._server = QuietServer(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    @property
    def base_url(self) -> str:
        """With /v1, as clients want it."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"

    def script(self, *modes: str) -> None:
        """The modes of the next requests. The last one stays."""
        self._modes = list(modes)

    def __enter__(self) -> OpenAIServer:
        self._thread.start()
        waiting = threading.Event()
        while not self._server.started:
            assert self._thread.is_alive(), "the scripted server did not start"
            waiting.wait(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def _mode(self) -> str:
        return self._modes.pop(0) if len(self._modes) > 1 else self._modes[0]

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    async def _embed(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append((request.url.path, dict(request.headers), body))
        mode = self._mode()
        rows: list[Any] = [{"index": at, "embedding": [3.0, 4.0 + at]} for at in range(len(body["input"]))]
        if mode == "broken":

            async def cut() -> AsyncIterator[bytes]:
                yield b'{"data": ['
                _hang_up(request)

            return StreamingResponse(cut(), media_type="application/json")
        rows = {"few": rows[1:], "odd_event": ["x"]}.get(mode, rows)
        return JSONResponse({"data": rows[::-1], "usage": {"prompt_tokens": 1}})

    async def _answer(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append((request.url.path, dict(request.headers), body))
        mode = self._mode()
        if mode in ERRORS:
            status, code, words = ERRORS[mode]
            headers = {"retry-after": self.retry_after} if status == 429 else {}
            return JSONResponse({"error": {"message": words, "type": code, "code": code}}, status, headers)
        if mode == "unauthorized":
            key = request.headers.get("authorization", "").removeprefix("Bearer ")
            return JSONResponse({"error": {"message": f"Incorrect API key provided: {key}."}}, 401)
        if mode == "newer" and "max_tokens" in body:
            words = "Unsupported parameter: 'max_tokens' is not supported with this model."
            return JSONResponse(
                {"error": {"message": words, "param": "max_tokens", "code": "unsupported_parameter"}}, 400
            )
        if mode == "not_found":
            return Response("404 page not found", 404, media_type="text/plain")
        if mode == "html":
            return HTMLResponse("<h1>Welcome to the proxy</h1>")
        if mode == "outage":
            _hang_up(request)
            return Response()
        text = self.reply if isinstance(self.reply, str) else self.reply(body)
        if not body.get("stream"):
            return JSONResponse(self._whole(text, body, request.url.path))
        return StreamingResponse(self._events(text, body, mode, request), media_type="text/event-stream")

    def _whole(self, text: str, body: dict[str, Any], path: str) -> dict[str, Any]:
        chat = path.endswith("chat/completions")
        said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        choice = {"index": 0, "finish_reason": "stop", **said}
        return {
            "id": "x",
            "object": "chat.completion",
            "model": body.get("model"),
            "choices": [choice],
            "usage": _usage(text),
        }

    async def _events(self, text: str, body: dict[str, Any], mode: str, request: Request) -> AsyncIterator[bytes]:
        chat = request.url.path.endswith("chat/completions")
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)

        def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
            said: dict[str, Any] = {"delta": delta} if chat else {"text": delta.get("content", "")}
            if body.get("logprobs") and delta.get("content") and mode != "silent":
                said["logprobs"] = _logprobs(delta["content"], chat) if mode != "bad_logprobs" else {"content": ["x"]}
            if body.get("return_token_ids"):  # with the end of the turn, as vLLM
                said["token_ids"] = [*map(ord, delta.get("content", "")), *([3] if finish == "stop" else [])]
                said["token_ids"] = ["x"] if mode == "bad_ids" else said["token_ids"]
            return _event({"id": "x", "choices": [{"index": 0, "finish_reason": finish, **said}]})

        try:
            yield b": a comment, as servers send to keep a connection open\n\n"
            if chat:
                yield event({"role": "assistant", "content": ""})
            if mode == "slow":
                await asyncio.sleep(self.slow_s)
            pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
            for at, piece in enumerate(pieces if mode not in ("refusal", *CALLS) else []):
                yield event({"content": piece})
                await asyncio.sleep(0)
                if mode == "truncated":
                    return
                if mode == "broken":
                    _hang_up(request)
                    return
                if mode == "bad_json":
                    yield b"data: {not json\n\n"
                if mode == "error_event":
                    yield _event({"error": {"message": "The worker crashed.", "code": 500}})
                if mode == "length" and at == 0:
                    break
            if mode == "odd_event":
                yield _event({"choices": ["x"]})
            finish = {"length": "length", "cut_call": "length", "filtered": "content_filter"}.get(mode, "stop")
            finish = "tool_calls" if mode in ("tool_calls", "bad_call") else finish
            if mode == "refusal":
                yield event({"refusal": "I cannot help with that."})
            if mode in CALLS:
                name = body["tools"][0]["function"]["name"]
                start = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
                yield event({"tool_calls": [start]})
                for part in CALLS[mode]:
                    yield event({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
            yield event({}, finish)
            if (body.get("stream_options") or {}).get("include_usage"):
                yield _event({"id": "x", "choices": [], "usage": _usage(text)})
            yield b"data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.left += 1
            raise
        finally:
            self._running -= 1


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def _usage(text: str) -> dict[str, Any]:
    return {"prompt_tokens": 7, "completion_tokens": len(text.split()), "prompt_tokens_details": {"cached_tokens": 4}}


def _logprobs(piece: str, chat: bool) -> dict[str, Any]:
    if not chat:
        return {"tokens": [piece], "token_logprobs": [-0.5], "top_logprobs": [{piece: -0.5}], "text_offset": [0]}
    one = {"token": piece, "logprob": -0.5, "bytes": list(piece.encode())}
    return {"content": [{**one, "top_logprobs": [one]}]}


def _hang_up(request: Request) -> None:
    """Close the connection under the answer. ASGI has no word for it: this is uvicorn's own request cycle."""
    cycle: Any = request.receive.__self__  # type: ignore[attr-defined]
    cycle.transport.abort()
