"""OpenAI's own client for Python: chats, streams, `parse`, tools, responses, embeddings."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import kit
import openai
from kit import ASK, MESSAGES, MODEL, TOKENS, TOOL, Pick, cell

client = openai.OpenAI(base_url=f"{kit.STARTER}/v1", api_key=kit.KEY, max_retries=0, timeout=300)
scripted = openai.OpenAI(base_url=f"{kit.SCRIPTED}/v1", api_key=kit.KEY, max_retries=0, timeout=300)
ask: dict[str, Any] = {"model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": TOKENS}
respond: dict[str, Any] = {"model": MODEL, "input": ASK, "temperature": 0, "max_output_tokens": TOKENS}
RESPONSES_TOOL = {"type": "function", **TOOL["function"], "strict": True}


def counted(usage: Any) -> dict[str, Any]:
    return kit.usage(usage.prompt_tokens, usage.completion_tokens)


def counted_response(usage: Any) -> dict[str, Any]:
    return kit.usage(usage.input_tokens, usage.output_tokens)


@cell("chat:create")
def _() -> Any:
    answer = client.chat.completions.create(**ask)
    return {"text": answer.choices[0].message.content, **counted(answer.usage)}


@cell("chat:explicit nulls")
def _() -> Any:
    names = (
        "frequency_penalty logit_bias logprobs n parallel_tool_calls presence_penalty response_format seed stop stream"
    )
    answer = client.chat.completions.create(**ask, **dict.fromkeys(names.split()))
    return {"text": answer.choices[0].message.content, **counted(answer.usage)}


@cell("chat:async, four at a time")
def _() -> Any:
    async def together() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{kit.STARTER}/v1", api_key=kit.KEY, max_retries=0) as several:
            return await asyncio.gather(*(several.chat.completions.create(**ask) for _ in range(4)))

    first, *others = asyncio.run(together())
    assert all(other.choices[0].message.content == first.choices[0].message.content for other in others)
    return {"text": first.choices[0].message.content, **counted(first.usage)}


@cell("chat:responses")
def _() -> Any:
    answer = client.responses.create(**respond)
    return {"text": answer.output_text, **counted_response(answer.usage)}


@cell("stream:create")
def _() -> Any:
    chunks = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    return {"pieces": pieces, **counted(chunks[-1].usage)}


@cell("stream:events")
def _() -> Any:
    with client.chat.completions.stream(**ask) as stream:
        pieces = [event.delta for event in stream if event.type == "content.delta"]
        assert stream.get_final_completion().choices[0].message.content == "".join(pieces)
    return {"pieces": pieces}


@cell("stream:responses")
def _() -> Any:
    with client.responses.stream(**respond) as stream:
        pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert final.output_text == "".join(pieces)
    return {"pieces": pieces, **counted_response(final.usage)}


@cell("structured:parse")
def _() -> Any:
    return kit.picked(client.chat.completions.parse(**ask, response_format=Pick).choices[0].message.parsed)


@cell("structured:stream")
def _() -> Any:
    with client.chat.completions.stream(**ask, response_format=Pick) as stream:
        return kit.picked(stream.get_final_completion().choices[0].message.parsed)


@cell("structured:responses.parse")
def _() -> Any:
    return kit.picked(client.responses.parse(**respond, text_format=Pick).output_parsed)


def conversation(question: str, **more: Any) -> dict[str, Any]:
    """Ask, call the tool if the model asks for it, ask again."""
    messages: list[Any] = [{"role": "user", "content": question}]
    given = {"model": MODEL, "tools": [TOOL], "tool_choice": "auto", "temperature": 0, "max_tokens": 60, **more}
    while True:
        (choice,) = scripted.chat.completions.create(messages=messages, **given).choices
        if choice.finish_reason != "tool_calls":
            return kit.executed(choice.message.content)
        messages.append(choice.message)
        for call in choice.message.tool_calls:
            assert call.function.name == "clock"
            result = kit.clock(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


@cell("auto:create")
def _() -> Any:
    return conversation(kit.TIME)


@cell("auto:no tool is needed")
def _() -> Any:
    return conversation(kit.HELLO)


@cell("auto:stream")
def _() -> Any:
    given = {"model": MODEL, "tools": [TOOL], "messages": [{"role": "user", "content": kit.TIME}]}
    with scripted.chat.completions.stream(**given) as stream:
        message = stream.get_final_completion().choices[0].message
    return kit.calls(*((call.function.name, call.function.arguments) for call in message.tool_calls))


@cell("auto:responses")
def _() -> Any:
    items: list[Any] = [{"role": "user", "content": kit.TIME}]
    while True:
        answer = scripted.responses.create(model=MODEL, input=items, tools=[RESPONSES_TOOL], store=False)
        wanted = [item for item in answer.output if item.type == "function_call"]
        if not wanted:
            return kit.executed(answer.output_text)
        for call in wanted:
            result = kit.clock(**json.loads(call.arguments))
            items += [call, {"type": "function_call_output", "call_id": call.call_id, "output": result}]


@cell("auto:with an output type")
def _() -> Any:
    given = {"model": MODEL, "tools": [openai.pydantic_function_tool(kit.Clock, name="clock")], "response_format": Pick}
    first = scripted.chat.completions.parse(messages=[{"role": "user", "content": kit.TIME}], **given)
    (call,) = first.choices[0].message.tool_calls
    second = scripted.chat.completions.parse(messages=[{"role": "user", "content": kit.HELLO}], **given)
    return {**kit.calls(("clock", call.function.arguments)), **kit.picked(second.choices[0].message.parsed)}


@cell("required:create")
def _() -> Any:
    (choice,) = client.chat.completions.create(**ask, tools=[TOOL], tool_choice="required").choices
    assert choice.finish_reason == "tool_calls"
    return kit.calls(*((call.function.name, call.function.arguments) for call in choice.message.tool_calls))


@cell("required:a named function")
def _() -> Any:
    choice = {"type": "function", "function": {"name": "clock"}}
    (made,) = client.chat.completions.create(**ask, tools=[TOOL], tool_choice=choice).choices
    return kit.calls(*((call.function.name, call.function.arguments) for call in made.message.tool_calls))


@cell("required:stream")
def _() -> Any:
    with client.chat.completions.stream(**ask, tools=[TOOL], tool_choice="required") as stream:
        message = stream.get_final_completion().choices[0].message
    return kit.calls(*((call.function.name, call.function.arguments) for call in message.tool_calls))


@cell("required:responses")
def _() -> Any:
    answer = client.responses.create(**respond, tools=[RESPONSES_TOOL], tool_choice="required")
    return kit.calls(*((item.name, item.arguments) for item in answer.output if item.type == "function_call"))


@cell("embeddings:create", needs=kit.EMBEDDING)
def _() -> Any:
    with openai.OpenAI(base_url=f"{kit.EMBEDDING}/v1", api_key=kit.KEY) as embedding:
        answer = embedding.embeddings.create(model=kit.EMBEDDING_MODEL or "", input=kit.TEXTS)
    return {"vectors": [item.embedding for item in answer.data]}


kit.main("openai")
