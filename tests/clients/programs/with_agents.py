"""openai-agents: runs and streams on /v1/responses, its default, and on chat completions."""

from __future__ import annotations

import asyncio
from typing import Any

import kit
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from agents.items import ToolCallItem
from kit import ASK, MODEL, TOKENS, Pick, cell
from openai import AsyncOpenAI

set_tracing_disabled(True)
clock = function_tool(kit.clock)
KINDS = {"chat completions": OpenAIChatCompletionsModel, "responses": OpenAIResponsesModel}


def agent(kind: str, url: str, tokens: int = 2 * TOKENS, choice: str | None = None, **more: Any) -> Agent[None]:
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key=kit.KEY, max_retries=0, timeout=300)
    settings = ModelSettings(temperature=0, max_tokens=tokens, tool_choice=choice)
    return Agent(name="a", model=KINDS[kind](model=MODEL, openai_client=client), model_settings=settings, **more)


def add(kind: str) -> None:
    @cell(f"chat:{kind}")
    def _() -> Any:
        result = Runner.run_sync(agent(kind, kit.STARTER, TOKENS), ASK)
        used = result.context_wrapper.usage
        return {"text": result.final_output, **kit.usage(used.input_tokens, used.output_tokens)}

    @cell(f"stream:{kind}")
    def _() -> Any:
        async def streamed() -> list[str]:
            result = Runner.run_streamed(agent(kind, kit.STARTER, TOKENS), ASK)
            raw = [event.data async for event in result.stream_events() if event.type == "raw_response_event"]
            pieces = [event.delta for event in raw if event.type == "response.output_text.delta"]
            assert result.final_output == "".join(pieces)
            return pieces

        return {"pieces": asyncio.run(streamed())}

    @cell(f"structured:{kind}")
    def _() -> Any:
        return kit.picked(Runner.run_sync(agent(kind, kit.STARTER, output_type=Pick), ASK).final_output)

    @cell(f"auto:{kind}")
    def _() -> Any:
        return kit.executed(Runner.run_sync(agent(kind, kit.SCRIPTED, tools=[clock]), kit.TIME).final_output)

    @cell(f"auto:{kind}, no tool is needed")
    def _() -> Any:
        return kit.executed(Runner.run_sync(agent(kind, kit.SCRIPTED, tools=[clock]), kit.HELLO).final_output)

    @cell(f"auto:{kind}, streamed")
    def _() -> Any:
        async def streamed() -> str:
            result = Runner.run_streamed(agent(kind, kit.SCRIPTED, tools=[clock]), kit.TIME)
            async for _ in result.stream_events():
                pass
            return str(result.final_output)

        return kit.executed(asyncio.run(streamed()))

    @cell(f"auto:{kind}, with an output type")
    def _() -> Any:
        result = Runner.run_sync(agent(kind, kit.SCRIPTED, tools=[clock], output_type=Pick), kit.TIME)
        raw = [item.raw_item for item in result.new_items if isinstance(item, ToolCallItem)]
        return {**kit.calls(*((call.name, call.arguments) for call in raw)), **kit.picked(result.final_output)}

    @cell(f"required:{kind}")
    def _() -> Any:
        made = agent(kind, kit.STARTER, choice="required", tools=[clock], tool_use_behavior="stop_on_first_tool")
        result = Runner.run_sync(made, ASK)
        raw = [item.raw_item for item in result.new_items if isinstance(item, ToolCallItem)]
        return kit.calls(*((call.name, call.arguments) for call in raw))


for name in KINDS:
    add(name)
kit.main("openai-agents", "openai")
