"""The only way to an answer: render once, fingerprint, ask the engine, check the parts that could not be enforced.

In: a prompt with its inputs, or a complete request. And an engine. Out: a `Result`.
Not here: how an engine decodes. Notebooks, evaluations, builds and every HTTP route call this module.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from service import tracing
from service.engine import toolcalls
from service.engine.schema import compiled
from service.engine.types import (
    Answer,
    Chunk,
    Engine,
    Identity,
    LearnsIdentity,
    Mode,
    Priority,
    Request,
    TemplateInputs,
)
from service.errors import NotSupported
from service.prompts.file import Prompt
from service.prompts.fingerprint import canonical, fingerprint, template_date
from service.prompts.generation_span import traced
from service.prompts.tool_decision import decide

SMALL_INPUTS = 50
SMALL_TEXT = 10_000  # characters of all inputs together


@dataclass(frozen=True)
class Result:
    """An answer and where it came from.

    `value` is the parsed JSON of a prompt with a schema, the label of a prompt with choices, or None. `problem` is the
    reason why there is no usable value although one was asked for: the answer was cut, or it failed a check after
    decoding. A result with a problem is never a success.
    """

    answer: Answer
    fingerprint: str
    identity: Identity
    prompt: str | None = None
    value: Any = None
    problem: str | None = None
    schema: Mapping[str, list[str]] | None = None
    """The keywords that were `enforced` while decoding, and those that were `checked` after it, with their places."""

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
    """The complete request of a prompt with these inputs. `seed`, `temperature` and `max_tokens` win over the file's.

    Raises:
        InputsError: if the inputs do not fit the prompt.
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
        calibration=prompt.label_calibration,
        mode=mode,
        prompt=prompt.name,
        reuse=reuse,
        cache_salt=cache_salt,
        priority=priority,
        deadline_s=deadline_s,
    )


def canonical_schema(schema: Mapping[str, Any]) -> str:
    """A schema as compact JSON. The order of `properties` stays, because it decides the order of the answer."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


async def prepare(prompt: Prompt, inputs: Mapping[str, Any], **options: Any) -> Request:
    """`build_request` for an event loop: large inputs are checked and rendered in a thread.

    Raises:
        InputsError: if the inputs do not fit the prompt.
    """
    if _small(inputs):
        return build_request(prompt, inputs, **options)
    return await asyncio.to_thread(build_request, prompt, inputs, **options)


def _small(inputs: Mapping[str, Any]) -> bool:
    """Whether checking and rendering the inputs takes no noticeable time."""
    plain = all(isinstance(value, (str, int, float, bool, type(None))) for value in inputs.values())
    return plain and len(inputs) <= SMALL_INPUTS and sum(len(str(value)) for value in inputs.values()) <= SMALL_TEXT


async def run(request: Request, engine: Engine) -> Result:
    """The answer to a request.

    Raises:
        NotSupported: if the engine does not have an ability that the request needs.
        RequestError: if the engine cannot answer this request.
        EngineError: if the engine did not answer.
    """
    async with contextlib.aclosing(stream(request, engine)) as items:
        *_, result = [item async for item in items]
    assert isinstance(result, Result), "a stream ends with a result or an error"
    return result


def stream(request: Request, engine: Engine) -> AsyncGenerator[Chunk | Result, None]:
    """The chunks of the answer, then the result. Closing the generator cancels the request. Raises as `run` does."""
    items = _stream(request, engine)
    return traced(request, engine, items) if tracing.enabled() else items


async def _stream(request: Request, engine: Engine) -> AsyncGenerator[Chunk | Result, None]:
    engine = engine.for_mode(request.mode)
    if isinstance(engine, LearnsIdentity):
        await engine.learn()
    _check_abilities(request, engine)
    engine.check((request,))
    request = await decide(request, engine)
    identity = engine.identity
    request = replace(request, template_date=template_date(request, identity))  # midnight may come before the answer
    digest = fingerprint(request, identity)
    async with contextlib.aclosing(engine.stream(replace(request, fingerprint=digest))) as items:
        async for item in items:
            if not isinstance(item, Answer):
                yield item
                continue
            if engine.identity != identity:  # kernels that did not run were replaced while the request waited
                identity = engine.identity
                digest = fingerprint(request, identity)
            if request.schema is None:
                yield _result(item, request, digest, identity)
            else:  # a caller's patterns and an answer to match them may take long: other requests go on meanwhile
                yield await asyncio.to_thread(_result, item, request, digest, identity)


def _check_abilities(request: Request, engine: Engine) -> None:
    able = engine.abilities
    needs = [
        ("schema", request.schema is not None or request.any_json, able.schema, "an enforced output schema"),
        ("grammar", request.grammar is not None, able.tokens, "grammars"),
        ("choices", bool(request.choices), able.choices, "scoring of labels"),
        ("logprobs", request.logprobs is not None, able.logprobs, "log-probabilities"),
        ("tools", bool(request.tools), able.tools, "tools in its chat template"),
        ("seed", request.sampling.temperature > 0 and request.mode == "exact", able.seed, "seeds"),
        ("mode", request.mode == "exact", able.exact, "an exact mode"),
        ("template_date", request.template_date is not None, able.template, "chat template that gets a date"),
        ("chat_template_kwargs", request.template != TemplateInputs(), able.template, "chat template to give values"),
    ]
    for key, asked, can, ability in needs:
        if asked and not can:
            raise NotSupported(f"{engine.identity.model} on this engine has no {ability}.", key=key)


def _result(answer: Answer, request: Request, digest: str, identity: Identity) -> Result:
    """The answer with its value, checked."""
    value: Any = None
    problem: str | None = None
    if request.choices:
        value = answer.text
    elif request.tools and toolcalls.has_call(answer.text, request.tools):
        pass  # calls instead of a value
    elif request.schema is not None or request.any_json:
        if answer.finish_reason == "length":
            problem = f"the answer was cut after {answer.usage.completion} tokens, before its JSON was complete"
        else:
            value, problem = _parsed(answer.text, request.schema)
    return Result(answer, digest, identity, request.prompt, value, problem, _coverage(request))


def _coverage(request: Request) -> dict[str, list[str]] | None:
    if request.tools:
        grammar = toolcalls.of_request(request)
        return grammar.report if grammar is not None else None
    if request.schema is not None or request.any_json:
        return compiled(request.schema).report
    return None


def _parsed(text: str, schema: str | None) -> tuple[Any, str | None]:
    value, problems = compiled(schema).check(text)
    return (None, "; ".join(problems)) if problems else (value, None)


__all__ = ["Result", "build_request", "canonical", "prepare", "run", "stream"]
