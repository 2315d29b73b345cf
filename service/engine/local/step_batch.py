"""The rows of one step: chunks of prompts, then the pending tokens of answers with drafts behind them.

In: a step and its requests. Out: rows for llama.cpp, and which of them belong to which request.
Not here: computing them, choosing tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.engine.local.input_processor import RunningRequest
from service.engine.local.recipe import FORCED_RUN
from service.engine.local.scheduler import Step
from service.engine.local.speculation import Speculator

Row = tuple[int, int, int, bool]
"""Token, position, slot, whether logits are wanted."""


@dataclass(frozen=True)
class PromptRun:
    """A chunk of one request's prompt. `row` is that of its last token if the prompt is whole then, else None."""

    request: RunningRequest
    tokens: list[int]
    row: int | None


@dataclass(frozen=True)
class AnswerRun:
    """One request's part of a step. `row` is that of its last pending token, or None if more tokens are pending."""

    request: RunningRequest
    pending: list[int]
    draft: list[int]
    row: int | None


@dataclass
class StepBatch:
    """A step's rows, and the runs that they are made of."""

    rows: list[Row] = field(default_factory=list)
    prompts: list[PromptRun] = field(default_factory=list)
    answers: list[AnswerRun] = field(default_factory=list)

    @property
    def prompt_rows(self) -> int:
        """Rows of prompts."""
        return sum(len(run.tokens) for run in self.prompts)

    @property
    def extra(self) -> int:
        """Rows of answers beyond one for each."""
        return len(self.rows) - self.prompt_rows - len(self.answers)


def build_batch(step: Step, requests: Mapping[int, RunningRequest], speculator: Speculator | None) -> StepBatch:
    """The chunks, then at most `FORCED_RUN` pending tokens of each answer, and a draft behind the last of them."""
    batch, drafted = StepBatch(), 0
    for sequence, size in step.chunks:
        assert sequence.slot is not None
        start, tokens = sequence.done, sequence.prompt[sequence.done : sequence.done + size]
        last = len(tokens) - 1 if sequence.left == len(tokens) else None
        row = len(batch.rows) + last if last is not None else None
        batch.prompts.append(PromptRun(requests[sequence.id], tokens, row))
        batch.rows += [
            (token, start + at, sequence.slot.number, sequence.reads_all or at == last)
            for at, token in enumerate(tokens)
        ]
    for sequence in step.answers:
        request = requests[sequence.id]
        slot, generation = sequence.slot, request.generation
        assert slot is not None
        assert generation is not None
        pending = generation.pending[:FORCED_RUN]
        whole = len(pending) == len(generation.pending)  # else the run goes on in the next step
        draft: list[int] = []
        if whole and speculator is not None:
            count = len(step.answers)
            draft = speculator.draft(request.drafts, sequence, generation, sequences=count, rows=drafted)
            drafted += len(draft)
        at, end = len(slot.tokens), len(pending) - 1
        batch.answers.append(AnswerRun(request, pending, draft, len(batch.rows) + end if whole else None))
        batch.rows += [
            (token, at + index, slot.number, whole and index >= end) for index, token in enumerate(pending + draft)
        ]
    return batch
