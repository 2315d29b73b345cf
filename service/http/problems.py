"""Error responses: RFC 9457 problems, and OpenAI's error object under /v1.

In: any exception. Out: a response with the mistake, its place and the remedy. It never repeats values of the request,
because they may be secrets.
Not here: the errors themselves (`service.errors`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service import errors, json_pointer, request_id
from service.errors import MAX_LISTED, MAX_POINTER
from service.http import paths

log = logging.getLogger("sameboat.http")

STATUS: list[tuple[type[errors.SameboatError], int, str]] = [
    (errors.InputsError, 422, "inputs-wrong"),
    (errors.SchemaUnsupported, 400, "schema-unsupported"),
    (errors.PromptTooLong, 400, "prompt-too-long"),
    (errors.NotSupported, 400, "not-supported"),
    (errors.RequestError, 400, "request-wrong"),
    (errors.UnknownPrompt, 404, "unknown-prompt"),
    (errors.UnknownModel, 404, "unknown-model"),
    (errors.PromptError, 503, "not-what-was-promoted"),  # a file differs from the promoted one
    (errors.ModelError, 503, "model-unusable"),
    (errors.EngineBusy, 429, "busy"),
    (errors.DeadlineExceeded, 504, "deadline-exceeded"),
    (errors.RequestFailed, 500, "request-failed"),
    (errors.RemoteError, 502, "remote-engine"),
    (errors.AnswerUnusable, 502, "answer-unusable"),
    (errors.EngineError, 503, "engine-unavailable"),
    (errors.DatabaseUnavailable, 503, "away"),
    (errors.BuildError, 409, "build"),
    (errors.SameboatError, 500, "internal"),
]
OPENAI_CODES = {
    "prompt-too-long": "context_length_exceeded",
    "unknown-model": "model_not_found",
    "busy": "rate_limit_exceeded",
    "rate": "rate_limit_exceeded",
    "key": "invalid_api_key",
    "schema-unsupported": "invalid_schema",
}


MAX_DETAIL = 300  # characters of one of several errors
MAX_SENTENCE = 3000  # characters of `detail` or `message`


def classify(error: errors.SameboatError) -> tuple[int, str]:
    """The status of an error, and the kind for `type` or `code`."""
    return next((status, kind) for known, status, kind in STATUS if isinstance(error, known))


def headers_of(error: Exception) -> dict[str, str]:
    """`Retry-After` in whole seconds, if the error has a time. Else no header."""
    after = getattr(error, "retry_after_s", None)
    return {"retry-after": str(max(1, math.ceil(after)))} if after is not None else {}


def place_in_body(body: Any, loc: Iterable[str | int], *, missing: bool) -> list[str | int]:
    """The place of an error in the body, from pydantic's `loc`. `missing`: the last part is a key that is absent.

    In a union pydantic's `loc` also has the name of the alternative. That name is not in the body and is left out.
    """
    parts = list(loc)
    last = parts.pop() if missing and parts else None
    keys: list[str | int] = []
    for part in parts:
        if (isinstance(body, dict) and part in body) or (isinstance(body, list) and part in range(len(body))):
            body = body[part]  # type: ignore[index]
            keys.append(part)
    return keys if last is None else [*keys, last]


def problem(status: int, kind: str, title: str, detail: str, **more: Any) -> dict[str, Any]:
    """An RFC 9457 problem."""
    return {"type": f"urn:sameboat:{kind}", "title": title, "status": status, "detail": detail, **more}


def openai_error(status: int, kind: str, message: str, param: str | None) -> dict[str, Any]:
    """OpenAI's error object, which its clients parse."""
    family = "invalid_request_error" if status < 500 and status != 429 else "server_error"
    if status == 429:
        family = "rate_limit_error"
    return {"error": {"message": message, "type": family, "param": param, "code": OPENAI_CODES.get(kind, kind)}}


def body_of(error: errors.SameboatError, *, openai: bool) -> tuple[int, dict[str, Any]]:
    """Status and JSON body of an error. A stream that fails ends with the body as its last event."""
    status, kind = classify(error)
    if openai:
        param = error.key[:MAX_POINTER].strip("/").replace("/", ".") or None if error.key is not None else None
        return status, openai_error(status, kind, _openai_message(error), param)
    more: dict[str, Any] = {}
    if isinstance(error, errors.InputsError):
        # The pointers are relative to the inputs, and the body has the inputs under this key.
        problems = error.problems[:MAX_LISTED]
        more["errors"] = [{"pointer": f"/inputs{where}", "detail": detail[:MAX_DETAIL]} for where, detail in problems]
    elif error.key is not None and error.key[:1] in ("", "/"):
        more["errors"] = [{"pointer": error.key[:MAX_POINTER], "detail": _cut(error.message)}]
    elif error.key is not None:
        more["key"] = error.key[:MAX_POINTER]
    if isinstance(error, errors.PromptTooLong):
        more |= {"limit": error.limit, "count": error.count}
    if isinstance(error, errors.RequestFailed):
        more["id"] = error.id
    if isinstance(error, errors.SchemaUnsupported):
        more["keyword"] = error.keyword
    return status, problem(status, kind, type(error).__name__, _cut(str(error)), **more)


def _openai_message(error: errors.SameboatError) -> str:
    """The error's message. For a prompt that is too long OpenAI's own sentence, because LiteLLM recognises it."""
    if not isinstance(error, errors.PromptTooLong):
        return _cut(str(error))
    count = f"at least {error.count}" if error.at_least else f"{error.count}"
    return (
        f"This model's maximum context length is {error.limit} tokens. However, your messages resulted in "
        f"{count} tokens. {error.remedy or 'Please reduce the length of the messages.'}"
    )


def _cut(text: str) -> str:
    """The text, shortened to MAX_SENTENCE characters."""
    return text if len(text) <= MAX_SENTENCE else text[:MAX_SENTENCE] + "..."


def respond(path: str, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
    """The body with the media type of the path's API."""
    media = "application/json" if paths.is_openai(path) else "application/problem+json"
    return JSONResponse(body, status, headers=headers, media_type=media)


def refuse(
    path: str, status: int, kind: str, title: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """The error response of a middleware, in the shape of the path's API."""
    if paths.is_openai(path):
        return respond(path, status, openai_error(status, kind, detail, None), headers)
    return respond(path, status, problem(status, kind, title, detail), headers)


class HTTPProblem(Exception):
    """A route or dependency rejects a request. The handler answers with this problem."""

    def __init__(self, status: int, kind: str, title: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.body = problem(status, kind, title, detail, **more)


def install(app: FastAPI) -> None:
    """Register the handlers of all errors."""

    async def http_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPProblem)
        return respond(request.url.path, error.body["status"], error.body)

    async def sameboat_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, errors.SameboatError)
        status, body = body_of(error, openai=paths.is_openai(request.url.path))
        return respond(request.url.path, status, body, headers_of(error))

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        mistakes = error.errors()
        details: dict[str, list[str]] = {}
        for item in mistakes[:MAX_LISTED]:
            part, *where = item["loc"]
            if part == "body":
                where = place_in_body(error.body, where, missing=item["type"] == "missing")
            details.setdefault(json_pointer.pointer(where), []).append(str(item["msg"])[:MAX_DETAIL])
        listed = [{"pointer": where, "detail": " or ".join(dict.fromkeys(texts))} for where, texts in details.items()]
        message = "; ".join(f"{item['pointer'] or '/'}: {item['detail']}" for item in listed)
        if len(mistakes) > MAX_LISTED:
            message += f"; and {len(mistakes) - MAX_LISTED} more"
        message = _cut(message)
        if paths.is_openai(request.url.path):
            param = listed[0]["pointer"].strip("/").replace("/", ".") or None
            return respond(request.url.path, 400, openai_error(400, "invalid_value", message, param))
        return respond(request.url.path, 422, problem(422, "invalid", "The request is invalid", message, errors=listed))

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        detail = str(error.detail)
        if paths.is_openai(request.url.path):
            body = openai_error(error.status_code, "http", detail, None)
        else:
            body = problem(error.status_code, "http", detail, f"{detail}. /docs lists the routes.")
        return respond(request.url.path, error.status_code, body, dict(error.headers or {}))

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
        detail = "An unexpected error occurred. The service's log has the details."
        identifier = request_id.current.get()  # this response comes from outside of the middleware that adds it
        headers = {request_id.HEADER: identifier} if identifier else {}
        if paths.is_openai(request.url.path):
            return respond(request.url.path, 500, openai_error(500, "internal", detail, None), headers)
        return respond(request.url.path, 500, problem(500, "internal", "Internal error", detail), headers)

    app.add_exception_handler(HTTPProblem, http_problem)
    app.add_exception_handler(errors.SameboatError, sameboat_error)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)
