"""The worker for embedding models, which pool a text's tokens into one vector.

In: frames with a text each. Out: frames with a unit vector and a token count.
Not here: sampling, sequences, prefixes.

Texts are computed alone, one at a time, so a vector depends on nothing but its text.
"""

from __future__ import annotations

import ctypes
import queue
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import llama_cpp as llama
import numpy as np

from service.engine.local import recipe
from service.engine.local.context import device_list, log_errors
from service.engine.local.devices import Device, last_error
from service.engine.local.protocol import refusal_frame
from service.errors import ModelError, PromptTooLong, RequestError, SameboatError

Send = Callable[[dict[str, Any]], None]


class Embedder:
    """A loaded model that gives vectors. Every call happens on the one thread that made it."""

    def __init__(
        self, path: Path, *, n_ctx: int, threads: int, gpu_layers: int = 0, devices: Sequence[Device] = ()
    ) -> None:
        llama.llama_backend_init()
        parameters = llama.llama_model_default_params()
        recipe.apply(recipe.model(gpu_layers), parameters)
        self._handles = device_list(devices)
        parameters.devices = ctypes.addressof(self._handles)
        self._model = llama.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise ModelError(f"llama.cpp cannot load {path}{last_error()}.", key="model")
        params = llama.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = n_ctx  # an encoder sees its whole text at once
        params.n_threads = params.n_threads_batch = threads
        params.embeddings = True
        params.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._context = llama.llama_init_from_model(self._model, params)
        if not self._context:
            raise ModelError(f"llama.cpp cannot make a context of {n_ctx} tokens.", key="SAMEBOAT_CONTEXT")
        self._vocab = llama.llama_model_get_vocab(self._model)
        self._encodes = bool(llama.llama_model_has_encoder(self._model)) or not llama.llama_get_memory(self._context)
        self._batch = llama.llama_batch_init(n_ctx, 0, 1)
        self.n_ctx = n_ctx
        self.size = int(llama.llama_model_n_embd(self._model))

    def embed(self, text: str) -> tuple[list[float], int]:
        """The unit vector of a text, and the number of its tokens.

        Raises:
            PromptTooLong: if the text has more tokens than the context.
            ModelError: if llama.cpp does not compute it.
        """
        tokens = self._tokenize(text)
        if len(tokens) > self.n_ctx:
            raise PromptTooLong(
                f"A text has {len(tokens)} tokens, and the model takes {self.n_ctx}.",
                limit=self.n_ctx,
                count=len(tokens),
            )
        batch = self._batch
        batch.n_tokens = len(tokens)
        for at, token in enumerate(tokens):
            batch.token[at], batch.pos[at], batch.n_seq_id[at], batch.logits[at] = token, at, 1, True
            batch.seq_id[at][0] = 0
        memory = llama.llama_get_memory(self._context)
        if memory:
            llama.llama_memory_clear(memory, True)
        run = llama.llama_encode if self._encodes else llama.llama_decode
        code = run(self._context, batch)
        pooled = llama.llama_get_embeddings_seq(self._context, 0) if code == 0 else None
        if not pooled:
            raise ModelError(f"llama.cpp gave no embedding of {len(tokens)} tokens (code {code}).")
        vector = np.ctypeslib.as_array(pooled, shape=(self.size,)).astype(np.float64)
        norm = float(np.linalg.norm(vector)) or 1.0
        return [float(value) for value in vector / norm], len(tokens)

    def _tokenize(self, text: str) -> list[int]:
        """Token ids of a text with the tokens that the model wants around it. Control tokens in the text are plain
        text.
        """
        data = text.encode("utf-8", errors="replace")
        size = len(data) + 8
        buffer = (llama.llama_token * size)()
        count = llama.llama_tokenize(self._vocab, data, len(data), buffer, size, True, False)
        if count < 0:
            raise ModelError(f"llama.cpp needs {-count} tokens for {len(data)} bytes.")
        return list(buffer[:count])


def serve(
    load: Mapping[str, Any],
    devices: Sequence[Device],
    inbox: queue.SimpleQueue[dict[str, Any]],
    send: Send,
    mark: Callable[..., None],
) -> None:
    """Load the model and answer `embed` messages. Texts of cancelled requests are skipped. An error ends one
    request.
    """
    llama.llama_log_set(log_errors, ctypes.c_void_p(0))
    send({"op": "loading", "progress": 0.0})
    try:
        embedder = Embedder(
            Path(load["path"]),
            n_ctx=load["n_ctx"],
            threads=load["threads"],
            gpu_layers=load["gpu_layers"],
            devices=devices,
        )
    except SameboatError as error:
        send({"op": "failed", "reason": str(error)})
        return
    send({"op": "ready", "n_ctx": embedder.n_ctx, "slots": 1})
    counters = dict.fromkeys(("embeddings", "prompt_tokens", "prompt_seconds", "sequences_cancelled"), 0.0)
    left: set[int] = set()
    waiting: list[dict[str, Any]] = []
    while True:
        mark(busy=False)
        while not waiting or not inbox.empty():
            message = inbox.get()
            if message["op"] == "cancel":
                left.add(message["id"])
                counters["sequences_cancelled"] += 1
            elif message["op"] == "embed":
                waiting.append(message)
            waiting = [request for request in waiting if request["id"] not in left]
        left.clear()
        message = waiting.pop(0)
        mark(busy=True)
        began = time.perf_counter()
        try:
            vector, tokens = embedder.embed(message["text"])
        except RequestError as error:
            send({"id": message["id"], **refusal_frame(error)})
            continue
        except Exception as error:  # noqa: BLE001
            send({"op": "broken", "id": message["id"], "trace": "".join(traceback.format_exception(error))})
            continue
        counters["embeddings"] += 1
        counters["prompt_tokens"] += tokens
        counters["prompt_seconds"] += time.perf_counter() - began
        send({"op": "stats", "numbers": counters})
        send({"op": "embedded", "id": message["id"], "vector": vector, "tokens": tokens})
