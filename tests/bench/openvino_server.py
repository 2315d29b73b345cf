"""The smallest HTTP side for OpenVINO GenAI's continuous batching, run by OpenVINO's Python: FILE PORT SEQUENCES.

In: a GGUF file. Out: `/v1/completions`, `/v1/chat/completions` and `/v1/models` for the requests of the bench.
Not here: the parts of a server that only people need.

Its package has no server, and OpenVINO's own is not a Python package. One thread computes steps, and after each step
hands the new tokens to the event loop, so the HTTP side costs as little as Python allows.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

genai: Any = import_module("openvino_genai")
fastapi: Any = import_module("fastapi")
responses: Any = import_module("fastapi.responses")
uvicorn: Any = import_module("uvicorn")


class Pipeline:
    """One thread that computes, and a queue of token ids for each request."""

    def __init__(self, file: str, sequences: int) -> None:
        scheduler = genai.SchedulerConfig()
        scheduler.max_num_seqs = sequences
        scheduler.enable_prefix_caching = True
        scheduler.cache_size = 1  # GB
        self._pipeline = genai.ContinuousBatchingPipeline(file, scheduler, "CPU", {}, {})
        self.tokenizer = self._pipeline.get_tokenizer()
        self._ids = itertools.count()
        self._running: dict[int, tuple[Any, Any]] = {}
        self._work = threading.Event()
        threading.Thread(target=self._compute, daemon=True).start()

    def ask(self, prompt: str, config: Any, give: Any) -> None:
        """Compute an answer. `give` gets lists of token ids, and None at the end."""
        number = next(self._ids)
        self._running[number] = self._pipeline.add_request(number, prompt, config), give
        self._work.set()

    def _compute(self) -> None:
        while True:
            self._work.wait()
            self._work.clear()
            while self._pipeline.has_non_finished_requests():
                self._pipeline.step()
                for number, (handle, give) in list(self._running.items()):
                    while handle.can_read():
                        for output in handle.read().values():
                            give(list(output.generated_ids))
                    if handle.get_status() != genai.GenerationStatus.RUNNING:
                        del self._running[number]
                        give(None)


def config_of(body: dict[str, Any]) -> Any:
    """Greedy, with the schema or the choices if the request has them."""
    config = genai.GenerationConfig()
    config.max_new_tokens = body["max_tokens"]
    config.apply_chat_template = False
    wanted = body.get("structured_outputs")
    if wanted:
        schema = wanted.get("json") or {"type": "string", "enum": wanted["choice"]}
        config.structured_output_config = genai.StructuredOutputConfig(json_schema=json.dumps(schema))
    return config


def app_of(pipeline: Pipeline) -> Any:
    """The three routes."""
    app = fastapi.FastAPI()

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"data": []}

    async def answer(body: dict[str, Any], prompt: str, field: Any) -> Any:
        tokens: asyncio.Queue[list[int] | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        pipeline.ask(prompt, config_of(body), lambda ids: loop.call_soon_threadsafe(tokens.put_nowait, ids))

        async def pieces() -> AsyncIterator[list[int]]:
            while (ids := await tokens.get()) is not None:
                yield ids

        if not body.get("stream"):
            made = [number async for ids in pieces() for number in ids]
            text = pipeline.tokenizer.decode(made)
            return {"choices": [field(text, "message")], "usage": {"completion_tokens": len(made)}}

        async def events() -> AsyncIterator[str]:
            count = 0
            async for ids in pieces():
                count += len(ids)
                yield f"data: {json.dumps({'choices': [field(pipeline.tokenizer.decode(ids), 'delta')]})}\n\n"
            yield f"data: {json.dumps({'choices': [], 'usage': {'completion_tokens': count}})}\n\ndata: [DONE]\n\n"

        return responses.StreamingResponse(events(), media_type="text/event-stream")

    @app.post("/v1/completions")
    async def completions(body: dict[str, Any]) -> Any:
        return await answer(body, body["prompt"], lambda text, _name: {"text": text})

    @app.post("/v1/chat/completions")
    async def chat(body: dict[str, Any]) -> Any:
        prompt = pipeline.tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True)
        return await answer(body, prompt, lambda text, name: {name: {"role": "assistant", "content": text}})

    return app


def main(file: str, port: str, sequences: str) -> None:
    """Serve until a signal."""
    uvicorn.run(app_of(Pipeline(file, int(sequences))), host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main(*sys.argv[1:])
