"""The process that owns the weights: started by `worker_main`.

In: frames on a socket (`protocol`). The first one names the model to load. Out: frames.
Not here: queues, priorities among waiting requests.

One thread reads the socket and never touches llama.cpp (`parent_connection`). The main thread loads, schedules
(`scheduler`) and computes. Slow preparation runs on further threads (`preparation`). The process ends when the parent
goes away or one of the first two threads fails. The parent then starts another worker.

An error of one request ends only that request. The parent's log gets the traceback.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from service.engine.local import embedding, huge_pages
from service.engine.local.compute_threads import ComputeThreads
from service.engine.local.context import Context, computes_with
from service.engine.local.devices import Device
from service.engine.local.draft_controller import DraftController
from service.engine.local.generation import token_logprob
from service.engine.local.input_processor import InputProcessor, RunningRequest, is_costly
from service.engine.local.kernels import PORTABLE
from service.engine.local.label_scorer import LabelScorer
from service.engine.local.parent_connection import ParentConnection
from service.engine.local.prefix_cache import PrefixCache
from service.engine.local.prefix_store import PrefixStore
from service.engine.local.preparation import Check, PreparationPool
from service.engine.local.protocol import Segments, refusal_frame
from service.engine.local.recipe import CHUNK
from service.engine.local.sampling import RowLogprobs
from service.engine.local.scheduler import ScheduledSequence, Scheduler, Step, common_length
from service.engine.local.slots import KVSlots
from service.engine.local.speculation import Speculator
from service.engine.local.step_batch import PromptRun, build_batch
from service.errors import ModelError, RequestError, SameboatError

MAX_FAILURES = 3  # batches in a row that llama.cpp did not compute, before this process gives up
FEW = 8  # tokens of a trial that is like a step of as many answers. Larger ones are like chunks of a prompt


class Worker:
    """The main loop and its state."""

    def __init__(self, connection: socket.socket, kernels: str = PORTABLE, devices: Sequence[Device] = ()) -> None:
        self._kernels, self._devices = kernels, devices
        self._parent = ParentConnection(connection)
        self._inbox = self._parent.inbox
        self._failures = 0
        self._preparation = PreparationPool(self._inbox.put)
        self._requests: dict[int, RunningRequest] = {}
        self._counters: dict[str, float] = dict.fromkeys(
            ("prompt_tokens", "prompt_seconds", "answer_tokens", "answer_seconds", "steps", "cached_tokens",
             "forced_tokens", "prefix_hits", "sequences_cancelled"), 0.0,
        )  # fmt: skip
        self._step = 0
        self._internal = 0  # ids of the worker's own requests count down, the parent's count up

    def send(self, message: dict[str, Any]) -> None:
        """One frame to the parent. Raises FrameTooLarge."""
        self._parent.send(message)

    def run(self) -> None:
        """Load, then serve until the parent goes away."""
        self._parent.listen()
        first = self._inbox.get()
        if first.get("embeds"):
            embedding.serve(first, self._devices, self._inbox, self.send, self._parent.set_busy)
            return
        self._load(first)
        while True:
            self._round()

    def _round(self) -> None:
        """Take all messages, then compute one round. With nothing to compute it waits for a message.

        Messages are also taken before each step, so a step never computes a cancelled request.
        """
        self._receive(wait=not self._requests)
        self._admit()
        for step in self._scheduler.next(request.sequence for request in self._requests.values()):
            self._receive(wait=False)
            still = step.only(self._requests)
            if still.sequences:
                self._parent.set_busy(busy=True)
                self._compute(still)

    def _load(self, message: dict[str, Any]) -> None:
        reported = [0.0]

        def progress(done: float) -> None:
            if done - reported[0] >= 0.02 or done >= 1:
                reported[0] = done
                self.send({"op": "loading", "progress": round(done, 3)})

        try:
            self.context = Context(
                Path(message["path"]),
                n_ctx=message["n_ctx"], slots=message["slots"], threads=message["threads"], progress=progress,
                gpu_layers=message["gpu_layers"], devices=self._devices, kernels=self._kernels,
                one_cache=bool(message["recipe"]["kv_unified"]),
            )  # fmt: skip
            kernels = computes_with(self._kernels, self._devices)
            _check_recipe(message["recipe"], {**self.context.recipe, "kernels": kernels})
        except SameboatError as error:
            self.send({"op": "failed", "reason": str(error)})
            sys.exit(1)
        self._input = InputProcessor(self.context)
        self._threads = ComputeThreads(message["threads"], self.context.use_threads)
        self._labels = LabelScorer(self.context, self._decode_labels)
        self._speculator = Speculator(DraftController()) if message["speculation"] and self.context.can_cut else None
        self._scheduler = Scheduler(mixes=self.context.shares)
        self._slots = KVSlots(self.context, message["slots"], _prefixes(message))
        self.context.piece(0)
        # Pages the weights in, and makes the thread pool. Several tokens also run the kernels for whole prompts.
        for size in message["trials"]:
            self.context.decode(
                [(self.context.eos, place, 0, size <= FEW or place == size - 1) for place in range(size)]
            )
            self.context.cut(0, 0)
        self.send({"op": "ready", "n_ctx": self.context.n_ctx, "slots": message["slots"]})
        huge_pages.start()

    def _receive(self, *, wait: bool) -> None:
        while True:
            try:
                if wait:
                    self._parent.set_busy(busy=False)
                with self._threads.pause() if wait else contextlib.nullcontext():
                    message = self._inbox.get(block=wait, timeout=self._preparation.wait_s())
            except queue.Empty:
                message = None
            self._parent.set_busy(busy=True)
            for identifier, error in self._preparation.overdue():
                self._fail(identifier, error)
            if message is None:
                return
            wait = False
            try:
                self._take(message)
            except Exception as error:  # noqa: BLE001
                self._fail(message.get("id", 0), error)

    def _take(self, message: dict[str, Any]) -> None:
        kind, identifier = message["op"], message.get("id", 0)
        if kind == "submit":
            self._prepare(message, lambda check: self._input.request(message, check), self._accept)
        elif kind == "tokenize":

            def tokenized(tokens: list[int]) -> None:
                self.send({"op": "tokenized", "id": identifier, "tokens": tokens})

            self._prepare(message, lambda check: self._input.prompt(message, check), tokenized)
        elif kind == "detokenize":
            data = b"".join(self.context.written(token) for token in message["tokens"])
            names = [self.context.name(token) for token in message["tokens"]]
            self.send({"op": "detokenized", "id": identifier, "text": data.decode(errors="replace"), "names": names})
        elif kind == "prepared":
            self._preparation.complete(message)
        elif kind == "cancel":
            self._preparation.cancel(identifier)
            self._forget(identifier)
            self._counters["sequences_cancelled"] += 1
            self._stats()
        elif kind == "share":
            self._threads.share(message["threads"])
        elif kind == "warm":
            self._warm(message["groups"])

    def _prepare(self, message: dict[str, Any], do: Callable[[Check], Any], then: Callable[[Any], None]) -> None:
        """Do it here when it is quick, else on another thread, and then go on here."""
        if is_costly(message):
            self._preparation.submit(message["id"], do, then)
        else:
            then(do(lambda: None))

    def _accept(self, request: RunningRequest) -> None:
        self._requests[request.id] = request

    def _fail(self, identifier: int, error: Exception) -> None:
        """This request is over: refused with its reason, or broken, with the traceback for the parent's log."""
        request = self._requests.get(identifier)
        self._forget(identifier)
        if isinstance(error, RequestError):
            self.send({"id": identifier, **refusal_frame(error)})
            return
        if request is not None and request.sequence.slot is not None:
            self._slots.clear(request.sequence.slot)
        self.send({"op": "broken", "id": identifier, "trace": "".join(traceback.format_exception(error))})
        self._failures += isinstance(error, ModelError)
        if self._failures >= MAX_FAILURES:
            raise error

    def _warm(self, groups: list[list[Segments]]) -> None:
        """Decode the common beginning of each group and keep it, when there is nothing else to do."""
        for group in groups:
            prompts = [self._input.tokens(pieces) for pieces in group]
            shared = min((common_length(prompts[0], tokens) for tokens in prompts), default=0)
            beginning = prompts[0][: min(shared, self.context.n_ctx - 1)]
            if not self._slots.prefixes.pin(beginning) and len(beginning) >= CHUNK:
                self._internal -= 1
                sequence = ScheduledSequence(
                    self._internal, beginning, exact=False, background=True, is_warmup=True, salt=None
                )
                self._requests[sequence.id] = RunningRequest({}, sequence)
        self._stats()

    def _admit(self) -> None:
        running = [request.sequence for request in self._requests.values()]
        waiting = [request for request in self._requests.values() if request.sequence.slot is None]
        for request in sorted(waiting, key=lambda request: (request.sequence.background, request.id)):
            sequence = request.sequence
            try:
                if not self._slots.admit(sequence, self._step, running):
                    continue
            except Exception as error:  # noqa: BLE001
                self._fail(sequence.id, error)
                continue
            self._counters["cached_tokens"] += sequence.done
            self._counters["prefix_hits"] += sequence.done > 0
            if not request.begun and not sequence.is_warmup:
                request.begun, request.cached = True, sequence.done
                self.send({"op": "begun", "id": sequence.id, "prompt": len(sequence.prompt), "cached": sequence.done})

    def _forget(self, identifier: int) -> None:
        """The request is over."""
        request = self._requests.pop(identifier, None)
        if request is None:
            return
        if request.generation is not None:
            request.generation.sampler.close()
        if request.scoring is not None:
            request.scoring.close()
        self._slots.free(request.sequence, self._step)

    def _compute(self, step: Step) -> None:
        self._step += 1
        self._counters["steps"] += 1
        with self._threads.step():
            if step.answers and step.answers[0].scoring:
                began = time.perf_counter()
                self._each(step.answers[0], lambda: self._score(self._requests[step.answers[0].id]))
                self._counters["answer_seconds"] += time.perf_counter() - began
            else:
                self._batch(step)

    def _each(self, sequence: ScheduledSequence, do: Callable[[], None]) -> None:
        """Call `do` for one sequence. An error ends only that sequence."""
        try:
            do()
        except Exception as error:  # noqa: BLE001
            self._fail(sequence.id, error)

    def _decode(self, rows: list[tuple[int, int, int, bool]]) -> None:
        self.context.decode(rows)
        self._failures = 0

    def _decode_labels(self, rows: list[tuple[int, int, int, bool]]) -> None:
        self._decode(rows)
        self._counters["answer_tokens"] += len(rows)

    def _batch(self, step: Step) -> None:
        """Compute the chunks and the pending tokens of the answers, at most `FORCED_RUN` each, in one batch. Choose the
        next tokens. Fast answers may have drafted tokens behind the pending ones, which are verified.

        A failed batch is repeated one sequence at a time, so that only the sequences at fault end.
        """
        began = time.perf_counter()
        batch = build_batch(step, self._requests, self._speculator)
        try:
            self._decode(batch.rows)
        except Exception as error:  # noqa: BLE001
            for alone in step.split():
                (sequence,) = alone.sequences
                assert sequence.slot is not None
                self.context.cut(sequence.slot.number, len(sequence.slot.tokens))
                if len(step.sequences) == 1:
                    self._fail(sequence.id, error)
                else:
                    self._batch(alone)
            return
        # A prompt alone may have its labels computed next, and the parent must hear of this process meanwhile.
        lone = bool(batch.prompts) and len(step.sequences) == 1
        with contextlib.nullcontext() if lone else self._parent.together():
            for run in batch.prompts:
                self._each(run.request.sequence, partial(self._prompt, run, alone=lone))
            for answer in batch.answers:
                assert answer.request.generation is not None
                assert answer.request.sequence.slot is not None
                answer.request.generation.pending = answer.request.generation.pending[len(answer.pending) :]
                answer.request.sequence.slot.tokens += answer.pending
                self._counters["answer_tokens"] += len(answer.pending)
                if answer.row is not None:
                    self._choose(answer.request, answer.row, answer.draft)
        took = time.perf_counter() - began
        of_prompts = batch.prompt_rows / len(batch.rows)
        self._counters["prompt_seconds"] += took * of_prompts
        self._counters["answer_seconds"] += took * (1 - of_prompts)
        if self._speculator is not None and not batch.prompts and not step.answers[0].exact:
            self._speculator.controller.record_step(len(step.answers), batch.extra, took)

    def _prompt(self, run: PromptRun, *, alone: bool) -> None:
        """These tokens of a prompt are computed. `alone`: and nothing else was in their batch."""
        sequence = run.request.sequence
        assert sequence.slot is not None
        if sequence.reads_all:
            self._echo(run.request, sequence.done, len(run.tokens))
        self._counters["prompt_tokens"] += len(run.tokens)
        self._slots.computed(sequence.slot, run.tokens, alone=alone)
        sequence.done += len(run.tokens)
        if run.row is not None:
            self._first(run.request, run.row)

    def _echo(self, request: RunningRequest, start: int, size: int) -> None:
        """Report the log-probabilities of the prompt's tokens that these rows predict. The first token has none."""
        prompt, alternatives = request.sequence.prompt, request.message["logprobs"]
        rows = range(min(size, len(prompt) - 1 - start))
        echoed = [
            token_logprob(
                self.context, prompt[start + row + 1], RowLogprobs(self.context.logits(row), alternatives), written=True
            )
            for row in rows
        ]
        if start == 0:
            first = token_logprob(self.context, prompt[0], None, written=True)
            if self._input.begins_itself(request.message, prompt):
                first["text"] = ""
            echoed.insert(0, first)
        self.send({"op": "echo", "id": request.id, "logprobs": echoed})

    def _first(self, request: RunningRequest, row: int) -> None:
        """The prompt is whole: its last logits are there."""
        if request.sequence.is_warmup:
            assert request.sequence.slot is not None
            self._slots.keep(request.sequence.slot, request.sequence.prompt)
            self._forget(request.id)
            self._stats()
            return
        logits = self.context.logits(row)
        request.sequence.answering = True
        if request.labels is not None:
            request.sequence.scoring = True
            request.scoring = self._labels.scores(request, logits)
            self._score(request)
            return
        assert request.generation is not None
        if request.generation.limit == 0:  # only the prompt is asked about
            request.generation.finish = "length"
            self._report(request)
            return
        self._choose(request, row)

    def _choose(self, request: RunningRequest, row: int, draft: Sequence[int] = ()) -> None:
        """Choose the next tokens of one request and report them. An error ends only this request."""
        generation, slot = request.generation, request.sequence.slot
        assert generation is not None
        assert slot is not None
        try:
            accepted = generation.verify(row, draft)
            if draft:
                assert self._speculator is not None
                slot.tokens += draft[:accepted]
                self.context.cut(slot.number, len(slot.tokens))
                self._counters["answer_tokens"] += accepted
                self._speculator.verified(request.drafts, len(draft), accepted)
            self._report(request)
        except Exception as error:  # noqa: BLE001
            self._fail(request.id, error)

    def _score(self, request: RunningRequest) -> None:
        """Score the next label. After the last label the request is done, or continues with its content-free prompt."""
        labelled = self._labels.score(request)
        if labelled is not None:
            self._finish(request, finish="stop", forced=0, **labelled)
        elif request.scoring is None and request.sequence.slot is not None:
            self._slots.free(request.sequence, self._step)  # the slot keeps its tokens
            request.sequence = replace(
                request.sequence, prompt=request.neutral, slot=None, done=0, answering=False, scoring=False
            )

    def _report(self, request: RunningRequest) -> None:
        generation = request.generation
        assert generation is not None
        text, tokens, logprobs = generation.take_fresh()
        if text or tokens:
            self.send({"op": "tokens", "id": request.id, "text": text, "tokens": tokens, "logprobs": logprobs})
        if generation.finish is not None:
            self._counters["forced_tokens"] += generation.forced
            self._finish(request, finish=generation.finish, forced=generation.forced)

    def _finish(self, request: RunningRequest, **fields: Any) -> None:
        self._forget(request.id)
        self._stats()  # first, so that a caller with the answer can already see its cost
        self.send({"op": "done", "id": request.id, "cached": request.cached, **fields})

    def _stats(self) -> None:
        prefixes = self._slots.prefixes
        gauges = {
            "kv_tokens": sum(len(slot.tokens) for slot in self._slots.slots),
            "prefixes": len(prefixes),
            "prefix_bytes": prefixes.size_bytes,
            "threads": self._threads.count,
        }
        drafts = self._speculator.counters if self._speculator is not None else {}
        self.send({"op": "stats", "numbers": {**self._counters, **prefixes.counters, **drafts, **gauges}})


def _check_recipe(declared: dict[str, Any], actual: dict[str, Any]) -> None:
    """Raises ModelError if llama.cpp computes with other parameters or kernels than every fingerprint says."""
    different = sorted(name for name, value in actual.items() if declared.get(name) != value)
    if different:
        raise ModelError(
            f"llama.cpp got other values than the recipe declares: {', '.join(different)}.",
            key="recipe",
            remedy="Set the engine's parameters in service/engine/local/recipe.py only.",
        )


def _prefixes(message: dict[str, Any]) -> PrefixCache:
    """The kept prefixes as the parent wants them: how much memory, and where on the cache volume."""
    config = message["prefixes"]
    made_by = {**config["made_by"], "slots": message["slots"], "n_ctx": message["n_ctx"]}
    files = None
    if config["key"] is not None:
        key, limit = bytes.fromhex(config["key"]), config["limit_bytes"]
        files = PrefixStore(Path(config["folder"]), made_by, key=key, limit_bytes=limit)
    return PrefixCache(config["limit_bytes"], chunk=CHUNK, files=files)


def main(connection: socket.socket, kernels: str, devices: Sequence[Device]) -> None:
    """Serve on this socket until the parent goes away, with the loaded kernels of this name and these devices."""
    worker = Worker(connection, kernels, devices)
    try:
        worker.run()
    except Exception:  # noqa: BLE001  (no thread that still prepares something may keep the process)
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
