"""Answers that were given before and may be given again: nothing is computed for a question asked twice.

What comes in: requests with a fingerprint, their answers. What goes out: the same answer, marked `reused`. Bounded; the
one that was asked for longest ago goes first. The fingerprint covers everything that decides an answer, its mode too.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from service.engine.types import Answer, Request, Timings


class KeptAnswers:
    """At most `limit` answers by fingerprint."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._answers: OrderedDict[str, Answer] = OrderedDict()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._answers)

    def find(self, request: Request) -> Answer | None:
        """The answer that was given to this request, unless it refuses to be given one."""
        if not request.reuse or request.fingerprint is None:
            return None
        known = self._answers.get(request.fingerprint)
        if known is None:
            return None
        self._answers.move_to_end(request.fingerprint)
        return replace(known, reused=True, timings=Timings(0.0, 0.0, 0.0))

    def keep(self, request: Request, answer: Answer) -> None:
        """Remember an answer that asking again would give again: greedy, scored, or exact with its seed."""
        deterministic = request.sampling.temperature <= 0 or request.choices or request.mode == "exact"
        if request.fingerprint is None or not deterministic:
            return
        self._answers[request.fingerprint] = answer
        self._answers.move_to_end(request.fingerprint)
        while len(self._answers) > self._limit:
            self._answers.popitem(last=False)
