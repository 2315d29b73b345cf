"""The span and the measurements of one answer, as OpenTelemetry's conventions for generative AI name them.

In: a request, its engine, and the stream of its answer. Out: the same stream.
Not here: spans in general (`tracing`). No text of a prompt or an answer is an attribute.

The times within a local answer come from the engine's process with the answer, so queue, prefill and decode become
spans when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from service import tracing
from service.engine.types import Answer, Chunk, Engine, Identity, Request
from service.errors import SameboatError

if TYPE_CHECKING:
    from service.prompts.run import Result

PROVIDER = "sameboat"


async def traced(
    request: Request, engine: Engine, items: AsyncGenerator[Chunk | Result, None]
) -> AsyncGenerator[Chunk | Result, None]:
    """The same chunks and result, under a span that ends with them. Closing it closes `items`."""
    remote = _remote(engine)
    span = tracing.start(_operation(request), _asked(request), "client" if remote else "internal")
    began = tracing.now_s()
    try:
        async with contextlib.aclosing(items):
            while True:
                with span.active():  # in each step anew: between two steps other code of this task runs
                    try:
                        item = await anext(items)
                    except StopAsyncIteration:
                        break
                if not isinstance(item, Chunk):
                    _answered(span, request, item, remote=remote)
                yield item
    except BaseException as error:
        gone = isinstance(error, (GeneratorExit, asyncio.CancelledError))
        kind = "cancelled" if gone else type(error).__name__
        span.fail(kind)
        tracing.record(_duration(remote=remote), tracing.now_s() - began, {**_common(request), "error.type": kind})
        raise
    finally:
        span.end()


def _remote(engine: Engine) -> bool:
    try:
        return engine.identity.engine == "remote"
    except SameboatError:  # its model is missing. The request itself will tell
        return False


def _operation(request: Request) -> str:
    return "chat" if request.messages else "text_completion"


def _common(request: Request) -> dict[str, str]:
    """The attributes of every measurement."""
    return {"gen_ai.operation.name": _operation(request), "gen_ai.provider.name": PROVIDER}


def _duration(*, remote: bool) -> str:
    return "gen_ai.client.operation.duration" if remote else "gen_ai.server.request.duration"


def _asked(request: Request) -> tracing.Attributes:
    sampling = request.sampling
    asked: dict[str, str | int | float | tuple[str, ...]] = {
        **_common(request),
        "gen_ai.request.max_tokens": sampling.max_tokens,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.output.type": "json" if request.schema is not None or request.any_json else "text",
        "sameboat.mode": request.mode,
        "sameboat.priority": request.priority,
    }
    if sampling.temperature > 0:
        asked |= {"gen_ai.request.seed": sampling.seed, "gen_ai.request.top_p": sampling.top_p}
    if request.prompt is not None:
        asked["gen_ai.prompt.name"] = request.prompt
    return asked


def _answered(span: tracing.TraceSpan, request: Request, result: Result, *, remote: bool) -> None:
    answer, identity = result.answer, result.identity
    ended = tracing.now_s()
    span.rename(f"{_operation(request)} {identity.model}")
    span.set(_told(result, identity))
    if result.problem is not None:
        span.fail("unusable_answer")
    times = answer.timings
    if not answer.reused:
        began = ended - times.total_s
        span.child("queue", began, began + times.queued_s)
        if not remote:
            span.child("prefill", began + times.queued_s, began + times.first_token_s)
            if not request.choices:  # labels are scored, and no token is drawn
                span.child("decode", began + times.first_token_s, ended)
    _measured(request, answer, identity, remote=remote)


def _told(result: Result, identity: Identity) -> tracing.Attributes:
    answer = result.answer
    return {
        "gen_ai.request.model": identity.model,
        "gen_ai.response.model": identity.model,
        "gen_ai.response.finish_reasons": (answer.finish_reason,),
        "gen_ai.response.time_to_first_chunk": answer.timings.first_token_s,
        "gen_ai.usage.input_tokens": answer.usage.prompt,
        "gen_ai.usage.output_tokens": answer.usage.completion,
        "gen_ai.usage.cache_read.input_tokens": answer.usage.cached,
        "sameboat.fingerprint": result.fingerprint,
        "sameboat.reused": answer.reused,
        "sameboat.engine": identity.engine,
    }


def _measured(request: Request, answer: Answer, identity: Identity, *, remote: bool) -> None:
    shared = {**_common(request), "gen_ai.request.model": identity.model, "gen_ai.response.model": identity.model}
    times, usage = answer.timings, answer.usage
    tracing.record(_duration(remote=remote), times.total_s, shared)
    for kind, count in (("input", usage.prompt), ("output", usage.completion)):
        tracing.record("gen_ai.client.token.usage", count, {**shared, "gen_ai.token.type": kind})
    if remote or answer.reused:
        return
    tracing.record("gen_ai.server.time_to_first_token", times.first_token_s, shared)
    if usage.completion > 1:
        each_s = (times.total_s - times.first_token_s) / (usage.completion - 1)
        tracing.record("gen_ai.server.time_per_output_token", each_s, shared)
