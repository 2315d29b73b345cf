"""OpenAI's API over the same path to an answer: /v1/chat/completions, /v1/completions, /v1/models, /v1/embeddings.

What comes in: OpenAI's request bodies. What goes out: OpenAI's objects, streamed or whole, and OpenAI's errors. What
cannot be honoured is refused with the parameter's name; what has no effect on an answer (user, store, metadata) is
taken and ignored. Reference: platform.openai.com/docs/api-reference, checked with the official client.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from service.engine.types import Answer, Chunk, Engine
from service.engine.types import Request as EngineRequest
from service.http import sse
from service.http.openai_types import ChatBody, CompletionBody, EmbeddingBody
from service.http.state import ServiceDep, merged, options_of, unless_gone
from service.prompts import run as prompts
from service.prompts.run import Result

router = APIRouter(prefix="/v1", tags=["OpenAI-compatible"])


def usage_of(results: list[Result]) -> dict[str, Any]:
    """Tokens of all choices; the prompt counts once."""
    first = results[0].answer.usage
    made = sum(result.answer.usage.completion for result in results)
    return {
        "prompt_tokens": first.prompt,
        "completion_tokens": made,
        "total_tokens": first.prompt + made,
        "prompt_tokens_details": {"cached_tokens": first.cached},
    }


def logprobs_of(answer: Answer | Chunk) -> dict[str, Any] | None:
    """The chat format's log-probabilities."""
    if not answer.logprobs:
        return None

    def entry(text: str, value: float) -> dict[str, Any]:
        return {"token": text, "logprob": value, "bytes": list(text.encode())}

    return {
        "content": [
            {**entry(each.text, each.logprob), "top_logprobs": [entry(text, value) for _, text, value in each.top]}
            for each in answer.logprobs
        ],
        "refusal": None,
    }


def requests_of(request: EngineRequest, n: int) -> list[EngineRequest]:
    """`n` requests that differ in their seed: s, s + 1, ... The first is the one that n = 1 gives."""
    return [
        replace(request, sampling=replace(request.sampling, seed=(request.sampling.seed + each) % (2**32 - 1)))
        for each in range(n)
    ]


def extras(result: Result) -> dict[str, Any]:
    """What OpenAI's objects have no place for."""
    return {"fingerprint": result.fingerprint, "reused": result.answer.reused, "tokens": list(result.answer.tokens)}


@router.post("/chat/completions", summary="Chat completion")
async def chat(body: ChatBody, request: Request, service: ServiceDep) -> Response:
    """A conversation's next message."""
    engine = service.engines.get(body.model)
    asked = body.request(options_of(request, service.settings))
    return await _respond(request, engine, asked, body.n, stream=body.stream, usage=body.wants_usage, chat=True)


@router.post("/completions", summary="Text completion")
async def completions(body: CompletionBody, request: Request, service: ServiceDep) -> Response:
    """What follows a text."""
    engine = service.engines.get(body.model)
    asked = body.request(options_of(request, service.settings))
    return await _respond(request, engine, asked, body.n, stream=body.stream, usage=body.wants_usage, chat=False)


async def _respond(
    request: Request, engine: Engine, asked: EngineRequest, n: int, *, stream: bool, usage: bool, chat: bool
) -> Response:
    streams = [prompts.ask_stream(each, engine) for each in requests_of(asked, n)]
    kind = "chat.completion" if chat else "text_completion"
    head = {
        "id": ("chatcmpl-" if chat else "cmpl-") + secrets.token_hex(12),
        "created": int(time.time()),
        "model": engine.identity.model,
        "system_fingerprint": (engine.identity.model_sha256 or "remote")[:16],
    }
    if stream:
        events = _events(streams, {**head, "object": kind + ".chunk" if chat else kind}, usage=usage, chat=chat)
        first = await unless_gone(request, sse.first_then(events))
        return sse.Events(first, openai=True, headers={}) if first is not None else Response(status_code=499)
    results = await unless_gone(request, _collect(streams))
    if results is None:
        return Response(status_code=499)
    choices = [_choice(number, result, chat=chat) for number, result in enumerate(results)]
    body = {**head, "object": kind, "choices": choices, "usage": usage_of(results), "sameboat": extras(results[0])}
    return JSONResponse(body, headers={"x-sameboat-fingerprint": results[0].fingerprint})


async def _collect(streams: list[AsyncGenerator[Chunk | Result, None]]) -> list[Result]:
    async with contextlib.aclosing(merged(streams)) as items:
        found = {number: item async for number, item in items if isinstance(item, Result)}
    return [found[number] for number in range(len(streams))]


def _choice(number: int, result: Result, *, chat: bool) -> dict[str, Any]:
    answer = result.answer
    base = {"index": number, "finish_reason": answer.finish_reason, "logprobs": logprobs_of(answer)}
    if chat:
        return {**base, "message": {"role": "assistant", "content": answer.text, "refusal": None}}
    return {**base, "text": answer.text, "logprobs": _flat(answer)}


def _flat(answer: Answer | Chunk) -> dict[str, Any] | None:
    """The older format of /v1/completions: parallel lists."""
    if not answer.logprobs:
        return None
    return {
        "tokens": [each.text for each in answer.logprobs],
        "token_logprobs": [each.logprob for each in answer.logprobs],
        "top_logprobs": [{text: value for _, text, value in each.top} for each in answer.logprobs],
        "text_offset": [],
    }


async def _events(
    streams: list[AsyncGenerator[Chunk | Result, None]], head: dict[str, Any], *, usage: bool, chat: bool
) -> AsyncGenerator[str, None]:
    """OpenAI's chunks: a role first, then text, then a finish reason, then usage if it was asked for, then [DONE]."""
    started: set[int] = set()
    results: list[Result] = []

    def chunk(choices: list[dict[str, Any]], **more: Any) -> str:
        return sse.frame({**head, "choices": choices, **({"usage": None} if usage else {}), **more})

    async with contextlib.aclosing(merged(streams)) as items:
        async for number, item in items:
            if chat and number not in started:
                started.add(number)
                role = {"role": "assistant", "content": ""}
                yield chunk([{"index": number, "delta": role, "finish_reason": None, "logprobs": None}])
            if isinstance(item, Result):
                results.append(item)
                end: dict[str, Any] = {"index": number, "finish_reason": item.answer.finish_reason, "logprobs": None}
                yield chunk([{**end, "delta": {}} if chat else {**end, "text": ""}], sameboat=extras(item))
            elif item.text or item.logprobs:
                piece: dict[str, Any] = {"index": number, "finish_reason": None}
                if chat:
                    piece |= {"delta": {"content": item.text}, "logprobs": logprobs_of(item)}
                else:
                    piece |= {"text": item.text, "logprobs": _flat(item)}
                yield chunk([piece])
    if usage:
        yield sse.frame({**head, "choices": [], "usage": usage_of(results)})
    yield sse.frame("[DONE]")


@router.get("/models", summary="The models")
async def models(service: ServiceDep) -> dict[str, Any]:
    """The models that this service was started with, with their effective context and digest."""
    return {"object": "list", "data": [_model(name, service.engines.get(name)) for name in sorted(service.serves)]}


@router.get("/models/{name}", summary="One model")
async def model(name: str, service: ServiceDep) -> dict[str, Any]:
    """One model, by its name in the catalog."""
    return _model(name, service.engines.get(name))


def _model(name: str, engine: Engine) -> dict[str, Any]:
    health, identity = engine.health(), engine.identity
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "sameboat",
        "context_length": engine.n_ctx,
        "sha256": identity.model_sha256,
        "template_sha256": identity.template_sha256,
        "state": health.state,
    }


@router.post("/embeddings", summary="Embeddings, where the model gives them")
async def embeddings(body: EmbeddingBody, service: ServiceDep) -> dict[str, Any]:
    """One vector of unit length per text."""
    engine = service.engines.get(body.model)
    vectors = await engine.embed(body.texts())
    data = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": body.model, "usage": {"prompt_tokens": 0, "total_tokens": 0}}
