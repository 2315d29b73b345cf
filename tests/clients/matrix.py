"""The matrix of clients: each client's program and environment, and its cells by kind.

In: nothing. Out: `CLIENTS`. A cell is one way in which a client does one kind of work, such as `structured:parse`.
Not here: the expectations of a kind (`test_matrix.py`), the clients' code (`programs/`, `node/`).

- chat: a whole answer, with its usage.
- stream: the same answer in pieces.
- structured: an object of the client's own class, by `response_format`.
- auto: tools that the model may call. Also without a need for one, streamed, and together with an output type.
- required: tools of which one must be called. Several clients make their objects that way.
- embeddings: vectors of two texts.
- completion, generation, scores, error: kinds of only some clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

KINDS = ("chat", "stream", "structured", "auto", "required", "embeddings")
Cells = dict[str, list[str]]


@dataclass(frozen=True)
class Client:
    """One client: its name in the docs, its environment, its program, its cells by kind."""

    title: str
    environment: str
    program: str
    cells: Cells
    real: str | None = None  # the cell under `auto` that a real model decides too

    def names(self) -> Iterator[str]:
        """The names of the cells as its program prints them."""
        for kind, ways in self.cells.items():
            yield from (f"{kind}:{way}" for way in ways)


def _for_each(models: list[str], ways: list[str]) -> list[str]:
    return [f"{model}{way}" for model in models for way in ways]


_AI = ["compatible", "openai chat", "responses"]
_AGENTS = ["chat completions", "responses"]
CLIENTS = {
    "openai-python": Client("openai (Python)", "current", "with_openai.py", {
        "chat": ["create", "explicit nulls", "async, four at a time", "responses"],
        "stream": ["create", "events", "responses"],
        "structured": ["parse", "stream", "responses.parse"],
        "auto": ["create", "no tool is needed", "stream", "responses", "with an output type"],
        "required": ["create", "a named function", "stream", "responses"],
        "embeddings": ["create"],
    }, "auto:create"),
    "openai-node": Client("openai (Node)", "node", "openai.mjs", {
        "chat": ["create", "explicit nulls", "responses"],
        "stream": ["create", "responses"],
        "structured": ["parse", "responses.parse"],
        "auto": ["runTools", "runTools, streamed", "no tool is needed"],
        "required": ["create", "streamed"],
        "embeddings": ["create"],
    }, "auto:runTools"),
    "instructor": Client("instructor", "openai-2", "with_instructor.py", {
        "chat": ["without a response model"],
        "stream": ["without a response model"],
        "structured": ["JSON_SCHEMA", "JSON_SCHEMA, partial"],
        "auto": ["PARALLEL_TOOLS"],
        "required": ["default", "TOOLS", "TOOLS_STRICT", "TOOLS, partial"],
    }, "auto:PARALLEL_TOOLS"),
    "pydantic-ai": Client("pydantic-ai", "current", "with_pydantic_ai.py", {
        "chat": ["run", "responses"],
        "stream": ["run_stream"],
        "structured": ["NativeOutput", "NativeOutput, streamed"],
        "auto": ["a tool", "no tool is needed", "with NativeOutput", "with PromptedOutput"],
        "required": ["the default output", "ToolOutput"],
    }, "auto:a tool"),
    "langchain": Client("LangChain", "current", "with_langchain.py", {
        "chat": ["invoke", "batch", "responses"],
        "stream": ["stream"],
        "structured": ["default", "json_schema, strict", "streamed"],
        "auto": ["an agent", "no tool is needed", "streamed", "with ProviderStrategy", "with ToolStrategy"],
        "required": ["function_calling", "any", "by name, one call"],
        "embeddings": ["embed_documents"],
        "completion": ["OpenAI"],
    }, "auto:an agent"),
    "llama-index": Client("LlamaIndex", "openai-2", "with_llama_index.py", {
        "chat": ["chat"],
        "stream": ["stream_chat"],
        "structured": ["native"],
        "auto": ["an agent", "no tool is needed"],
        "required": ["by function", "chat_with_tools"],
        "embeddings": ["get_text_embedding_batch"],
        "completion": ["complete"],
    }, "auto:an agent"),
    "openai-agents": Client("openai-agents", "current", "with_agents.py", {
        "chat": _AGENTS,
        "stream": _AGENTS,
        "structured": _AGENTS,
        "auto": _for_each(_AGENTS, ["", ", no tool is needed", ", streamed", ", with an output type"]),
        "required": _AGENTS,
    }, "auto:responses"),
    "litellm": Client("LiteLLM", "current", "with_litellm.py", {
        "chat": ["completion", "acompletion, four at a time", "hosted_vllm", "responses"],
        "stream": ["completion"],
        "structured": ["response_format"],
        "auto": ["completion", "no tool is needed"],
        "required": ["completion", "streamed"],
        "embeddings": ["embedding"],
        "completion": ["text_completion"],
        "error": ["a prompt that is too long"],
    }, "auto:completion"),
    "llm": Client("llm", "current", "with_llm.py", {
        "chat": ["--no-stream", "prompt"],
        "stream": ["prompt"],
        "structured": ["--schema", "prompt"],
        "auto": ["chain", "no tool is needed", "--functions"],
    }, "auto:chain"),
    "ai-sdk": Client("AI SDK", "node", "ai_sdk.mjs", {
        "chat": _AI,
        "stream": _AI,
        "structured": _for_each(_AI, ["", ", generateObject", ", streamObject"]),
        "auto": _for_each(_AI, ["", ", streamed", ", no tool is needed", ", with an output type"]),
        "required": _for_each(_AI, ["", ", streamed"]),
        "embeddings": ["embedMany"],
    }, "auto:compatible"),
    "lm-eval": Client("lm-evaluation-harness", "current", "with_lm_eval.py", {
        "scores": ["local-completions"],
        "generation": ["local-completions", "local-chat-completions"],
    }),
}  # fmt: skip
