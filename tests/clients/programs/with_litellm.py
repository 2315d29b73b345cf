"""LiteLLM: completions, streams, schemas, tools, responses, embeddings, and its class for a prompt that is too long."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import kit
import litellm
from kit import MESSAGES, MODEL, TOKENS, TOOL, Pick, cell

litellm.suppress_debug_info = True


def at(url: str, **more: Any) -> dict[str, Any]:
    given = {"messages": MESSAGES, "temperature": 0, "max_tokens": TOKENS, "num_retries": 0, **more}
    return {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": kit.KEY, **given}


ask = at(kit.STARTER)


def counted(usage: Any) -> dict[str, Any]:
    return kit.usage(usage.prompt_tokens, usage.completion_tokens)


@cell("chat:completion")
def _() -> Any:
    answer = litellm.completion(**ask)
    return {"text": answer.choices[0].message.content, **counted(answer.usage)}


@cell("chat:acompletion, four at a time")
def _() -> Any:
    async def together() -> list[Any]:
        return await asyncio.gather(*(litellm.acompletion(**ask) for _ in range(4)))

    first, *others = asyncio.run(together())
    assert all(other.choices[0].message.content == first.choices[0].message.content for other in others)
    return {"text": first.choices[0].message.content, **counted(first.usage)}


@cell("chat:hosted_vllm")
def _() -> Any:
    answer = litellm.completion(**{**ask, "model": f"hosted_vllm/{MODEL}"})
    return {"text": answer.choices[0].message.content, **counted(answer.usage)}


@cell("chat:responses")
def _() -> Any:
    given = {key: ask[key] for key in ("model", "api_base", "api_key", "temperature")}
    answer = litellm.responses(**given, input=kit.ASK, max_output_tokens=TOKENS)
    texts = [part.text for item in answer.output if item.type == "message" for part in item.content]
    return {"text": "".join(texts), **kit.usage(answer.usage.input_tokens, answer.usage.output_tokens)}


@cell("completion:text_completion")
def _() -> Any:
    given = {"model": f"text-completion-openai/{MODEL}", "api_base": f"{kit.STARTER}/v1", "api_key": kit.KEY}
    answer = litellm.text_completion(**given, prompt="One, two,", max_tokens=8, temperature=0)
    return {"completion": answer.choices[0].text}


@cell("stream:completion")
def _() -> Any:
    chunks = list(litellm.completion(**ask, stream=True, stream_options={"include_usage": True}))
    used = next(chunk.usage for chunk in reversed(chunks) if getattr(chunk, "usage", None))
    return {"pieces": [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices], **counted(used)}


@cell("structured:response_format")
def _() -> Any:
    text = litellm.completion(**ask, response_format=Pick).choices[0].message.content
    return kit.picked(Pick.model_validate_json(text))


def tool_calls(answer: Any) -> dict[str, Any]:
    made = answer.choices[0].message.tool_calls
    return kit.calls(*((call.function.name, call.function.arguments) for call in made))


@cell("required:completion")
def _() -> Any:
    return tool_calls(litellm.completion(**ask, tools=[TOOL], tool_choice="required"))


@cell("required:streamed")
def _() -> Any:
    chunks = list(litellm.completion(**ask, tools=[TOOL], tool_choice="required", stream=True))
    return tool_calls(litellm.stream_chunk_builder(chunks))


def conversation(question: str) -> dict[str, Any]:
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        message = litellm.completion(**at(kit.SCRIPTED, messages=messages), tools=[TOOL]).choices[0].message
        if not message.tool_calls:
            return kit.executed(message.content)
        messages.append(message)
        for call in message.tool_calls:
            result = kit.clock(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


@cell("auto:completion")
def _() -> Any:
    return conversation(kit.TIME)


@cell("auto:no tool is needed")
def _() -> Any:
    return conversation(kit.HELLO)


@cell("error:a prompt that is too long")
def _() -> Any:
    long = [{"role": "user", "content": "word " * 9000}]
    try:
        litellm.completion(**at(kit.STARTER, messages=long))
    except litellm.ContextWindowExceededError as error:
        return {"class": type(error).__name__}
    return {"class": None}


@cell("embeddings:embedding", needs=kit.EMBEDDING)
def _() -> Any:
    given = {"api_base": f"{kit.EMBEDDING}/v1", "api_key": kit.KEY, "input": kit.TEXTS}
    answer = litellm.embedding(model=f"openai/{kit.EMBEDDING_MODEL}", **given)
    return {"vectors": [item["embedding"] for item in answer.data]}


kit.main("litellm", "openai")
