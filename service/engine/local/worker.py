"""The process that owns the weights: `python -m service.engine.local.worker FD`, started by `client`.

What comes in: frames on the socket FD (`protocol`), the first of which says what to load. What goes out: frames.
One thread reads the socket and never touches llama.cpp; the main thread loads, decides (`scheduler`) and computes.
When the parent goes away, so does this process.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from service import resources
from service.engine.local import embedding
from service.engine.local import labels as label_scores
from service.engine.local.context import UBATCH, Context, features
from service.engine.local.intake import Intake, Request
from service.engine.local.memory import Memory
from service.engine.local.pace import Pace
from service.engine.local.prefix_files import PrefixFiles
from service.engine.local.prefixes import Prefixes
from service.engine.local.protocol import Decoder, Pieces, encode
from service.engine.local.scheduler import CHUNK, Active, Scheduler, Step, common
from service.errors import PromptTooLong, SameboatError, SchemaUnsupported

RUN = 8  # forced tokens of one sequence in one step: 64 sequences of 8 fill llama.cpp's batch of 512
MAX_NEUTRAL = 256  # label probabilities of content-free prompts that are remembered


class Worker:
    """The main loop and what it needs."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._scheduler = Scheduler()
        self._requests: dict[int, Request] = {}
        self._neutral: OrderedDict[tuple[str, bool], list[float]] = OrderedDict()
        self._counters: dict[str, float] = dict.fromkeys(
            ("prompt_tokens", "prompt_seconds", "answer_tokens", "answer_seconds", "steps", "cached_tokens",
             "forced_tokens", "prefix_hits", "cancelled"), 0.0,
        )  # fmt: skip
        self._step = 0
        self._internal = 0  # ids of the worker's own requests count down; the parent's count up

    def send(self, message: dict[str, Any]) -> None:
        """One frame to the parent; without a parent there is no reason to live."""
        try:
            self._connection.sendall(encode(message))
        except OSError:
            os._exit(0)

    def run(self) -> None:
        """Load, then serve; it ends when the parent goes away."""
        threading.Thread(target=self._read, daemon=True).start()
        first = self._inbox.get()
        if first.get("embeds"):
            embedding.serve(first, self._inbox, self.send)
            return
        self._load(first)
        while True:
            self._round()

    def _round(self) -> None:
        """Take what came, waiting for it when there is nothing to compute; then compute.

        What comes meanwhile is taken before each step, so that a step never computes anything for someone who left.
        """
        self._receive(wait=not self._requests)
        self._admit()
        for step in self._scheduler.next(request.active for request in self._requests.values()):
            self._receive(wait=False)
            still = tuple(each for each in step.sequences if each.id in self._requests)
            if still:
                self._compute(replace(step, sequences=still))

    def _read(self) -> None:
        decoder = Decoder()
        while True:
            try:
                data = self._connection.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                os._exit(0)  # the parent is gone; the kernel frees the weights
            for message in decoder.feed(data):
                self._inbox.put(message)

    def _load(self, message: dict[str, Any]) -> None:
        shown = [0.0]

        def progress(done: float) -> None:
            if done - shown[0] >= 0.02 or done >= 1:
                shown[0] = done
                self.send({"op": "loading", "progress": round(done, 3)})

        try:
            self.context = Context(
                Path(message["path"]),
                n_ctx=message["n_ctx"],
                slots=message["slots"],
                threads=message["threads"],
                progress=progress,
            )
        except SameboatError as error:
            self.send({"op": "failed", "reason": str(error)})
            sys.exit(1)
        self._intake = Intake(self.context)
        self._pace = Pace(message["threads"])
        self._memory = Memory(self.context, message["slots"], _prefixes(message))
        self.context.piece(0)
        self.context.decode([(self.context.eos, 0, 0, True)])  # pages the weights in, and makes the thread pool
        self.context.cut(0, 0)
        self.send({"op": "ready", "n_ctx": self.context.n_ctx, "slots": message["slots"]})

    def _receive(self, *, wait: bool) -> None:
        while True:
            try:
                message = self._inbox.get(block=wait)
            except queue.Empty:
                return
            wait = False
            if message["op"] == "submit":
                self._submit(message)
            elif message["op"] == "cancel":
                self._forget(message["id"])
                self._counters["cancelled"] += 1
                self._stats()
            elif message["op"] == "count":
                self.send({"op": "counted", "id": message["id"], "tokens": len(self._intake.tokens(message["pieces"]))})
            elif message["op"] == "warm":
                self._warm(message["groups"])

    def _submit(self, message: dict[str, Any]) -> None:
        try:
            request = self._intake.request(message)
        except PromptTooLong as error:
            refused = {"kind": "too_long", "limit": error.limit, "count": error.count}
            self.send({"op": "refused", "id": message["id"], "message": str(error), **refused})
            return
        except SchemaUnsupported as error:
            refused = {"kind": "schema", "pointer": error.key or "", "keyword": error.keyword}
            self.send({"op": "refused", "id": message["id"], "message": str(error), **refused})
            return
        self._requests[request.id] = request

    def _warm(self, groups: list[list[Pieces]]) -> None:
        """Decode the common beginning of each group and keep it, when there is nothing else to do."""
        for group in groups:
            prompts = [self._intake.tokens(pieces) for pieces in group]
            shared = min((common(prompts[0], each) for each in prompts), default=0)
            beginning = prompts[0][: min(shared, self.context.n_ctx - 1)]
            if not self._memory.prefixes.pin(beginning) and len(beginning) >= CHUNK:
                self._internal -= 1
                active = Active(self._internal, beginning, exact=False, background=True, ahead=True, salt=None)
                self._requests[active.id] = Request({}, active)
        self._stats()

    def _admit(self) -> None:
        waiting = [request for request in self._requests.values() if request.active.slot is None]
        for request in sorted(waiting, key=lambda request: (request.active.background, request.id)):
            active = request.active
            if not self._memory.admit(active, self._step):
                continue
            self._counters["cached_tokens"] += active.done
            self._counters["prefix_hits"] += active.done > 0
            if not request.begun and not active.ahead:
                request.begun, request.cached = True, active.done
                begun = {"prompt": len(active.prompt), "cached": active.done}
                self.send({"op": "begun", "id": active.id, **begun})

    def _forget(self, identifier: int) -> None:
        """The request is over."""
        request = self._requests.pop(identifier, None)
        if request is None:
            return
        if request.generation is not None:
            request.generation.chain.close()
        self._memory.free(request.active, self._step)

    def _compute(self, step: Step) -> None:
        self._step += 1
        self._counters["steps"] += 1
        began, cpu, idle = time.perf_counter(), time.process_time(), self._idle_s()
        if step.kind == "prompt":
            self._prompt(step)
        else:
            self._answer(step.sequences)
        took = time.perf_counter() - began
        self._counters["prompt_seconds" if step.kind == "prompt" else "answer_seconds"] += took
        if self._pace.took(took, time.process_time() - cpu, self._idle_s() - idle):
            self.context.use_threads(self._pace.threads)

    def _idle_s(self) -> float:
        """Seconds that our CPUs have been idle; only asked when there could be more threads."""
        return resources.idle_seconds() if self._pace.threads < self._pace.most else 0.0

    def _prompt(self, step: Step) -> None:
        active = step.sequences[0]
        slot = active.slot
        assert slot is not None
        chunk = active.prompt[active.done : active.done + step.tokens]
        last = active.left == len(chunk)
        start = active.done
        self.context.decode(
            [(token, start + at, slot.number, last and at == len(chunk) - 1) for at, token in enumerate(chunk)]
        )
        self._counters["prompt_tokens"] += len(chunk)
        self._memory.computed(slot, chunk)
        active.done += len(chunk)
        if last:
            self._first(self._requests[active.id], len(chunk) - 1)

    def _first(self, request: Request, row: int) -> None:
        """The prompt is whole: its last logits are there."""
        if request.active.ahead:
            assert request.active.slot is not None
            self._memory.keep(request.active.slot, request.active.prompt)
            self._forget(request.id)
            self._stats()
            return
        logits = self.context.logits(row)
        if request.labels is not None:
            self._score(request, logits)
            return
        request.active.answering = True
        self._choose(request, row)

    def _answer(self, sequences: Sequence[Active]) -> None:
        """Compute what each of these has pending, at most a run of it, in one batch, and choose what comes next."""
        rows: list[tuple[int, int, int, bool]] = []
        ends: list[tuple[Request, int]] = []
        for active in sequences:
            request = self._requests[active.id]
            slot, generation = active.slot, request.generation
            assert slot is not None
            assert generation is not None
            now, generation.pending = generation.pending[:RUN], generation.pending[RUN:]
            whole = not generation.pending  # else the run goes on in the next step
            at = len(slot.tokens)
            rows += [
                (token, at + index, slot.number, whole and index == len(now) - 1) for index, token in enumerate(now)
            ]
            slot.tokens += now
            if whole:
                ends.append((request, len(rows) - 1))
        self.context.decode(rows)
        self._counters["answer_tokens"] += len(rows)
        for request, row in ends:
            self._choose(request, row)

    def _choose(self, request: Request, row: int) -> None:
        """Let the answer take its next token; a grammar that cannot go on refuses this request and no other."""
        assert request.generation is not None
        try:
            request.generation.step(row, self.context.logits(row))
        except SchemaUnsupported as error:
            self._forget(request.id)
            refused = {"kind": "schema", "pointer": error.key or "", "keyword": error.keyword}
            self.send({"op": "refused", "id": request.id, "message": str(error), **refused})
            return
        self._report(request)

    def _report(self, request: Request) -> None:
        generation = request.generation
        assert generation is not None
        text, tokens, logprobs = generation.take_fresh()
        if text or tokens:
            self.send({"op": "tokens", "id": request.id, "text": text, "tokens": tokens, "logprobs": logprobs})
        if generation.finish is not None:
            self._counters["forced_tokens"] += generation.forced
            self._finish(request, finish=generation.finish, forced=generation.forced)

    def _finish(self, request: Request, **fields: Any) -> None:
        self._forget(request.id)
        self._stats()  # first: whoever has the answer can already see what it cost
        self.send({"op": "done", "id": request.id, "cached": request.cached, **fields})

    def _stats(self) -> None:
        prefixes = self._memory.prefixes
        gauges = {
            "kv_tokens": sum(len(slot.tokens) for slot in self._memory.slots),
            "prefixes": len(prefixes),
            "prefix_bytes": prefixes.size_bytes,
            "threads": self._pace.threads,
        }
        self.send({"op": "stats", "numbers": {**self._counters, **prefixes.counters, **gauges}})

    def _score(self, request: Request, logits: npt.NDArray[np.float32]) -> None:
        """Labels: score them behind this prompt, and when calibrating also behind the content-free one."""
        active, slot = request.active, request.active.slot
        assert slot is not None
        assert request.labels is not None
        size = len(slot.tokens)

        def more(tokens: Sequence[int]) -> Iterator[npt.NDArray[np.float32]]:
            for start in range(0, len(tokens), UBATCH):
                part = tokens[start : start + UBATCH]
                self.context.decode([(token, size + start + at, slot.number, True) for at, token in enumerate(part)])
                yield from (self.context.logits(at) for at in range(len(part)))
            self.context.cut(slot.number, size)
            self._counters["answer_tokens"] += len(tokens)

        scores = label_scores.score(self.context, logits, request.labels, more)
        neutral = request.message["neutral"]
        if not neutral:
            self._label(request, scores, None)
            return
        key = (json.dumps([neutral, request.labels]), active.exact)
        if request.scores is not None:  # this was the content-free round
            self._neutral[key] = scores
            while len(self._neutral) > MAX_NEUTRAL:
                self._neutral.popitem(last=False)
            self._label(request, request.scores, scores)
        elif key in self._neutral:
            self._label(request, scores, self._neutral[key])
        else:  # once more with the content-free prompt, in whichever slot is free; this one keeps what it holds
            request.scores = scores
            slot.owner, slot.used = None, self._step
            request.active = replace(active, prompt=self._intake.tokens(neutral), slot=None, done=0, answering=False)

    def _label(self, request: Request, scores: list[float], neutral: list[float] | None) -> None:
        assert request.labels is not None
        probabilities = label_scores.normalize(scores, neutral)
        best = int(np.argmax(probabilities))
        tokens = [token for token in request.labels[best] if token not in self.context.endings]
        self._finish(request, finish="stop", forced=0, probabilities=probabilities, best=best, tokens=tokens)


def _prefixes(message: dict[str, Any]) -> Prefixes:
    """The kept prefixes as the parent wants them: how much memory, and where on the cache volume."""
    wanted = message["prefixes"]
    made_by = {**wanted["made_by"], "features": features(), "slots": message["slots"], "n_ctx": message["n_ctx"]}
    files = None
    if wanted["key"] is not None:
        key, limit = bytes.fromhex(wanted["key"]), wanted["limit_bytes"]
        files = PrefixFiles(Path(wanted["folder"]), made_by, key=key, limit_bytes=limit)
    return Prefixes(wanted["limit_bytes"], chunk=CHUNK, files=files)


def main() -> None:
    """Serve on the socket whose file descriptor is the only argument."""
    worker = Worker(socket.socket(fileno=int(sys.argv[1])))
    worker.run()


if __name__ == "__main__":
    main()
