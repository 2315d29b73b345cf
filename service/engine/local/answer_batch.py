"""The rows of one answer step: the pending tokens of its sequences, and drafts behind them.

In: the requests of a step. Out: rows for llama.cpp, and which of them belong to which request.
Not here: computing them, choosing tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from service.engine.local.input_processor import RunningRequest
from service.engine.local.recipe import FORCED_RUN
from service.engine.local.speculation import Speculator


@dataclass(frozen=True)
class AnswerRun:
    """One request's part of a step. `row` is that of its last pending token, or None if more tokens are pending."""

    request: RunningRequest
    pending: list[int]
    draft: list[int]
    row: int | None


@dataclass
class AnswerBatch:
    """A step's rows (token, position, slot, whether logits are wanted), and the runs that they are made of."""

    rows: list[tuple[int, int, int, bool]] = field(default_factory=list)
    runs: list[AnswerRun] = field(default_factory=list)

    @property
    def extra(self) -> int:
        """Rows beyond one for each request."""
        return len(self.rows) - len(self.runs)


def build_batch(requests: Iterable[RunningRequest], speculator: Speculator | None) -> AnswerBatch:
    """At most `FORCED_RUN` pending tokens of each request, with a draft where they are the last ones."""
    batch, drafted, asked = AnswerBatch(), 0, list(requests)
    for request in asked:
        slot, generation = request.sequence.slot, request.generation
        assert slot is not None
        assert generation is not None
        pending = generation.pending[:FORCED_RUN]
        whole = len(pending) == len(generation.pending)  # else the run goes on in the next step
        draft: list[int] = []
        if whole and speculator is not None:
            draft = speculator.draft(request.drafts, request.sequence, generation, sequences=len(asked), rows=drafted)
            drafted += len(draft)
        at, last = len(slot.tokens), len(pending) - 1
        batch.runs.append(AnswerRun(request, pending, draft, len(batch.rows) + last if whole else None))
        batch.rows += [
            (token, at + index, slot.number, whole and index >= last) for index, token in enumerate(pending + draft)
        ]
    return batch
