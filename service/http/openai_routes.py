"""OpenAI's API over the same path to an answer: /v1/chat/completions, /v1/completions, /v1/models, /v1/embeddings.

What comes in: OpenAI's request bodies. What goes out: OpenAI's objects, streamed or whole, and OpenAI's errors. What
cannot be honoured is refused with the parameter's name; what has no effect on an answer (user, store, metadata) is
taken and ignored. Reference: platform.openai.com/docs/api-reference, checked with the official client.
"""

from __future__ import annotations

import asyncio
import base64
import struct
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from service.engine.types import Engine
from service.engine.types import Request as EngineRequest
from service.http import openai_answers as answers
from service.http import sse
from service.http.deps import ServiceDep, options_of
from service.http.json_body import JsonRoute
from service.http.openai_answers import Shape
from service.http.openai_types import ChatBody, CompletionBody, EmbeddingBody
from service.http.rate_limit import charge
from service.http.streams import charged, unless_disconnected
from service.prompts import run as prompts

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"], route_class=JsonRoute)


def choices_of(request: EngineRequest, n: int) -> list[EngineRequest]:
    """`n` requests that differ in their seed: s, s + 1, ... The first is the one that n = 1 gives."""
    return [
        replace(request, sampling=replace(request.sampling, seed=(request.sampling.seed + each) % (2**32 - 1)))
        for each in range(n)
    ]


@router.post("/chat/completions", summary="Chat completion")
async def chat(body: ChatBody, request: Request, service: ServiceDep) -> Response:
    """A conversation's next message."""
    engine = service.engines.get(body.model)
    # Compiling schemas and tools takes up to a tenth of a second: others are answered meanwhile.
    asked = await asyncio.to_thread(body.request, options_of(request, service.settings, streamed=body.stream))
    shape = Shape(chat=True, tools=asked.tools, n=body.n)
    return await _respond(request, engine, choices_of(asked, body.n), shape, stream=body.stream, usage=body.wants_usage)


@router.post("/completions", summary="Text completion")
async def completions(body: CompletionBody, request: Request, service: ServiceDep) -> Response:
    """What follows a text, or each of several."""
    engine = service.engines.get(body.model)
    options = options_of(request, service.settings, streamed=body.stream)
    asked = [choice for each in body.requests(options) for choice in choices_of(each, body.n)]
    return await _respond(
        request, engine, asked, Shape(chat=False, n=body.n), stream=body.stream, usage=body.wants_usage
    )


async def _respond(
    request: Request, engine: Engine, asked: list[EngineRequest], shape: Shape, *, stream: bool, usage: bool
) -> Response:
    engine.check(asked)
    streams = [
        charged(prompts.stream(each, engine), request, prompt=number % shape.n == 0)
        for number, each in enumerate(asked)
    ]
    head = shape.head(engine.identity, stream=stream)
    if stream:
        events = answers.events(streams, shape, head, usage=usage)
        first = await unless_disconnected(request, sse.prefetch_first(events))
        if first is None:
            return Response(status_code=499)
        return sse.EventStreamResponse(first, openai=True)
    results = await unless_disconnected(request, answers.collect(streams))
    if results is None:
        return Response(status_code=499)
    if shape.tools:  # their arguments are held against schemas that the caller wrote, which may take a while
        body = await asyncio.to_thread(answers.whole, results, shape, head)
    else:
        body = answers.whole(results, shape, head)
    return JSONResponse(body, headers={"x-sameboat-fingerprint": results[0].fingerprint})


@router.get("/models", summary="The models")
async def models(service: ServiceDep) -> dict[str, Any]:
    """The models that answer now, with their effective context and digest: all that the cache holds."""
    since = service.engines.available()
    engines = {name: service.engines.get(name) for name in sorted(service.serves | set(since))}

    def shown() -> list[dict[str, Any]]:
        return [_model(name, engine, since.get(name, 0.0)) for name, engine in engines.items()]

    return {"object": "list", "data": await asyncio.to_thread(shown)}  # it reads the headers of files


@router.get("/models/{name}", summary="One model")
async def model(name: str, service: ServiceDep) -> dict[str, Any]:
    """One model, by its name in the catalog."""
    engine = service.engines.get(name)
    return await asyncio.to_thread(_model, name, engine, service.engines.available().get(name, 0.0))


def _model(name: str, engine: Engine, since_s: float) -> dict[str, Any]:
    health, identity = engine.health(), engine.identity
    return {
        "id": name,
        "object": "model",
        "created": int(since_s),
        "owned_by": "sameboat",
        "context_length": engine.n_ctx,
        "sha256": identity.model_sha256,
        "template_sha256": identity.template_sha256,
        "state": health.state,
    }


@router.post("/embeddings", summary="Embeddings, where the model gives them")
async def embeddings(body: EmbeddingBody, request: Request, service: ServiceDep) -> Response:
    """One vector of unit length per text; base64 holds little-endian 32-bit floats, as OpenAI's own client asks for."""
    engine = service.engines.get(body.model)
    found = await unless_disconnected(request, engine.embed(body.texts()))
    if found is None:
        return Response(status_code=499)

    charge(request, found.tokens)

    def shown(vector: tuple[float, ...]) -> Any:
        if body.encoding_format == "float":
            return list(vector)
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

    data = [{"object": "embedding", "index": at, "embedding": shown(each)} for at, each in enumerate(found.vectors)]
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
    return JSONResponse({"object": "list", "data": data, "model": engine.identity.model, "usage": usage})
