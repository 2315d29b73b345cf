"""The API's own description, made true: what every route answers when it does not answer what it was asked for.

What comes in: the application. What goes out: its OpenAPI document, in which every operation says what errors look
like: RFC 9457 problems, and OpenAI's error object under /v1. FastAPI by itself describes a 422 that is never sent.
"""

from __future__ import annotations

import copy
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.http import paths, prompts
from service.prompts.library import Library

PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "RFC 9457. `errors` point into what was sent, and never repeat it.",
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
STREAMED = {"/v1/chat/completions", "/v1/completions"}  # with "stream": true
METHODS = {"get", "post", "put", "patch", "delete"}


def refusal(path: str) -> dict[str, Any]:
    """How a route of this path says no."""
    name, media = ("OpenAIError", "application/json") if path.startswith("/v1/") else ("Problem", PROBLEM_MEDIA)
    return {
        "description": "A refusal, with its reason",
        "content": {media: {"schema": {"$ref": f"#/components/schemas/{name}"}}},
    }


def install(app: FastAPI, library: Library | None, *, keyed: bool) -> None:
    """Describe the application this way, with the prompts of `library` as they are now. The document is made when it is
    first asked for, and again when another prompt was promoted since. `keyed`: a key is asked for."""
    described_calls: dict[str, Any] = {}

    def described() -> dict[str, Any]:
        nonlocal described_calls
        calls = prompts.operations(library) if library is not None else {}
        if app.openapi_schema is None or calls != described_calls:
            described_calls = calls
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
                    answers = operations[method]["responses"]
                    answers.pop("422", None)
                    answers["default"] = refusal(path)
                    if keyed and paths.needs_key(path):
                        operations[method]["security"] = [{"key": []}]
                    if path in STREAMED:
                        answers["200"]["content"]["text/event-stream"] = {}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI documents this assignment for extending it
