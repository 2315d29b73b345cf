"""Promoted prompts over HTTP, each described with its own types, so that `/docs` shows what goes in and comes out.

In: a name, and a body with inputs. Out: answers, or their chunks; and what the OpenAPI document says of each prompt.
A prompt that was promoted while the service runs is answered and described like the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from service import json_pointer
from service.engine.types import Chunk
from service.errors import PromptError, RequestError, SameboatError
from service.http import problems, sse
from service.http.deps import Service, ServiceDep, options_of
from service.http.json_body import body_of
from service.http.openai_types import SEEDS, ChatBody, seed_of
from service.http.parameters import unknown, whole
from service.http.streams import charged, unless_disconnected
from service.prompts import run as prompts
from service.prompts.file import Prompt
from service.prompts.library import Library, example_of
from service.prompts.run import Result

router = APIRouter(tags=["prompts"])
KEYS = ("inputs", "seed", "stream")


@router.get("/prompts", summary="The promoted prompts")
async def listed(service: ServiceDep) -> list[dict[str, Any]]:
    """Name, description, model and the schemas of inputs and answer.

    A prompt whose files are no longer what was promoted has its name and, in `refused`, why it is not served.
    """
    return [_listed(name, service) for name in service.library.names()]


def _listed(name: str, service: Service) -> dict[str, Any]:
    try:
        return {**described(service.library[name]), "refused": None}
    except SameboatError as error:
        return {"name": name, "refused": str(error)}


def described(prompt: Prompt) -> dict[str, Any]:
    """A prompt for people and programs that want to call it."""
    return {
        "name": prompt.name,
        "description": prompt.spec.description,
        "model": prompt.spec.model,
        "inputs": prompt.inputs_schema,
        "answer": answer_schema(prompt),
        "coverage": prompt.coverage,
        "example": example_of(prompt),
        "sha256": prompt.sha256,
    }


def answer_schema(prompt: Prompt) -> dict[str, Any]:
    """JSON Schema of `value` in an answer."""
    if prompt.spec.choices:
        return {"enum": list(prompt.spec.choices)}
    return prompt.schema if prompt.schema is not None else {"type": ["object", "null"]}


def shown(result: Result) -> dict[str, Any]:
    """An answer as JSON."""
    answer = result.answer
    return {
        "prompt": result.prompt,
        "value": result.value,
        "text": answer.text,
        "tokens": list(answer.tokens),
        "finish_reason": answer.finish_reason,
        "probabilities": dict(answer.probabilities) if answer.probabilities is not None else None,
        "fingerprint": result.fingerprint,
        "model": {"name": result.identity.model, "sha256": result.identity.model_sha256},
        "usage": {
            "prompt": answer.usage.prompt,
            "completion": answer.usage.completion,
            "cached": answer.usage.cached,
            "forced": answer.usage.forced,
        },
        "timings": {
            "queued_s": round(answer.timings.queued_s, 4),
            "first_token_s": round(answer.timings.first_token_s, 4),
            "total_s": round(answer.timings.total_s, 4),
        },
        "constrained": answer.constrained,
        "reused": answer.reused,
    }


def _values(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], int | None, bool]:
    """Inputs, seed and whether to stream; null is the default. Raises RequestError."""
    for name in sorted(set(body) - set(KEYS)):
        decided = name in ChatBody.model_fields
        why = f"{name} cannot be set here. The promoted prompt decides it." if decided else unknown(name, KEYS)
        raise RequestError(why, key=json_pointer.pointer((name,)))
    inputs, seed, stream = (whole(body.get(name)) for name in KEYS)
    if inputs is not None and not isinstance(inputs, Mapping):
        raise RequestError("inputs must be an object.", key="/inputs")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not -1 <= seed < SEEDS):
        raise RequestError(f"seed must be an integer from 0 to {SEEDS - 1}, or -1, which draws one.", key="/seed")
    if stream is not None and not isinstance(stream, bool):
        raise RequestError("stream must be true or false.", key="/stream")
    return inputs or {}, seed_of(seed) if seed == -1 else seed, bool(stream)


async def answered(name: str, request: Request, service: Service) -> Response:
    """One call of one prompt, streamed or whole."""
    promoted = service.library.promoted(name)
    body = await body_of(request)
    if not isinstance(body, dict):
        raise RequestError("The body must be a JSON object with `inputs`.", key="")
    inputs, seed, stream = _values(body)
    engine = service.engine_for(promoted)
    streamed = stream or "text/event-stream" in request.headers.get("accept", "")
    options = options_of(request, service.settings, streamed=streamed)
    question = await prompts.prepare(promoted.prompt, inputs, seed=seed, **options)
    items = charged(prompts.stream(question, engine), request)
    if streamed:

        async def events() -> AsyncGenerator[str, None]:
            async with contextlib.aclosing(items):
                async for item in items:
                    if isinstance(item, Result):
                        yield sse.frame({**shown(item), "problem": item.problem}, "answer")
                    else:
                        yield sse.frame({"text": item.text}, "chunk")

        head = await unless_disconnected(request, sse.prefetch_first(events()))
        if head is None:
            return Response(status_code=499)
        return sse.EventStreamResponse(head, openai=False)
    result = await unless_disconnected(request, _whole(items))
    if result is None:
        return Response(status_code=499)
    headers = {"x-sameboat-fingerprint": result.fingerprint}
    if result.problem is not None:
        detail = f"The model's answer cannot be used: {result.problem}."
        body = problems.problem(502, "answer-unusable", "The answer is unusable", detail, answer=shown(result))
        return problems.respond(request.url.path, 502, body, headers)
    return JSONResponse(shown(result), headers=headers)


async def _whole(items: AsyncGenerator[Chunk | Result, None]) -> Result:
    """The result at the end of the items."""
    async with contextlib.aclosing(items):
        async for item in items:
            if isinstance(item, Result):
                return item
    raise AssertionError("a stream ends with a result or an error")


@router.post("/prompts/{name}", include_in_schema=False)
async def asked(name: str, request: Request, service: ServiceDep) -> Response:
    """Any promoted prompt, also one that was promoted a moment ago; `operation` describes each."""
    return await answered(name, request, service)


@router.get("/prompts/{name}", summary="One promoted prompt")
async def one(name: str, service: ServiceDep) -> dict[str, Any]:
    """Name, description, model and the schemas of inputs and answer."""
    return described(service.library[name])


def operation(prompt: Prompt) -> dict[str, Any]:
    """How the OpenAPI document describes a call of this prompt."""
    body = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "inputs": prompt.inputs_schema,
            "seed": {"type": ["integer", "null"], "minimum": -1, "maximum": SEEDS - 1},
            "stream": {"type": ["boolean", "null"], "default": False},
        },
    }
    answer = {
        "type": "object",
        "properties": {
            "value": answer_schema(prompt),
            "text": {"type": "string"},
            "fingerprint": {"type": "string"},
            "probabilities": {"type": ["object", "null"], "additionalProperties": {"type": "number"}},
        },
    }
    example = {"inputs": example_of(prompt) or {}}
    content = {"application/json": {"schema": answer}, "text/event-stream": {}}
    return {
        "tags": list(router.tags),
        "summary": prompt.spec.description or prompt.name,
        "operationId": f"run_{prompt.name.replace('-', '_')}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": example}}},
        "responses": {"200": {"description": "Successful Response", "content": content}},
    }


def operations(library: Library) -> dict[str, dict[str, Any]]:
    """The calls of all promoted prompts by path; of one that is refused now there is nothing to describe."""
    found = {}
    for name in library.names():
        with contextlib.suppress(PromptError):
            found[f"/prompts/{name}"] = operation(library[name])
    return found
