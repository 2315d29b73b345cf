"""LangChain: ChatOpenAI, structured output by three methods, tools, agents, embeddings."""

from __future__ import annotations

from typing import Any

import kit
from kit import ASK, MODEL, TOKENS, Pick, cell
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

clock = tool(kit.clock)


def chat(url: str, tokens: int = 2 * TOKENS, **more: Any) -> ChatOpenAI:
    given = {"temperature": 0, "max_retries": 0, "timeout": 300, "max_tokens": tokens, **more}
    return ChatOpenAI(model=MODEL, base_url=f"{url}/v1", api_key=kit.KEY, **given)


STARTER, SCRIPTED = chat(kit.STARTER), chat(kit.SCRIPTED)


def counted(message: Any) -> dict[str, Any]:
    return kit.usage(message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"])


@cell("chat:invoke")
def _() -> Any:
    message = chat(kit.STARTER, TOKENS).invoke(ASK)
    return {"text": message.content, **counted(message)}


@cell("chat:batch")
def _() -> Any:
    first, second = chat(kit.STARTER, TOKENS).batch([ASK, ASK])
    assert first.content == second.content
    return {"text": first.content, **counted(first)}


@cell("chat:responses")
def _() -> Any:
    message = chat(kit.STARTER, TOKENS, use_responses_api=True).invoke(ASK)
    return {"text": message.text if isinstance(message.text, str) else message.text(), **counted(message)}


@cell("stream:stream")
def _() -> Any:
    chunks = list(chat(kit.STARTER, TOKENS, stream_usage=True).stream(ASK))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return {"pieces": [chunk.content for chunk in chunks], **counted(whole)}


@cell("structured:default")
def _() -> Any:
    return kit.picked(STARTER.with_structured_output(Pick).invoke(ASK))


@cell("structured:json_schema, strict")
def _() -> Any:
    return kit.picked(STARTER.with_structured_output(Pick, method="json_schema", strict=True).invoke(ASK))


@cell("structured:streamed")
def _() -> Any:
    return kit.picked(list(STARTER.with_structured_output(Pick, method="json_schema").stream(ASK))[-1])


@cell("required:function_calling")
def _() -> Any:
    return kit.picked(STARTER.with_structured_output(Pick, method="function_calling").invoke(ASK))


@cell("required:any")
def _() -> Any:
    return tool_calls(STARTER.bind_tools([clock], tool_choice="any"))


@cell("required:by name, one call")
def _() -> Any:
    return tool_calls(STARTER.bind_tools([clock], tool_choice="clock", parallel_tool_calls=False))


def tool_calls(bound: Any) -> dict[str, Any]:
    return kit.calls(*((call["name"], call["args"]) for call in bound.invoke(ASK).tool_calls))


def agent(question: str, **more: Any) -> dict[str, Any]:
    given = {"messages": [("user", question)]}
    return create_agent(SCRIPTED, tools=[clock], **more).invoke(given, {"recursion_limit": 8})  # type: ignore[no-any-return]


@cell("auto:an agent")
def _() -> Any:
    return kit.executed(agent(kit.TIME)["messages"][-1].content)


@cell("auto:no tool is needed")
def _() -> Any:
    return kit.executed(agent(kit.HELLO)["messages"][-1].content)


@cell("auto:streamed")
def _() -> Any:
    chunks = list(SCRIPTED.bind_tools([clock]).stream(kit.TIME))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return kit.calls(*((call["name"], call["args"]) for call in whole.tool_calls))


@cell("auto:with ProviderStrategy")
def _() -> Any:
    return output_after_call(ProviderStrategy(Pick))


@cell("auto:with ToolStrategy")
def _() -> Any:
    return output_after_call(ToolStrategy(Pick))


def output_after_call(strategy: Any) -> dict[str, Any]:
    state = agent(kit.TIME, response_format=strategy)
    made = [call for message in state["messages"] for call in getattr(message, "tool_calls", ())]
    return {
        **kit.calls(*((call["name"], call["args"]) for call in made if call["name"] == "clock")),
        **kit.picked(state["structured_response"]),
    }


@cell("completion:OpenAI")
def _() -> Any:
    whole = OpenAI(model=MODEL, base_url=f"{kit.STARTER}/v1", api_key=kit.KEY, temperature=0, max_tokens=8)
    text = whole.invoke("One, two,")
    assert text == "".join(whole.stream("One, two,"))
    return {"completion": text}


@cell("embeddings:embed_documents", needs=kit.EMBEDDING)
def _() -> Any:
    # LangChain gives token ids unless it is told not to, and those of OpenAI's own vocabularies.
    url, model = f"{kit.EMBEDDING}/v1", kit.EMBEDDING_MODEL or ""
    made = OpenAIEmbeddings(model=model, base_url=url, api_key=kit.KEY, check_embedding_ctx_length=False)
    return {"vectors": made.embed_documents(kit.TEXTS)}


kit.main("langchain", "langchain-openai", "openai")
