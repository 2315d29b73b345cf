"""Whose tokens are in which slot, and how a request gets what others computed before it.

What comes in: sequences that want a slot. What goes out: slots that hold the beginning of their prompt, copied from
another slot or a kept prefix, bit for bit, and nothing that another caller computed. Where a
request goes is `scheduler.place`; this does it.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.engine.local.context import Context
from service.engine.local.prefix_cache import Prefix, PrefixCache
from service.engine.local.recipe import CHUNK
from service.engine.local.scheduler import Placement, ScheduledSequence, Slot, StoredTokens, place
from service.errors import ModelError


class KVSlots:
    """The slots of one context, and the prefixes kept beside them. `step` is the worker's count of steps."""

    def __init__(self, context: Context, slots: int, prefixes: PrefixCache) -> None:
        self._context = context
        self.slots = [Slot(number) for number in range(slots)]
        self.prefixes = prefixes

    def admit(self, sequence: ScheduledSequence, step: int) -> bool:
        """Give this sequence a slot and what is known of its prompt; False when none is free for it."""
        while True:
            placed = place(
                self.slots,
                sequence.prompt,
                exact=sequence.exact,
                background=sequence.background,
                salt=sequence.salt,
                kept=self.prefixes,
            )
            if placed is None:
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
        """The sequence is over. Its slot keeps what it computed, for the same caller's next request."""
        if sequence.slot is not None:
            sequence.slot.owner, sequence.slot.used = None, step

    def clear(self, slot: Slot) -> None:
        """Forget what this slot holds: it may not be what its tokens say."""
        self._context.cut(slot.number, 0)
        slot.tokens, slot.canonical = [], 0

    def keep(self, slot: Slot, tokens: Sequence[int]) -> None:
        """Keep what this slot holds, which is these tokens, for the slot's salt."""
        self.prefixes.keep(tokens, slot.canonical, self._context.state(slot.number), slot.salt)

    def computed(self, slot: Slot, tokens: Sequence[int]) -> None:
        """These prompt tokens were computed in this slot, as one chunk."""
        start = len(slot.tokens)
        if slot.canonical == start and (start + len(tokens)) % CHUNK == 0:
            slot.canonical = start + len(tokens)
        slot.tokens += tokens

    def _fill(self, placed: Placement) -> bool:
        """Make the slot hold the first `reuse` tokens of its source, and nothing else. False: look for another."""
        slot, source = placed.slot, placed.source
        if source is not slot and placed.reuse:
            slot.tokens, slot.canonical = [], 0  # whatever comes of the copy, these are not there any more
            if not self._copy(source, slot):
                return False
        self._context.cut(slot.number, placed.reuse)
        whole = min(source.canonical, placed.reuse)
        slot.canonical = whole - whole % CHUNK  # the rest of a cut chunk would be computed in a batch of another shape
        slot.tokens = source.tokens[: placed.reuse]
        return True

    def _copy(self, source: StoredTokens, slot: Slot) -> bool:
        """Copy all that the source holds; a prefix that cannot be used is forgotten."""
        if isinstance(source, Slot):
            if not self._context.restore(slot.number, self._context.state(source.number)):
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
