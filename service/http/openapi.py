"""The OpenAPI document at `/openapi.json`, with the types of every promoted prompt and the real error responses.

In: the application and the promoted prompts. Out: the document. Each operation describes its errors: RFC 9457 problems,
and OpenAI's error object under /v1. FastAPI's own document describes a 422 that is never sent.
Not here: the operations of prompts (`http.prompts`), and the page that shows the document (`http.docs`).
"""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

from service.http import paths, prompts
from service.prompts.library import Library

PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. `errors` point into the request, and never repeat it.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
OPENAI_ERROR: dict[str, Any] = {
    "title": "OpenAIError",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
PROBLEM_MEDIA = "application/problem+json"
STREAMED = {"/v1/chat/completions", "/v1/completions", "/v1/responses"}  # with "stream": true
METHODS = {"get", "post", "put", "patch", "delete"}


def error_response(path: str) -> dict[str, Any]:
    """The OpenAPI response of every error of this path."""
    name, media = ("OpenAIError", "application/json") if paths.is_openai(path) else ("Problem", PROBLEM_MEDIA)
    return {
        "description": "An error with its reason",
        "content": {media: {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }


def install(app: FastAPI, library: Library | None, *, keyed: bool) -> None:
    """Serve the document of this application. `keyed`: callers need a key.

    The document describes the prompts of `library` as they are now. It takes about 0.1 s to make, so it is made in a
    thread at the first request, and again after another prompt was promoted.
    """
    lock = threading.Lock()
    calls: dict[str, Any] = {}
    body = b""

    def document() -> dict[str, Any]:
        nonlocal calls, body
        with lock:
            calls_now = prompts.operations(library) if library is not None else {}
            if app.openapi_schema is None or calls_now != calls:
                calls = calls_now
                app.openapi_schema = describe(app, calls, keyed=keyed)
                body = json.dumps(app.openapi_schema, ensure_ascii=False, separators=(",", ":")).encode()
            return app.openapi_schema

    def encoded() -> bytes:
        document()
        return body

    async def openapi_json() -> Response:
        return Response(await asyncio.to_thread(encoded), media_type="application/json")

    app.openapi = document  # type: ignore[method-assign]  # FastAPI documents this assignment for extending it
    app.add_api_route("/openapi.json", openapi_json, include_in_schema=False)


def describe(app: FastAPI, calls: dict[str, Any], *, keyed: bool) -> dict[str, Any]:
    """The document of the application's routes and of the prompts' `calls` by path. `keyed`: callers need a key."""
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes, tags=app.openapi_tags
    )
    document["paths"] |= {path: {"post": call} for path, call in copy.deepcopy(calls).items()}
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    if keyed:
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    schemas |= {"Problem": PROBLEM, "OpenAIError": OPENAI_ERROR}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path, operations in document["paths"].items():
        for method in METHODS & set(operations):
            responses = operations[method]["responses"]
            responses.pop("422", None)
            responses["default"] = error_response(path)
            if keyed and paths.needs_key(path):
                operations[method]["security"] = [{"key": []}]
            if path in STREAMED:
                responses["200"]["content"]["text/event-stream"] = {}
    return document
