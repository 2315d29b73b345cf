"""The routes of OpenAI's API: /v1/chat/completions, /v1/completions, /v1/models, /v1/embeddings.

In: OpenAI's request bodies. Out: OpenAI's objects, streamed or whole, and OpenAI's errors. A parameter that cannot be
honoured is refused by its name. A parameter without effect on the answer (user, metadata) is ignored.
Reference: platform.openai.com/docs/api-reference. The tests use the official client.
Not here: the types of the bodies (`openai_types`) and of the answers (`openai_answers`).
"""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from service.engine.pool import Engines
from service.engine.types import Engine, Thinking
from service.engine.types import Request as EngineRequest
from service.errors import NotSupported
from service.http import openai_answers as answers
from service.http import sse
from service.http.access import note_input
from service.http.deps import ServiceDep, options_of
from service.http.json_body import JsonRoute
from service.http.openai_answers import Shape
from service.http.openai_types import ChatBody, CompletionBody, EmbeddingBody
from service.http.rate_limit import charge
from service.http.streams import charged, unless_disconnected
from service.prompts import run as prompts

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"], route_class=JsonRoute)


def choices_of(request: EngineRequest, n: int) -> list[EngineRequest]:
    """`n` requests with the seeds s, s + 1, ... The first one equals the request for n = 1."""
    return [
        replace(request, sampling=replace(request.sampling, seed=(request.sampling.seed + number) % (2**32 - 1)))
        for number in range(n)
    ]


def thinking_of(request: EngineRequest, engine: Engine) -> Thinking | None:
    """How the answer marks its thoughts. None for a structured answer, which has no room for them.

    Raises:
        RequestError: if the template refuses the messages.
    """
    structured = request.schema is not None or request.any_json or request.grammar is not None or request.choices
    called = bool(request.tools) and request.tool_choice != "auto"  # the answer is a call from its first token
    return None if structured or called else engine.thinking(request)


@router.post("/chat/completions", summary="Create a chat completion")
async def create_chat_completion(body: ChatBody, request: Request, service: ServiceDep) -> Response:
    """The next message of a conversation."""
    engine = service.engines.get(body.model)
    # Compiling schemas and tools takes up to 0.1 s. In a thread it does not hold up other requests.
    engine_request = await asyncio.to_thread(body.request, options_of(request, service.settings, streamed=body.stream))
    thinking = body.divided(await asyncio.to_thread(thinking_of, engine_request, engine))
    shape = Shape.of_chat(engine_request, body.n, thinking)
    choices = choices_of(engine_request, body.n)
    return await _respond(request, engine, choices, shape, stream=body.stream, usage=body.wants_usage)


@router.post("/completions", summary="Create a text completion")
async def create_completion(body: CompletionBody, request: Request, service: ServiceDep) -> Response:
    """The continuation of a text, or of each of several texts."""
    engine = service.engines.get(body.model)
    options = options_of(request, service.settings, streamed=body.stream)
    requests = body.requests(options)
    choices = [choice for prompt in requests for choice in choices_of(prompt, body.n)]
    shape = Shape(chat=False, n=body.n, echoed=await _texts(requests, engine) if body.echo else ())
    return await _respond(request, engine, choices, shape, stream=body.stream, usage=body.wants_usage)


async def _texts(requests: Sequence[EngineRequest], engine: Engine) -> list[str]:
    """The prompts as texts. The engine knows those of token ids."""
    engine.check(requests)
    if any(request.tokens is not None for request in requests):
        await engine.start()
    return [
        request.text or "" if request.tokens is None else (await engine.detokenize(request.tokens)).text
        for request in requests
    ]


async def start(request: Request, engine: Engine, choices: list[EngineRequest], shape: Shape) -> answers.Streams:
    """The streams of these requests. Their tokens count against the caller. Raises RequestError."""
    await asyncio.to_thread(engine.check, choices)  # it may render a long conversation
    note_input(request, [message.to_openai() for message in choices[0].messages] or choices[0].text or "")
    return [
        charged(prompts.stream(choice, engine), request, index, prompt=index % shape.n == 0)
        for index, choice in enumerate(choices)
    ]


async def _respond(
    request: Request, engine: Engine, choices: list[EngineRequest], shape: Shape, *, stream: bool, usage: bool
) -> Response:
    streams = await start(request, engine, choices, shape)
    head = shape.head(engine.identity, stream=stream)
    if stream:
        frames = answers.events(streams, shape, head, usage=usage)
        events = await unless_disconnected(request, sse.prefetch_first(frames))
        return Response(status_code=499) if events is None else sse.EventStreamResponse(events, openai=True)
    results = await unless_disconnected(request, answers.collect(streams))
    if results is None:
        return Response(status_code=499)
    if shape.tools:  # validating the arguments against the caller's schemas may take long
        body = await asyncio.to_thread(answers.whole, results, shape, head)
    else:
        body = answers.whole(results, shape, head)
    return JSONResponse(body, headers={"x-sameboat-fingerprint": results[0].fingerprint})


@router.get("/models", summary="List the models")
async def list_models(service: ServiceDep) -> dict[str, Any]:
    """Every model that answers, and every alias of one, with its context length and abilities."""
    since = service.engines.available()
    served = {name for name in service.served_models if service.engines.get(name).health().state == "ready"}
    names = served | set(since)
    aliases = {alias for alias, name in service.engines.catalog.aliases.items() if name in names}

    def models() -> list[dict[str, Any]]:
        return [_model(name, service.engines, since) for name in sorted(names | aliases)]

    return {"object": "list", "data": await asyncio.to_thread(models)}  # it reads the headers of files


@router.get("/models/{name}", summary="Get a model")
async def get_model(name: str, service: ServiceDep) -> dict[str, Any]:
    """One model by its name in the catalog, or by an alias."""
    service.engines.get(name)  # raises UnknownModel
    return await asyncio.to_thread(_model, name, service.engines, service.engines.available())


def _model(name: str, engines: Engines, since: Mapping[str, float]) -> dict[str, Any]:
    engine, own = engines.get(name), engines.catalog.resolve(name)
    identity = engine.identity
    try:
        abilities = [ability for ability, able in asdict(engine.abilities).items() if able]
    except NotSupported:  # its chat template cannot be used, and the error of a chat says why
        abilities = []
    return {
        "id": name,
        "object": "model",
        "created": int(since.get(own, engines.made_s)),
        "owned_by": "sameboat",
        "root": own,
        "parent": None,
        "max_model_len": engine.n_ctx,
        "context_length": engine.n_ctx,
        "abilities": abilities,
        "sha256": identity.model_sha256,
        "template_sha256": identity.template_sha256,
        "state": engine.health().state,
    }


@router.post("/embeddings", summary="Create embeddings")
async def create_embeddings(body: EmbeddingBody, request: Request, service: ServiceDep) -> Response:
    """One vector of length 1 per text. With base64 a vector is little-endian 32-bit floats, as in OpenAI's client."""
    engine = service.engines.get(body.model)
    embedded = await unless_disconnected(request, engine.embed(body.texts()))
    if embedded is None:
        return Response(status_code=499)
    charge(request, embedded.tokens)

    def encode(vector: tuple[float, ...]) -> Any:
        if body.encoding_format == "float":
            return list(vector)
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

    data = [
        {"object": "embedding", "index": index, "embedding": encode(vector)}
        for index, vector in enumerate(embedded.vectors)
    ]
    usage = {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens}
    return JSONResponse({"object": "list", "data": data, "model": engine.identity.model, "usage": usage})
