"""LlamaIndex: OpenAILike as chat and completion, structured output by three ways, a function agent, embeddings."""

from __future__ import annotations

import asyncio
from typing import Any

import kit
from kit import ASK, MODEL, TOKENS, Pick, cell
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai_like import OpenAILike

clock = FunctionTool.from_defaults(kit.clock)


def llm(url: str, tokens: int = 2 * TOKENS, **more: Any) -> OpenAILike:
    given = {
        "is_chat_model": True, "context_window": 2048, "max_tokens": tokens, "temperature": 0, "max_retries": 0,
        "timeout": 300, **more,
    }  # fmt: skip
    return OpenAILike(model=MODEL, api_base=f"{url}/v1", api_key=kit.KEY, **given)


def question(text: str = ASK) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=text)]


@cell("chat:chat")
def _() -> Any:
    answer = llm(kit.STARTER, TOKENS).chat(question())
    used = answer.raw.usage
    return {"text": answer.message.content, **kit.usage(used.prompt_tokens, used.completion_tokens)}


@cell("completion:complete")
def _() -> Any:
    return {"completion": llm(kit.STARTER, 8, is_chat_model=False).complete("One, two,").text}


@cell("stream:stream_chat")
def _() -> Any:
    return {"pieces": [answer.delta or "" for answer in llm(kit.STARTER, TOKENS).stream_chat(question())]}


@cell("structured:native")
def _() -> Any:
    return kit.picked(llm(kit.STARTER, should_use_structured_outputs=True).as_structured_llm(Pick).complete(ASK).raw)


@cell("required:by function")
def _() -> Any:
    return kit.picked(llm(kit.STARTER, is_function_calling_model=True).as_structured_llm(Pick).complete(ASK).raw)


@cell("required:chat_with_tools")
def _() -> Any:
    model = llm(kit.STARTER, is_function_calling_model=True)
    answer = model.chat_with_tools([clock], user_msg=ASK, tool_required=True)
    made = model.get_tool_calls_from_response(answer)
    return kit.calls(*((call.tool_name, call.tool_kwargs) for call in made))


def agent(text: str) -> dict[str, Any]:
    """The agent streams its answers."""

    async def run() -> str:
        model = llm(kit.SCRIPTED, is_function_calling_model=True)
        return str(await FunctionAgent(tools=[clock], llm=model).run(text))

    return kit.executed(asyncio.run(run()))


@cell("auto:an agent")
def _() -> Any:
    return agent(kit.TIME)


@cell("auto:no tool is needed")
def _() -> Any:
    return agent(kit.HELLO)


@cell("embeddings:get_text_embedding_batch", needs=kit.EMBEDDING)
def _() -> Any:
    made = OpenAILikeEmbedding(model_name=kit.EMBEDDING_MODEL or "", api_base=f"{kit.EMBEDDING}/v1", api_key=kit.KEY)
    return {"vectors": made.get_text_embedding_batch(kit.TEXTS)}


kit.main("llama-index-llms-openai-like", "llama-index-core", "openai")
