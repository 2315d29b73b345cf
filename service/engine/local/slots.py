"""KV slots: which tokens are in which slot, and the copying of common prefixes.

In: sequences that need a slot. Out: slots that hold the prefix of their prompt, copied from another slot or from the
prefix cache bit for bit, or shared with another slot in one cache, never with another caller.
Not here: the choice of the slot, which is `scheduler.place`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from service.engine.local.context import Context
from service.engine.local.prefix_cache import Prefix, PrefixCache
from service.engine.local.recipe import CHUNK
from service.engine.local.scheduler import (
    Placement,
    ScheduledSequence,
    Slot,
    StoredTokens,
    computed_soon,
    place,
)
from service.errors import ModelError


class KVSlots:
    """The slots of one context, and the prefixes kept beside them. `step` is the worker's count of steps."""

    def __init__(self, context: Context, slots: int, prefixes: PrefixCache) -> None:
        self._context = context
        self.slots = [Slot(number) for number in range(slots)]
        self.prefixes = prefixes

    def admit(self, sequence: ScheduledSequence, step: int, running: Iterable[ScheduledSequence] = ()) -> bool:
        """Give this sequence a slot with the known prefix of its prompt.

        False if no slot is free for it, or if `running` sequences are about to compute more of its prompt.
        """
        while True:
            placed = place(
                self.slots,
                sequence.prompt,
                exact=sequence.exact,
                background=sequence.background,
                salt=sequence.salt,
                kept=self.prefixes,
                shares=self._context.shares,
                copies_on_device=self._context.copies_on_device,
            )
            if placed is None:
                return False
            if sequence.reads_all:
                placed = Placement(placed.slot, placed.slot, 0)
            elif computed_soon(sequence, running) >= placed.reuse + CHUNK:
                return False
            if self._fill(placed):
                break
        slot = placed.slot
        slot.owner, slot.used, slot.salt = sequence.id, step, sequence.salt
        sequence.slot, sequence.done = slot, placed.reuse
        beginning = sequence.prompt[: placed.reuse]
        if isinstance(placed.source, Slot) and self.prefixes.worth_keeping(beginning, sequence.salt):
            self.keep(slot, beginning)  # the slot holds these tokens and no others at this moment
        return True

    def free(self, sequence: ScheduledSequence, step: int) -> None:
        """The sequence has ended. The slot keeps its tokens for the same caller's next request."""
        if sequence.slot is not None:
            sequence.slot.owner, sequence.slot.used = None, step

    def clear(self, slot: Slot) -> None:
        """Empty a slot with an uncertain state."""
        self._context.cut(slot.number, 0)
        slot.tokens, slot.canonical = [], 0

    def keep(self, slot: Slot, tokens: Sequence[int]) -> None:
        """Keep this slot's state, which belongs to these tokens, under the slot's salt."""
        self.prefixes.keep(tokens, slot.canonical, self._context.state(slot.number), slot.salt)

    def computed(self, slot: Slot, tokens: Sequence[int], *, alone: bool) -> None:
        """These prompt tokens were computed in this slot, as one chunk. `alone`: in a batch of their own."""
        start = len(slot.tokens)
        if alone and slot.canonical == start and (start + len(tokens)) % CHUNK == 0:
            slot.canonical = start + len(tokens)
        slot.tokens += tokens

    def _fill(self, placed: Placement) -> bool:
        """Make the slot hold the first `reuse` tokens of its source, and nothing else. False: look for another."""
        slot, source = placed.slot, placed.source
        if source is not slot and placed.reuse:
            slot.tokens, slot.canonical = [], 0  # whatever comes of the copy, these are not there any more
            if not self._copy(source, slot, placed.reuse):
                return False
        self._context.cut(slot.number, placed.reuse)
        whole = min(source.canonical, placed.reuse)
        slot.canonical = whole - whole % CHUNK  # the rest of a cut chunk would be computed in a batch of another shape
        slot.tokens = source.tokens[: placed.reuse]
        return True

    def _copy(self, source: StoredTokens, slot: Slot, reuse: int) -> bool:
        """Copy at least `reuse` tokens of the source. An unusable prefix is removed, and the result is False."""
        if isinstance(source, Slot):
            if not self._context.copy(source.number, slot.number, reuse):
                raise ModelError(f"llama.cpp does not take back what it wrote of sequence {source.number}.")
            return True
        assert isinstance(source, Prefix)
        state = self.prefixes.state(source)
        if state is None:
            return False
        if not self._context.restore(slot.number, state):
            self.prefixes.drop(source)
            return False
        return True
