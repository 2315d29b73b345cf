"""The way to an answer: render once, fingerprint, ask the engine, check what could not be enforced.

A notebook cell, an evaluation, a build and every HTTP route come through here; there is no second path.
What comes in: a prompt and its inputs (or a request that is complete already), an engine. What goes out: a `Result`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.engine.schema import compiled
from service.engine.types import Answer, Chunk, Engine, Identity, Mode, Priority, Request
from service.errors import NotSupported
from service.prompts.file import Prompt
from service.prompts.fingerprint import canonical, fingerprint

SMALL_INPUTS, SMALL_TEXT = 50, 10_000  # inputs, and characters of them


@dataclass(frozen=True)
class Result:
    """An answer and where it came from.

    `value` is the parsed JSON where the prompt has a schema, the label where it has choices, else None. `problem` says
    why there is no usable value although one was asked for: the answer was cut, or fails what is checked after
    decoding. A result with a problem is never a success, whatever its text looks like.
    """

    answer: Answer
    fingerprint: str
    identity: Identity
    prompt: str | None = None
    value: Any = None
    problem: str | None = None

    @property
    def text(self) -> str:
        """The answer's text."""
        return self.answer.text


def build_request(
    prompt: Prompt,
    inputs: Mapping[str, Any],
    *,
    mode: Mode = "fast",
    seed: int | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    reuse: bool = True,
    cache_salt: str = "",
    priority: Priority = "interactive",
    deadline_s: float | None = None,
) -> Request:
    """The complete request of a prompt with these inputs; `seed`, `temperature` and `max_tokens` win over the file's.

    Raises InputsError.
    """
    spec = prompt.spec
    sampling = spec.modelParameters.sampling(seed=seed)
    if temperature is not None:
        sampling = replace(sampling, temperature=temperature)
    if max_tokens is not None:
        sampling = replace(sampling, max_tokens=max_tokens)
    calibrate = spec.calibration == "contextual"
    return Request(
        messages=prompt.messages(inputs),
        sampling=sampling,
        schema=canonical_schema(prompt.schema) if prompt.schema is not None else None,
        any_json=spec.responseFormat == "json_object",
        choices=spec.choices,
        calibrate=calibrate,
        neutral=prompt.neutral() if calibrate else (),
        mode=mode,
        reuse=reuse,
        cache_salt=cache_salt,
        priority=priority,
        deadline_s=deadline_s,
    )


def canonical_schema(schema: Mapping[str, Any]) -> str:
    """A schema as canonical JSON, except that the order of `properties` stays: it decides the order of the answer."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


async def run(prompt: Prompt, inputs: Mapping[str, Any], engine: Engine, **options: Any) -> Result:
    """The answer of `prompt` to `inputs`; `options` are those of `build_request`.

    Raises InputsError, other RequestErrors, EngineError.
    """
    async with contextlib.aclosing(stream(prompt, inputs, engine, **options)) as items:
        async for item in items:
            if isinstance(item, Result):
                return item
    raise AssertionError("a stream ends with a result or an error")


async def stream(
    prompt: Prompt, inputs: Mapping[str, Any], engine: Engine, **options: Any
) -> AsyncGenerator[Chunk | Result, None]:
    """`run`, with the chunks before the result. Closing it withdraws the request."""
    if _small(inputs):
        request = build_request(prompt, inputs, **options)
    else:  # checking and rendering may take a while: others are answered meanwhile
        request = await asyncio.to_thread(build_request, prompt, inputs, **options)
    async with contextlib.aclosing(ask_stream(request, engine)) as items:
        async for item in items:
            yield replace(item, prompt=prompt.name) if isinstance(item, Result) else item


def _small(inputs: Mapping[str, Any]) -> bool:
    """Whether the inputs are checked and rendered in no time."""
    plain = all(isinstance(value, (str, int, float, bool, type(None))) for value in inputs.values())
    return plain and len(inputs) <= SMALL_INPUTS and sum(len(str(value)) for value in inputs.values()) <= SMALL_TEXT


async def ask(request: Request, engine: Engine) -> Result:
    """The answer to a request that is complete already."""
    async with contextlib.aclosing(ask_stream(request, engine)) as items:
        async for item in items:
            if isinstance(item, Result):
                return item
    raise AssertionError("a stream ends with a result or an error")


async def ask_stream(request: Request, engine: Engine) -> AsyncGenerator[Chunk | Result, None]:
    """Chunks, then the result. Raises NotSupported for what the engine cannot honestly do."""
    _check_abilities(request, engine)
    engine.check((request,))
    identity = engine.identity
    mark = fingerprint(request, identity)
    async with contextlib.aclosing(engine.stream(replace(request, fingerprint=mark))) as items:
        async for item in items:
            if not isinstance(item, Answer):
                yield item
            elif request.schema is None:
                yield _result(item, request, mark, identity)
            else:  # a caller's patterns and an answer that tries them may take a while: others are answered meanwhile
                yield await asyncio.to_thread(_result, item, request, mark, identity)


def _check_abilities(request: Request, engine: Engine) -> None:
    able = engine.abilities
    wanted = [
        ("schema", request.schema is not None or request.any_json, able.schema, "an enforced output schema"),
        ("choices", bool(request.choices), able.choices, "scoring of labels"),
        ("logprobs", request.logprobs is not None, able.logprobs, "log-probabilities"),
        ("tools", bool(request.tools), able.tools, "tools in its chat template"),
        ("seed", request.sampling.temperature > 0 and request.mode == "exact", able.seed, "seeds"),
        ("mode", request.mode == "exact", able.exact, "an exact mode"),
    ]
    for key, asked, can, what in wanted:
        if asked and not can:
            raise NotSupported(f"{engine.identity.model} on this engine has no {what}.", key=key)


def _result(answer: Answer, request: Request, mark: str, identity: Identity) -> Result:
    """The answer with its value, checked."""
    value: Any = None
    problem: str | None = None
    if request.choices:
        value = answer.text
    elif request.schema is not None or request.any_json:
        if answer.finish_reason == "length":
            problem = f"the answer was cut after {answer.usage.completion} tokens, before its JSON was whole"
        else:
            value, problem = _parsed(answer.text, request.schema)
    return Result(answer, mark, identity, value=value, problem=problem)


def _parsed(text: str, schema: str | None) -> tuple[Any, str | None]:
    value, problems = compiled(schema).check(text)
    return (None, "; ".join(problems)) if problems else (value, None)


__all__ = ["Result", "ask", "ask_stream", "build_request", "canonical", "run", "stream"]
