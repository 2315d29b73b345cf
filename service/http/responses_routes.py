"""The routes of OpenAI's Responses API: /v1/responses and /v1/responses/input_tokens.

In: OpenAI's request bodies. Out: OpenAI's response objects, streamed or whole. Nothing is stored, and a parameter that
needs a stored response is refused by its name.
Reference: platform.openai.com/docs/api-reference/responses. The tests use the official client and openai-agents.
Not here: the way to an answer, which is that of chats (`openai_routes`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from service.http import openai_answers as answers
from service.http import responses_answers, sse
from service.http.deps import ServiceDep, options_of
from service.http.json_body import JsonRoute
from service.http.openai_answers import Shape
from service.http.openai_routes import start, thinking_of
from service.http.responses_answers import ResponseWriter
from service.http.responses_types import InputBody, ResponsesBody
from service.http.streams import unless_disconnected

router = APIRouter(prefix="/v1/responses", tags=["OpenAI-compatible"], route_class=JsonRoute)


@router.post("", summary="Create a response")
async def create_response(body: ResponsesBody, request: Request, service: ServiceDep) -> Response:
    """The model's answer to items of input. Nothing is stored."""
    engine = service.engines.get(body.model)
    engine_request = await asyncio.to_thread(body.request, options_of(request, service.settings, streamed=body.stream))
    thinking = await asyncio.to_thread(thinking_of, engine_request, engine)
    shape = Shape.of_chat(engine_request, thinking=thinking)
    streams = await start(request, engine, [engine_request], shape)
    head, writer = shape.head(engine.identity, stream=body.stream), ResponseWriter(body, engine.identity.model)
    if body.stream:
        frames = responses_answers.events(answers.chunks(streams, shape, head, usage=True), writer)
        events = await unless_disconnected(request, sse.prefetch_first(frames))
        return Response(status_code=499) if events is None else sse.EventStreamResponse(events, openai=True)
    results = await unless_disconnected(request, answers.collect(streams))
    if results is None:
        return Response(status_code=499)
    chat = await asyncio.to_thread(answers.whole, results, shape, head)
    return JSONResponse(writer.whole(chat), headers={"x-sameboat-fingerprint": results[0].fingerprint})


@router.post("/input_tokens", summary="Count the tokens of an input")
async def count_input_tokens(body: InputBody, request: Request, service: ServiceDep) -> dict[str, Any]:
    """The number of tokens that the model would read for this input, with instructions and tools."""
    engine = service.engines.get(body.model)
    engine_request = await asyncio.to_thread(body.request, options_of(request, service.settings))
    await engine.start()
    return {"object": "response.input_tokens", "input_tokens": await engine.count(engine_request)}
