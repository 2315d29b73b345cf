"""The local engine as the service holds it: a queue, a worker process, and the running requests.

In: `Request`. Out: chunks and one `Answer`.
Not here: llama_cpp, which is never imported in this process. The worker's life (`supervisor`). The order of the queue
(`engine.queue`).

When the worker is replaced, running requests fail with EngineUnavailable and waiting ones stay. A cancelled or expired
request leaves the queue at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from service import resources
from service.engine.local import watchdog
from service.engine.local.answer_cache import AnswerCache
from service.engine.local.core_budget import CoreBudget
from service.engine.local.idle_timer import IdleTimer
from service.engine.local.kernels import PORTABLE
from service.engine.local.limits import check_request, check_text, check_tokens, is_heavy
from service.engine.local.model import LocalModel
from service.engine.local.pending import PendingRequest, broken
from service.engine.local.process import WorkerProcess
from service.engine.local.protocol import MAX_FRAME_BYTES, FrameTooLarge, Segments, refusal_error
from service.engine.local.submission import (
    BYTES_PER_TOKEN,
    build_submission,
    estimated_tokens,
    prompt_segments,
    wire_prompt,
)
from service.engine.local.supervisor import Supervisor
from service.engine.local.wait_estimate import USUAL_ANSWER, wait_s
from service.engine.queue import RequestQueue
from service.engine.streams import answer_of
from service.engine.types import Answer, Chunk, Detokenized, Embeddings, Health, Mode, Request, TokenizerInfo
from service.errors import EngineBusy, EngineUnavailable, NotSupported, RequestError, SameboatError, SchemaUnsupported
from service.models.catalog import Model
from service.settings import Settings

log = logging.getLogger("sameboat.engine")

MAX_SPACED_CHARS = 1 << 20  # of a text to embed that may be mostly white space


class LocalEngine(LocalModel):
    """llama.cpp in a process of its own. See `service.engine.types.Engine` for the contract."""

    def __init__(
        self,
        model: Model,
        settings: Settings,
        *,
        other_engines_bytes: Callable[[], int] = lambda: 0,
        force: bool = True,
        kernels: Sequence[str] = (PORTABLE,),
    ) -> None:
        super().__init__(model, settings, force=force, kernels=kernels)
        self._other_engines_bytes = other_engines_bytes  # bytes that other engines of this process take
        self._supervisor = Supervisor(model.name, self, self._begin, self._step_s)
        self._queue: RequestQueue[PendingRequest] = RequestQueue(
            requests=settings.queue_requests, tokens=settings.queue_tokens
        )
        self._running: dict[int, PendingRequest] = {}
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}  # counts and embeddings, by id
        self._next = 0
        self._idle = IdleTimer(settings.unload_idle_s, busy=self._busy, expired=self._unload)
        self._warm: list[list[Segments]] = []  # prefixes to warm up, again after each restart
        self._answers = AnswerCache(settings.answer_cache_size)
        self._worker: dict[str, float] = {}
        self._counters = dict.fromkeys(
            ("requests", "answers", "reused", "rejected", "cancelled", "failed", "completion_tokens", "reused_tokens"),
            0.0,
        )
        self.on_latency: Callable[[str, float], None] = lambda name, seconds: None
        """See `ReportsLatency`."""
        self.cores = CoreBudget(resources.threads(settings)[0])
        """Shared by all engines of a process, see `use_cores`."""

    # --- properties ---

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        process = self._supervisor.process
        return process.pid if process is not None else None

    def for_mode(self, mode: Mode) -> LocalEngine:
        """This one. It computes both modes, with the same kernels."""
        return self

    def loaded_bytes(self) -> int:
        """The estimated memory in bytes while the model is loaded or loading, else 0."""
        return self.memory_bytes() if self.health().state in ("loading", "ready", "stalled") else 0

    def mapped_bytes(self) -> int:
        """Bytes of the worker's resident memory that another worker of the same file may share."""
        process = self._supervisor.process
        return process.mapped_bytes() if process is not None else 0

    def health(self) -> Health:
        """Where it is."""
        return self._supervisor.health

    def stats(self) -> Mapping[str, float]:
        """Counters and gauges, the worker's among them."""
        process = self._supervisor.process
        return {
            **self._counters,
            **self._worker,
            "queue_requests": float(len(self._queue)),
            "queue_tokens": float(self._queue.tokens),
            "queue_wait_s": self._wait_s(),
            "running": float(len(self._running)),
            "kept_answers": float(len(self._answers)),
            "kept_answer_bytes": float(self._answers.size_bytes),
            "restarts": float(self.health().restarts),
            "worker_rss_bytes": float(process.rss_bytes()) if process is not None else 0.0,
        }

    # --- life ---

    def preload(self, process: WorkerProcess, path: Path) -> None:
        """Have `process` load the file at `path`, which was verified just now. For the time before there is an event
        loop.

        An error is left to `start`, which finds and reports it.
        """
        try:
            self.check_fit(other_engines_bytes=self._other_engines_bytes())
            message = self.load_message(path, other_engines_bytes=self._other_engines_bytes())
        except SameboatError:
            process.discard()
            return
        if process.kernels != self.kernels:
            process.discard()
            return
        process.send(message)
        self._supervisor.preloaded = process

    async def start(self) -> None:
        """Begin loading, once. A stopped engine stays stopped."""
        await self._supervisor.start()

    def keep_loaded(self) -> None:
        """Stay loaded when nobody asks."""
        self._idle.cancel()

    async def ready(self) -> None:
        """Wait until it answers, or raise EngineUnavailable with why it never will."""
        await self._supervisor.ready()

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests, wait up to `grace_s` for the admitted ones, then end the worker."""
        self._idle.cancel()
        await self._supervisor.stop(grace_s, busy=lambda: bool(self._queue or self._running))

    def _busy(self) -> bool:
        return bool(self._queue or self._running or self._asked)

    async def _unload(self) -> None:
        """Give the memory back. The next request loads the model again."""
        reason = f"not loaded: nobody asked for {self._settings.unload_idle_s:g} s"
        await self._supervisor.unload(reason, busy=self._busy)

    async def _begin(self) -> WorkerProcess:
        """A worker that loads. Raises SameboatError, OSError."""
        path = await asyncio.to_thread(self._cache.require, self.model)
        await asyncio.to_thread(lambda: self.template)  # compiling a long one takes a second
        self.check_fit(other_engines_bytes=self._other_engines_bytes())
        message = self.load_message(path, other_engines_bytes=self._other_engines_bytes())
        process = WorkerProcess(threads=self.threads[0], kernels=self.kernels)
        process.send(message)
        return process

    def _step_s(self) -> float:
        return watchdog.TEXT_S if self.metadata.pools else watchdog.STEP_S

    def _send(self, message: Mapping[str, Any]) -> None:
        """One message to the worker. Raises RequestError for one that is larger than a frame may be."""
        try:
            self._supervisor.send(message)
        except FrameTooLarge as error:
            raise RequestError(
                f"This request takes {error.size} bytes on its way to the engine, and at most {MAX_FRAME_BYTES} fit.",
                remedy="Make the prompt, the schema or the tools smaller.",
            ) from None

    def use_cores(self, cores: CoreBudget) -> None:
        """Share these cores with other engines. Before `start`."""
        self.cores = cores

    def _share(self, threads: int) -> None:
        self._send({"op": "share", "threads": threads})

    # --- messages from the worker ---

    def on_message(self, message: dict[str, Any]) -> None:
        """Handle one message of the worker."""
        kind = message["op"]
        if kind == "ready":
            threads, why = self.threads
            size = f"{message['slots']} x {message['n_ctx']} tokens"
            self._supervisor.mark_ready(
                f"{self.model.name}, {size}, {threads} threads ({why}){self.kernels_sentence()}"
            )
            self._idle.used()
            if self._warm:
                self._send({"op": "warm", "groups": self._warm})
            self._pump()
        elif kind == "recovered":
            self._pump()
        elif kind == "stats":
            self._worker = {name: float(value) for name, value in message["numbers"].items()}
        elif kind == "broken":
            message["log_id"] = log_id = uuid.uuid4().hex[:12]
            log.error("%s broke at a request, %s:\n%s", self.model.name, log_id, message["trace"])
            self._answered(message)
        elif kind != "loading":
            self._answered(message)

    def _answered(self, message: dict[str, Any]) -> None:
        """Pass a message about one request to its waiting coroutine."""
        if message["id"] in self._asked:
            waiting = self._asked[message["id"]]
            if not waiting.done():
                waiting.set_result(message)
        elif (pending := self._running.get(message["id"])) is not None:
            pending.events.put_nowait(message)
            if message["op"] in ("done", "refused", "broken"):
                self._leave(pending)

    def _pump(self) -> None:
        """Send the worker as many queued requests as it has room for."""
        concurrency = self._settings.parallel
        while self._supervisor.accepts_requests:
            turn = self._queue.pop(free=concurrency - len(self._running), concurrency=concurrency)
            if turn is None:
                return
            pending, as_a_person = turn
            self._running[pending.id] = pending
            self.cores.set_computing(self._share, computing=True)
            pending.begun = time.monotonic()
            self.on_latency("queue_s", pending.begun - pending.arrived)
            try:
                self._send({**pending.message, "background": not as_a_person})
            except RequestError as error:
                del self._running[pending.id]
                pending.events.put_nowait(error)

    def _leave(self, pending: PendingRequest) -> None:
        """The pending is over, for whatever reason: its place is free at once."""
        if self._running.pop(pending.id, None) is None:
            self._queue.remove(pending)
        self._pump()
        self.cores.set_computing(self._share, computing=bool(self._running))
        self._idle.used()
        self._supervisor.changed()

    def on_lost(self, error: EngineUnavailable, *, queued: bool) -> None:
        """The worker and its requests are lost. With `queued` no other worker will come, so waiting requests fail
        too.
        """
        lost = list(self._running.values()) + (self._queue.clear() if queued else [])
        self._running.clear()
        self.cores.set_computing(self._share, computing=False)
        for pending in lost:
            self._counters["failed"] += 1
            pending.events.put_nowait(error)
        for waiting in self._asked.values():
            if not waiting.done():
                waiting.set_exception(error)

    # --- answers ---

    async def answer(self, request: Request) -> Answer:
        """The last item of `stream`."""
        return await answer_of(self.stream(request))

    async def stream(self, request: Request) -> AsyncGenerator[Chunk | Answer, None]:
        """Chunks, then the answer. Closing it withdraws the request at once."""
        self._counters["requests"] += 1
        reused = self._answers.get(request)
        if reused is not None:
            self._counters["reused"] += 1
            self._counters["reused_tokens"] += reused.usage.completion
            yield Chunk(reused.text, reused.tokens, reused.logprobs or ())
            yield reused
            return
        pending = await self._admit(request)
        await self.start()  # now that it waits in the queue, so that an idle worker that ends just now is replaced
        try:
            with pending.deadline():
                async with contextlib.aclosing(pending.follow(self.on_latency)) as items:
                    async for item in items:
                        if isinstance(item, Answer):
                            self._counters["answers"] += 1
                            self._counters["completion_tokens"] += len(item.tokens)
                            self._answers.put(request, item)
                        yield item
        except SchemaUnsupported as error:
            from service.engine.local import grammar_fault  # with llguidance, which takes a while

            raise await asyncio.to_thread(grammar_fault.placed, error, request) from None
        finally:
            if pending.id in self._running or pending in self._queue:
                self._counters["cancelled"] += 1
                if pending.id in self._running:
                    self._send({"op": "cancel", "id": pending.id})
                self._leave(pending)

    async def count(self, request: Request) -> int:
        """Prompt tokens, counted by the worker itself. Raises NotSupported for a model that only embeds."""
        return len(await self.tokenize(request))

    async def tokenize(self, request: Request, *, add_special: bool = True) -> tuple[int, ...]:
        """The prompt's token ids, from the worker itself. Raises NotSupported for a model that only embeds."""
        self._check_writes()
        self.check_size(request)
        prompt = await asyncio.to_thread(wire_prompt, self.dated(request), self.template)
        return tuple((await self._ask({"op": "tokenize", "add_special": add_special, **prompt}))["tokens"])

    async def detokenize(self, tokens: tuple[int, ...]) -> Detokenized:
        """The text of these tokens, and their names. Raises RequestError for a token that the model does not have."""
        self._check_writes()
        check_tokens(tokens, vocabulary=self.metadata.vocabulary, key="tokens")
        answer = await self._ask({"op": "detokenize", "tokens": tokens})
        return Detokenized(answer["text"], tuple(answer["names"]))

    async def tokenizer_info(self) -> TokenizerInfo:
        """What the model's file says about its tokens."""
        known = self.metadata
        kind = str(known.values.get("tokenizer.ggml.model", ""))
        return TokenizerInfo(kind, known.bos_token or None, known.eos_token or None, known.chat_template)

    async def warm_up(self, groups: Sequence[Sequence[Request]]) -> None:
        """Have the common beginning of each group decoded and kept, now or as soon as there is a worker."""
        segments = [[prompt_segments(self.dated(request), self.template) for request in group] for group in groups]
        self._warm += segments
        if self.health().state == "ready":
            self._send({"op": "warm", "groups": segments})

    async def embed(self, texts: tuple[str, ...]) -> Embeddings:
        """One unit vector per text, from a model that pools. Each text is sent alone, so callers take turns.

        Raises:
            NotSupported: if the model writes text.
            EngineBusy: if too many callers wait.
            RequestError: if the texts have too many tokens. PromptTooLong, which is one, if a single text has.
        """
        if not self.metadata.pools:
            raise NotSupported(
                f"{self.model.name} writes text and gives no embeddings.",
                key="model",
                remedy="Name a model that is made for them: sameboat model list says which.",
            )
        for text in texts:  # white space may stand for no token, so a text is counted without it, unless it is huge
            written = text if len(text) > MAX_SPACED_CHARS else " ".join(text.split())
            check_text(written, context=self._most_tokens, longest=max(1, self.metadata.longest_token))
        size = sum(len(text) for text in texts) // BYTES_PER_TOKEN
        if len(self._asked) >= self._settings.queue_requests:
            self._counters["rejected"] += 1
            raise EngineBusy(f"{len(self._asked)} callers are waiting already.", retry_after_s=2.0, key="queue")
        if size > self._settings.queue_tokens:
            raise RequestError(
                f"The texts have about {size} tokens, and {self._settings.queue_tokens} may wait.", key="input"
            )
        self._counters["requests"] += 1
        rows = [await self._ask({"op": "embed", "text": text}) for text in texts]
        return Embeddings(tuple(tuple(row["vector"]) for row in rows), sum(row["tokens"] for row in rows))

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send one question as soon as the worker is ready, and wait for its one answer. Raises the worker's refusal,
        RequestFailed, EngineUnavailable.
        """
        await self.ready()
        self._next += 1
        identifier = self._next
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[identifier] = waiting
        try:
            self._send({**message, "id": identifier})
            answer = await waiting
        finally:
            del self._asked[identifier]
            self._idle.used()
            if waiting.cancelled():
                self._send({"op": "cancel", "id": identifier})
        if answer["op"] == "refused":
            raise refusal_error(answer)
        if answer["op"] == "broken":
            raise broken(answer["log_id"])
        return answer

    # --- admission ---

    async def _admit(self, request: Request) -> PendingRequest:
        """Queue a request, or say why not. Raises EngineBusy, EngineUnavailable, RequestError."""
        self._check_writes()
        self._check_open()
        request = self.dated(request)
        check_request(request, vocabulary=self.metadata.vocabulary)
        self.check_size(request)
        if is_heavy(request):  # the event loop goes on meanwhile
            submit = await asyncio.to_thread(build_submission, request, self.template, force=self._force)
            self._check_open()
        else:
            submit = build_submission(request, self.template, force=self._force)
        self._next += 1
        message: dict[str, Any] = {**submit, "id": self._next}
        pending = PendingRequest(message["id"], request, message, estimated_tokens(submit), time.monotonic())
        if self._queue.full(pending):
            self._counters["rejected"] += 1
            raise EngineBusy(
                f"{len(self._queue)} requests with about {self._queue.tokens} tokens are waiting already.",
                retry_after_s=self._wait_s(),
                key="queue",
            )
        self._queue.add(pending)
        self._pump()
        return pending

    def _check_open(self) -> None:
        health = self.health()
        if health.state in ("failed", "stopped", "draining"):
            retry = 5.0 if health.state == "draining" else None
            raise EngineUnavailable(f"The engine is {health.state}: {health.reason}", retry_after_s=retry)

    def _check_writes(self) -> None:
        if self.metadata.pools:
            raise NotSupported(
                f"{self.model.name} gives embeddings and writes no text.", key="model", remedy="Use /v1/embeddings."
            )

    def _wait_s(self) -> float:
        """Seconds until half of the queue is done, at the measured rates and answer lengths. 0 if nothing waits."""
        if not self._queue:
            return 0.0
        usual = self._counters["completion_tokens"] / max(1.0, self._counters["answers"]) or USUAL_ANSWER
        answer_tokens = sum(min(float(pending.request.sampling.max_tokens), usual) for pending in self._queue)
        return wait_s(self._worker, prompt_tokens=self._queue.tokens, answer_tokens=answer_tokens)
