"""instructor: its default and its other modes, partial and iterable answers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import instructor
import kit
import openai
from kit import MESSAGES, MODEL, TOKENS, Pick, cell

raw = openai.OpenAI(base_url=f"{kit.STARTER}/v1", api_key=kit.KEY, max_retries=0, timeout=300)
ask: dict[str, Any] = {
    "model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": 2 * TOKENS, "max_retries": 0,
}  # fmt: skip


clock = type("clock", (kit.Clock,), {"__doc__": kit.Clock.__doc__})  # the tool has the name of its class


def client(mode: str) -> Any:
    return instructor.from_openai(raw, mode=getattr(instructor.Mode, mode))


@cell("chat:without a response model")
def _() -> Any:
    answer = instructor.from_openai(raw).chat.completions.create(**{**ask, "max_tokens": TOKENS}, response_model=None)
    counts = kit.usage(answer.usage.prompt_tokens, answer.usage.completion_tokens)
    return {"text": answer.choices[0].message.content, **counts}


@cell("stream:without a response model")
def _() -> Any:
    given = {**ask, "max_tokens": TOKENS, "response_model": None, "stream": True}
    chunks = instructor.from_openai(raw).chat.completions.create(**given)
    return {"pieces": [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]}


@cell("required:default")
def _() -> Any:
    return kit.picked(instructor.from_openai(raw).chat.completions.create(**ask, response_model=Pick))


@cell("structured:JSON_SCHEMA")
def _() -> Any:
    return kit.picked(client("JSON_SCHEMA").chat.completions.create(**ask, response_model=Pick))


@cell("structured:JSON_SCHEMA, partial")
def _() -> Any:
    parts = list(client("JSON_SCHEMA").chat.completions.create_partial(**ask, response_model=Pick))
    return kit.picked(Pick(**parts[-1].model_dump()))


@cell("required:TOOLS")
def _() -> Any:
    return kit.picked(client("TOOLS").chat.completions.create(**ask, response_model=Pick))


@cell("required:TOOLS_STRICT")
def _() -> Any:
    return kit.picked(client("TOOLS_STRICT").chat.completions.create(**ask, response_model=Pick))


@cell("required:TOOLS, partial")
def _() -> Any:
    parts = list(client("TOOLS").chat.completions.create_partial(**ask, response_model=Pick))
    return kit.picked(Pick(**parts[-1].model_dump()))


@cell("auto:PARALLEL_TOOLS")
def _() -> Any:
    scripted = openai.OpenAI(base_url=f"{kit.SCRIPTED}/v1", api_key=kit.KEY, max_retries=0, timeout=300)
    parallel = instructor.from_openai(scripted, mode=instructor.Mode.PARALLEL_TOOLS)
    messages = [{"role": "user", "content": kit.TIME}]
    found = parallel.chat.completions.create(**{**ask, "messages": messages}, response_model=Iterable[clock])
    return kit.calls(*((type(value).__name__, value.model_dump()) for value in found))


kit.main("instructor", "openai")
