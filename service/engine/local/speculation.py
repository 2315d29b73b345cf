"""Proposes tokens of running answers, which the next step then computes and verifies all at once.

In: a request that is about to compute its last decided token. Out: a draft of the tokens behind it.
Not here: verifying a draft (`generation`), the batch (`worker`).

A draft changes how many tokens a step computes, never which ones are chosen: each one is chosen from its own row of
logits by the same sampler. Only the last bits of these logits depend on the batch. So exact answers are never drafted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from service.engine.local.draft_controller import AcceptanceRate, DraftController, no_rates
from service.engine.local.generation import Generation
from service.engine.local.ngram_index import NgramIndex
from service.engine.local.recipe import DRAFT_MAX, DRAFT_NGRAM, DRAFT_ROWS
from service.engine.local.scheduler import ScheduledSequence

MAX_SEQUENCES = 32  # above it `FORCED_RUN` tokens of each could fill the batch, and a batch so large is never cheap


@dataclass
class SequenceDrafts:
    """The state of one sequence: its n-grams, its acceptance rates, and the draft being verified."""

    index: NgramIndex = field(default_factory=lambda: NgramIndex(DRAFT_NGRAM))
    rates: list[AcceptanceRate] = field(default_factory=no_rates)
    match: int = 0


class Speculator:
    """Drafts for one loaded model. `controller` decides their length."""

    def __init__(self, controller: DraftController) -> None:
        self.controller = controller
        self.counters = dict.fromkeys(("drafts", "draft_tokens", "accepted_draft_tokens"), 0.0)

    def draft(
        self, drafts: SequenceDrafts, sequence: ScheduledSequence, generation: Generation, *, sequences: int, rows: int
    ) -> list[int]:
        """The tokens to try behind the answer's decided tokens, perhaps none. The step has `sequences` sequences, and
        `rows` extra rows already.
        """
        left = min(DRAFT_MAX, DRAFT_ROWS - rows, generation.limit - len(generation.tokens) - 1)
        if sequence.exact or sequences > MAX_SEQUENCES or left <= 0:
            return []
        if not len(drafts.index):
            drafts.index.extend(sequence.prompt)
        drafts.index.extend(generation.tokens[len(drafts.index) - len(sequence.prompt) :])
        match = drafts.index.match()
        if match is None:
            return []
        count = min(left, self.controller.length(match.length, drafts.rates, sequences))
        drafts.match = match.length
        return generation.possible(drafts.index.draft(match, count)) if count else []

    def verified(self, drafts: SequenceDrafts, drafted: int, accepted: int) -> None:
        """The outcome of the latest draft of this sequence."""
        self.controller.record_draft(drafts.match, drafts.rates, drafted, accepted)
        self.counters["drafts"] += 1
        self.counters["draft_tokens"] += drafted
        self.counters["accepted_draft_tokens"] += accepted
