"""pydantic-ai: text, tools, and an output type by tool, native and prompted."""

from __future__ import annotations

import asyncio
from typing import Any

import kit
from kit import ASK, MODEL, TOKENS, Pick, cell
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.usage import UsageLimits


def model(url: str) -> OpenAIChatModel:
    return OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=f"{url}/v1", api_key=kit.KEY))


def run(agent: Agent[Any, Any], question: str = ASK, tokens: int = 2 * TOKENS) -> Any:
    settings = {"temperature": 0.0, "max_tokens": tokens}
    return agent.run_sync(question, model_settings=settings, usage_limits=UsageLimits(request_limit=4))


STARTER, SCRIPTED = model(kit.STARTER), model(kit.SCRIPTED)


@cell("chat:run")
def _() -> Any:
    result = run(Agent(STARTER), tokens=TOKENS)
    spent = result.usage() if callable(result.usage) else result.usage
    return {"text": result.output, **kit.usage(spent.input_tokens, spent.output_tokens)}


@cell("chat:responses")
def _() -> Any:
    provider = OpenAIProvider(base_url=f"{kit.STARTER}/v1", api_key=kit.KEY)
    return {"text": run(Agent(OpenAIResponsesModel(MODEL, provider=provider)), tokens=TOKENS).output}


@cell("stream:run_stream")
def _() -> Any:
    async def streamed() -> list[str]:
        settings = {"temperature": 0.0, "max_tokens": TOKENS}
        async with Agent(STARTER).run_stream(ASK, model_settings=settings) as result:
            return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]

    return {"pieces": asyncio.run(streamed())}


@cell("structured:NativeOutput")
def _() -> Any:
    return kit.picked(run(Agent(STARTER, output_type=NativeOutput(Pick))).output)


@cell("structured:NativeOutput, streamed")
def _() -> Any:
    async def streamed() -> Any:
        async with Agent(STARTER, output_type=NativeOutput(Pick)).run_stream(ASK) as result:
            return [piece async for piece in result.stream_output(debounce_by=None)][-1]

    return kit.picked(asyncio.run(streamed()))


@cell("required:the default output")
def _() -> Any:
    return kit.picked(run(Agent(STARTER, output_type=Pick)).output)


@cell("required:ToolOutput")
def _() -> Any:
    return kit.picked(run(Agent(STARTER, output_type=ToolOutput(Pick))).output)


@cell("auto:a tool")
def _() -> Any:
    return kit.executed(run(Agent(SCRIPTED, tools=[kit.clock]), kit.TIME).output)


@cell("auto:no tool is needed")
def _() -> Any:
    return kit.executed(run(Agent(SCRIPTED, tools=[kit.clock]), kit.HELLO).output)


@cell("auto:with NativeOutput")
def _() -> Any:
    return output_after_call(NativeOutput(Pick))


@cell("auto:with PromptedOutput")
def _() -> Any:
    return output_after_call(PromptedOutput(Pick))


def output_after_call(kind: Any) -> dict[str, Any]:
    result = run(Agent(SCRIPTED, tools=[kit.clock], output_type=kind), kit.TIME)
    parts = [part for message in result.all_messages() if isinstance(message, ModelResponse) for part in message.parts]
    made = [(part.tool_name, part.args) for part in parts if isinstance(part, ToolCallPart)]
    return {**kit.calls(*made), **kit.picked(result.output)}


kit.main("pydantic-ai-slim", "openai")
