"""Request ids, one access line for each request, and the counters of routes and prompts.

In: requests, and the results that their routes report. Out: a response header, a log record, metrics.
Not here: the format of log lines (`logs`), the rejections themselves.

A line has the route and not the path, because a path may hold a build's id, which lets its holder read the build. It
holds no inputs and no answers, unless SAMEBOAT_LOG_CONTENT asks for them. Then they are masked.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import request_id
from service.http.admission import ALWAYS_ADMITTED
from service.masking import masked, masked_value
from service.prompts.run import Result

if TYPE_CHECKING:
    from service.http.metrics import Metrics

log = logging.getLogger("sameboat.access")
QUIET = ALWAYS_ADMITTED | {"/status", "/status/history"}
"""Probes, and the state that an open page asks for again and again. They have a line only if they fail.

With 503 they tell that the service is not ready, and have not failed."""


@dataclass
class Answered:
    """The answers of one request. The tokens are summed, and the rest is the last answer's."""

    prompt: str | None = None
    model: str = ""
    answers: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish_reason: str = ""
    fingerprint: str = ""
    input: str | None = None
    answer: str | None = None


def note_input(request: Request, value: Any) -> None:
    """Put the inputs of this request into its access line, masked, if the settings ask for content."""
    state = request.scope.get("state", {})
    if state.get("log_content"):
        text = value if isinstance(value, str) else json.dumps(masked_value(value), ensure_ascii=False)
        state["answered"].input = masked(text)


def note(request: Request, result: Result) -> None:
    """Record an answer of this request for its access line and the metrics."""
    answered: Answered | None = request.scope.get("state", {}).get("answered")
    if answered is None:  # an application without the middleware
        return
    answer = result.answer
    answered.prompt, answered.model = result.prompt, result.identity.model
    answered.fingerprint, answered.finish_reason = result.fingerprint, answer.finish_reason
    answered.answers += 1
    answered.prompt_tokens += answer.usage.prompt
    answered.completion_tokens += answer.usage.completion
    if request.scope["state"].get("log_content"):
        answered.answer = masked(answer.text)


class AccessLog:
    """Middleware. It comes first, so that rejections have an id and a line too."""

    def __init__(self, app: ASGIApp, metrics: Metrics, *, lines: bool, content: bool = False) -> None:
        self.app = app
        self.metrics = metrics
        self.lines = lines
        self.content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        identifier = request_id.of(Headers(scope=scope).get(request_id.HEADER))
        exchange = _Exchange(scope, identifier)
        scope.setdefault("state", {}).update(
            answered=exchange.answered, request_id=identifier, log_content=self.content
        )
        request_id.current.set(
            identifier
        )  # never reset: the task ends with the request, and its errors are logged last
        try:
            await self.app(scope, receive, exchange.recorded(send))
        except Exception:
            exchange.status = 500
            raise
        finally:
            self._ended(exchange)

    def _ended(self, exchange: _Exchange) -> None:
        scope, answered, seconds = exchange.scope, exchange.answered, time.monotonic() - exchange.began
        route = getattr(scope.get("route"), "path", "unmatched")
        self.metrics.responded(route, exchange.status, seconds)
        if answered.prompt is not None:
            self.metrics.prompt_answered(answered.prompt, answered.model, answered.finish_reason, seconds)
        if self.lines and not (scope["path"] in QUIET and (exchange.status < 400 or exchange.status == 503)):
            fields = exchange.fields(route, seconds)
            quoted = {name: json.dumps(fields[name]) for name in ("input", "answer") if name in fields}
            text = " ".join(f"{name}={value}" for name, value in (fields | quoted).items())
            log.info("%s", text, extra={"fields": fields})


class _Exchange:
    """One request and its response, while it lasts."""

    def __init__(self, scope: Scope, identifier: str) -> None:
        self.scope = scope
        self.identifier = identifier
        self.answered = Answered()
        self.began = time.monotonic()
        self.status = 499  # the client left before the response began
        self.first_byte_s: float | None = None
        self.size = 0
        self.complete = False

    def recorded(self, send: Send) -> Send:
        """Sends the same response with the id."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.status, self.first_byte_s = message["status"], round(time.monotonic() - self.began, 4)
                MutableHeaders(scope=message)[request_id.HEADER] = self.identifier
            elif message["type"] == "http.response.body":
                self.size += len(message.get("body", b""))
                self.complete = not message.get("more_body", False)
            await send(message)

        return sent

    def fields(self, route: str, seconds: float) -> dict[str, Any]:
        """The line by name, without values that there are none of."""
        answered = self.answered
        told: dict[str, Any] = {
            "method": self.scope["method"],
            "route": route,
            "status": self.status,
            "seconds": round(seconds, 4),
            "first_byte_s": self.first_byte_s,
            "bytes": self.size,
            "complete": self.complete,
            "key": getattr(self.scope["state"].get("caller"), "name", None),
        }
        if answered.answers:
            told |= {**vars(answered)}
        return {name: value for name, value in told.items() if value is not None}
