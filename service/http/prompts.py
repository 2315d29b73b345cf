"""The routes of promoted prompts. In the OpenAPI document each prompt has its own types, so `/docs` shows them.

In: a prompt's name, and a body with its inputs. Out: an answer, whole or streamed, the rendered prompt as tokens, and
the OpenAPI operation of a prompt. A prompt that is promoted while the service runs is answered and described like the
others.
Not here: rendering, validation of inputs, and the engine (`prompts.run`).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from service import json_pointer
from service.engine.types import Chunk, Engine, Logprob, Sampling
from service.engine.types import Request as Inference
from service.errors import PromptError, RequestError, SameboatError
from service.http import problems, sse
from service.http.access import note_input
from service.http.deps import Service, ServiceDep, options_of
from service.http.generation_body import SEEDS, seed_of
from service.http.json_body import body_of
from service.http.openai_types import ChatBody
from service.http.parameters import unknown, whole
from service.http.streams import charged, unless_disconnected
from service.prompts import run as prompts
from service.prompts.file import Prompt
from service.prompts.library import Library, example_of
from service.prompts.run import Result
from service.settings import Settings

router = APIRouter(tags=["prompts"])
KEYS = ("inputs", "seed", "stream", "logprobs")
ALTERNATIVES = 5  # of each token, if log-probabilities are asked for


RENDERED = {
    "type": "object",
    "required": ["inputs"],
    "properties": {"inputs": {"type": "object"}, "logprobs": {"type": ["boolean", "null"], "default": False}},
}


class RunBody(NamedTuple):
    """The values of a body, with the defaults of those that it lacks."""

    inputs: Mapping[str, Any]
    seed: int | None
    stream: bool
    logprobs: bool


@router.get("/prompts", summary="List the promoted prompts")
async def list_prompts(service: ServiceDep) -> list[dict[str, Any]]:
    """Name, description, model, and the schemas of inputs and answer.

    If the files of a prompt differ from the promoted ones, the prompt has only its name and the reason in `refused`.
    """
    return [_list_item(name, service) for name in service.library.names()]


def _list_item(name: str, service: Service) -> dict[str, Any]:
    try:
        return {**prompt_json(service.library[name]), "refused": None}
    except SameboatError as error:
        return {"name": name, "refused": str(error)}


def prompt_json(prompt: Prompt) -> dict[str, Any]:
    """The fields of a prompt that a caller needs."""
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
        abstention = [prompt.spec.abstain.answer] if prompt.spec.abstain is not None else []
        return {"enum": [*prompt.spec.choices, *abstention]}
    return prompt.schema if prompt.schema is not None else {"type": ["object", "null"]}


def answer_json(prompt: Prompt, result: Result) -> dict[str, Any]:
    """The body of a response. If the prompt abstains, `value` is its own answer. `text` is the label in any case."""
    answer = result.answer
    probabilities = answer.probabilities or {}
    return {
        "prompt": result.prompt,
        "value": prompt.decision(answer.text, probabilities) if prompt.spec.choices else result.value,
        "abstained": prompt.abstains(probabilities),
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
        "schema": dict(result.schema) if result.schema is not None else None,
        "reused": answer.reused,
        "logprobs": [_logprob_json(entry) for entry in answer.logprobs] if answer.logprobs is not None else None,
    }


def _logprob_json(entry: Logprob) -> dict[str, Any]:
    """`top` is empty for a token without an alternative, which the grammar forced."""
    top = [{"text": other.text, "logprob": round(other.logprob, 4)} for other in entry.top]
    return {"token": entry.token, "text": entry.text, "logprob": round(entry.logprob, 4), "top": top}


def _run_body(body: Any) -> RunBody:
    """The values of a body. null is the default. Raises RequestError."""
    if not isinstance(body, dict):
        raise RequestError("The body must be a JSON object with `inputs`.", key="")
    for name in sorted(set(body) - set(KEYS)):
        fixed = name in ChatBody.model_fields
        message = f"{name} cannot be set here. The promoted prompt decides it." if fixed else unknown(name, KEYS)
        raise RequestError(message, key=json_pointer.pointer((name,)))
    inputs, seed, stream, logprobs = (whole(body.get(name)) for name in KEYS)
    if inputs is not None and not isinstance(inputs, Mapping):
        raise RequestError("inputs must be an object.", key="/inputs")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not -1 <= seed < SEEDS):
        raise RequestError(f"seed must be an integer from 0 to {SEEDS - 1}, or -1 for a random one.", key="/seed")
    for name, value in (("stream", stream), ("logprobs", logprobs)):
        if value is not None and not isinstance(value, bool):
            raise RequestError(f"{name} must be true or false.", key=f"/{name}")
    return RunBody(inputs or {}, seed_of(seed) if seed == -1 else seed, bool(stream), bool(logprobs))


@router.post("/prompts/{name}", include_in_schema=False)
async def run_prompt(name: str, request: Request, service: ServiceDep) -> Response:
    """Run a promoted prompt, streamed or whole. `operation` describes each prompt in the OpenAPI document.

    Raises:
        RequestError: if the body is not an object with `inputs`, or has an unknown key or a wrong value.
    """
    promoted = service.library.promoted(name)
    body = await run_body(request)
    engine = await service.engine_for(promoted)
    ended = functools.partial(service.answered, promoted.prompt, body.inputs)
    return await answer(promoted.prompt, body, engine, request, service.settings, ended=ended)


async def run_body(request: Request) -> RunBody:
    """The body of a request that runs or renders a prompt.

    Raises:
        RequestError: if it is not an object with `inputs`, or has an unknown key or a wrong value.
    """
    return _run_body(await body_of(request))


async def answer(
    prompt: Prompt,
    body: RunBody,
    engine: Engine,
    request: Request,
    settings: Settings,
    *,
    ended: Callable[[Result], None] = lambda result: None,
) -> Response:
    """The answer of a prompt to the inputs of a body, streamed or whole. `ended` is called with it.

    Raises:
        RequestError: if the log-probabilities of labels are asked for.
    """
    streamed = body.stream or "text/event-stream" in request.headers.get("accept", "")
    options = options_of(request, settings, streamed=streamed)
    question = await prompts.prepare(prompt, body.inputs, seed=body.seed, **options)
    note_input(request, body.inputs)
    if body.logprobs:
        if question.choices:
            raise RequestError(
                "The labels of this prompt have probabilities, and no tokens are drawn.", key="/logprobs"
            )
        question = replace(question, logprobs=ALTERNATIVES)
    items = charged(prompts.stream(question, engine), request, ended=ended)
    if streamed:
        events = await unless_disconnected(request, sse.prefetch_first(_events(prompt, items)))
        if events is None:
            return Response(status_code=499)
        return sse.EventStreamResponse(events, openai=False)
    result = await unless_disconnected(request, _result(items))
    if result is None:
        return Response(status_code=499)
    headers = {"x-sameboat-fingerprint": result.fingerprint}
    if result.problem is not None:
        detail = f"The model's answer cannot be used: {result.problem}."
        problem = problems.problem(
            502, "answer-unusable", "The answer is unusable", detail, answer=answer_json(prompt, result)
        )
        return problems.respond(request.url.path, 502, problem, headers)
    return JSONResponse(answer_json(prompt, result), headers=headers)


async def _events(prompt: Prompt, items: AsyncGenerator[tuple[int, Chunk | Result], None]) -> AsyncGenerator[str, None]:
    async with contextlib.aclosing(items):
        async for _, item in items:
            if isinstance(item, Result):
                yield sse.frame({**answer_json(prompt, item), "problem": item.problem}, "answer")
            else:
                yield sse.frame({"text": item.text}, "chunk")


async def _result(items: AsyncGenerator[tuple[int, Chunk | Result], None]) -> Result:
    """The result at the end of the items."""
    async with contextlib.aclosing(items):
        async for _, item in items:
            if isinstance(item, Result):
                return item
    raise AssertionError("a stream ends with a result or an error")


@router.post(
    "/prompts/{name}/tokens",
    summary="Render a promoted prompt",
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": RENDERED}}}},
)
async def render_prompt(name: str, request: Request, service: ServiceDep) -> dict[str, Any]:
    """The messages of a promoted prompt with these inputs, and the tokens that the model reads.

    Nothing is computed, except with `logprobs`: then `logprobs` has the log-probability of each token after those
    before it. It is null for the first token, which follows nothing.

    Raises:
        RequestError: if the body is not an object with `inputs`, or has an unknown key or a wrong value.
    """
    promoted = service.library.promoted(name)
    body = await run_body(request)
    return await rendered(promoted.prompt, body, await service.engine_for(promoted), request, service.settings)


async def rendered(
    prompt: Prompt, body: RunBody, engine: Engine, request: Request, settings: Settings
) -> dict[str, Any]:
    """The messages and tokens of a prompt with the inputs of a body.

    Raises:
        NotSupported: if the engine cannot tell the probabilities of a prompt's tokens.
    """
    options = options_of(request, settings)
    question = await prompts.prepare(prompt, body.inputs, **options)
    await engine.start()
    tokens = await engine.tokenize(question)
    logprobs = None
    if body.logprobs:
        once = Sampling(temperature=0.0, max_tokens=0)
        reading = Inference(tokens=tuple(tokens), echo=True, logprobs=0, sampling=once, prompt=prompt.name, **options)
        result = await unless_disconnected(request, _result(charged(prompts.stream(reading, engine), request)))
        read = result.answer.prompt_logprobs if result is not None else ()
        logprobs = [round(entry.logprob, 4) if at else None for at, entry in enumerate(read)]
    return {
        "messages": [message.to_openai() for message in question.messages],
        "count": len(tokens),
        "tokens": tokens,
        "token_strs": (await engine.detokenize(tokens)).names,
        "logprobs": logprobs,
    }


@router.get("/prompts/{name}", summary="Get a promoted prompt")
async def get_prompt(name: str, service: ServiceDep) -> dict[str, Any]:
    """Name, description, model, and the schemas of inputs and answer."""
    return prompt_json(service.library[name])


def operation(prompt: Prompt) -> dict[str, Any]:
    """The OpenAPI operation that runs this prompt."""
    body = {
        "type": "object",
        "required": ["inputs"],
        "additionalProperties": False,
        "properties": {
            "inputs": prompt.inputs_schema,
            "seed": {"type": ["integer", "null"], "minimum": -1, "maximum": SEEDS - 1},
            "stream": {"type": ["boolean", "null"], "default": False},
            "logprobs": {"type": ["boolean", "null"], "default": False},
        },
    }
    answer = {
        "type": "object",
        "properties": {
            "value": answer_schema(prompt),
            "abstained": {"type": "boolean"},
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
    """The operations of all promoted prompts by path. A prompt that cannot be served now is left out."""
    by_path = {}
    for name in library.names():
        with contextlib.suppress(PromptError):
            by_path[f"/prompts/{name}"] = operation(library[name])
    return by_path
