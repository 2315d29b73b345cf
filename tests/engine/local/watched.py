"""The worker's own loop on the real model, without its process: stopped and looked at step by step."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from service.engine.local.scheduler import Step
from service.engine.local.submission import build_submission
from service.engine.local.template import ChatTemplate
from service.engine.local.worker import Worker
from service.engine.types import Request


class Watched(Worker):
    """The worker without its process: every step is recorded, and `during` happens while one is computed."""

    def __init__(self, connection: socket.socket, template: ChatTemplate) -> None:
        super().__init__(connection)
        self.template = template
        self.steps: list[tuple[str, dict[int, int]]] = []  # kind, and the rows that each sequence had in it
        self.batches = 0
        self.said: list[dict[str, Any]] = []
        self.during: Callable[[], None] = lambda: None

    def send(self, message: dict[str, Any]) -> None:
        self.said.append(message)

    def watch(self) -> None:
        """Count the batches that llama.cpp gets, from any caller."""
        decode = self.context.decode

        def counted(rows: list[tuple[int, int, int, bool]]) -> None:
            self.batches += 1
            decode(rows)

        self.context.decode = counted  # type: ignore[method-assign, assignment]

    def _compute(self, step: Step) -> None:
        before = {sequence.id: len(sequence.slot.tokens) for sequence in step.sequences if sequence.slot is not None}
        slots = {sequence.id: sequence.slot for sequence in step.sequences}
        self.during()
        super()._compute(step)
        rows = {key: len(slot.tokens) - before[key] for key, slot in slots.items() if slot is not None}
        self.steps.append(("prompt" if step.chunks else "answer", rows))

    def submit(self, *requests: Request) -> None:
        for number, request in enumerate(requests, start=1):
            self._inbox.put({**build_submission(request, self.template, force=True), "id": number})

    def leave(self, identifier: int) -> None:
        self._inbox.put({"op": "cancel", "id": identifier})

    def until(self, true: Callable[[], bool]) -> None:
        """Run rounds until `true`. A worker without work would wait for ever, so that is a failure."""
        while not true():
            assert self._requests or len(self._preparation) or not self._inbox.empty(), "nothing left to compute"
            self._round()

    def part(self, identifier: int, kind: str = "answer") -> int:
        """Steps of this kind that had this sequence."""
        return sum(identifier in rows for which, rows in self.steps if which == kind)

    def counted(self, name: str) -> float:
        """A number as the worker last told it."""
        return float(next(each for each in reversed(self.said) if each["op"] == "stats")["numbers"][name])
