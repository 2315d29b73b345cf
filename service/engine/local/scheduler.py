"""Decides which sequences are computed next. A pure policy over sequences and slots: no I/O, no clock, no llama.cpp.

One step of the worker, decided in this order:

1. Cancelled sequences are removed first.
2. A waiting request takes a free slot next to the busy ones. Of sequences with streams of their own llama.cpp batches
   only neighbours: a gap splits the batch, and each part reads all the weights again. In one cache any free slot will
   do. Among those slots it takes the one with the longest common prefix, else an empty one, else the least recently
   used one. A longer prefix in the prefix cache or in another slot is copied. Interactive requests go first. A
   background request may not take the last free slot, so an interactive one never waits for a build to end. If a prompt
   that is being computed begins like the request's, the request waits until that beginning is there to copy. So a burst
   of requests computes their common prefix once.
3. If no sequence is answering, the next prompt advances by one chunk.
4. If a sequence is answering, one prompt chunk follows each answer step. So inter-token latencies stay level and first
   tokens still come. Interactive prompts go before background ones, then the one with the fewest tokens left. Warm-up
   prefixes are computed only while no prompt waits.
5. All answering sequences in fast mode take their next token in one batch, with drafted tokens (`speculation`).
6. Each answering sequence in exact mode takes its next token in its own batch, so its arithmetic does not depend on
   other sequences. The same holds for sequences that score labels. In fast mode and one cache those of one sequence
   share a batch (`label_scorer`).
7. Where all sequences are in one cache, fast prompts and up to `MIXED_ANSWERS` fast answers share a batch: the next
   tokens of all answers, and as many prompt tokens, of one prompt or of several, as make it `CHUNK` tokens, at least
   half of that. A step of any size costs a few milliseconds beside its tokens, so fewer steps are faster. An
   interactive prompt is not joined by background ones. Sequences with streams of their own are not mixed: llama.cpp
   would split such a batch.

Exact prompts are computed alone, in chunks of at most `CHUNK` tokens that end at multiples of `CHUNK` from the start. A
prefix that ends at such a boundary has the same bits whichever request computed it, so exact requests may share it. The
prompts of labels are computed alone in both modes, so their probabilities depend on no request beside them, and in fast
mode only on the prefix that is reused. A fast chunk begins where the reused prefix ends, so a short rest is one chunk.

Cache salts decide about sharing. A request starts from tokens computed under its own salt, or from shared ones (salt
None: the prefixes of promoted prompts). So its cache hits reveal nothing about other callers.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.engine.local.recipe import CHUNK, DRAFT_ROWS, FORCED_RUN, UBATCH

MIXED_ANSWERS = (UBATCH - CHUNK - DRAFT_ROWS) // FORCED_RUN
"""Answers for which there is room in llama.cpp's batch beside a chunk of prompts."""


class StoredTokens(Protocol):
    """Tokens with a stored state. The first `canonical` were computed alone in whole chunks. Salt None: shared by all
    callers.
    """

    tokens: list[int]
    canonical: int
    salt: str | None


@dataclass
class StoredPrompt:
    """A prompt as it will be stored (`StoredTokens`)."""

    tokens: list[int]
    canonical: int
    salt: str | None


@dataclass
class Slot:
    """One sequence of the context and its tokens (`StoredTokens`)."""

    number: int
    tokens: list[int] = field(default_factory=list)
    canonical: int = 0
    owner: int | None = None
    used: int = 0  # step of the last use, for eviction
    salt: str | None = ""  # the salt of the request that computed these tokens


@dataclass
class ScheduledSequence:
    """A request that has, or waits for, a slot."""

    id: int
    prompt: list[int]
    exact: bool
    background: bool
    slot: Slot | None = None
    done: int = 0  # prompt tokens that are in the slot's memory
    answering: bool = False
    scoring: bool = False  # its labels are computed, in steps of their own
    is_warmup: bool = False  # only a prefix, decoded before anybody asks
    salt: str | None = ""  # None: it is decoded for everybody
    reads_all: bool = False  # the logits of every prompt token are wanted, so all are computed
    has_labels: bool = False  # the labels behind its prompt are scored

    @property
    def left(self) -> int:
        """Prompt tokens still to compute."""
        return len(self.prompt) - self.done

    @property
    def mixes(self) -> bool:
        """Whether its prompt may share a batch with other sequences."""
        return not (self.exact or self.has_labels or self.reads_all or self.is_warmup)


@dataclass(frozen=True)
class Step:
    """One unit of work, computed as one batch: chunks of prompts with their sizes, and answers that go on."""

    chunks: tuple[tuple[ScheduledSequence, int], ...] = ()
    answers: tuple[ScheduledSequence, ...] = ()

    @property
    def sequences(self) -> tuple[ScheduledSequence, ...]:
        """All of them."""
        return (*(sequence for sequence, _ in self.chunks), *self.answers)

    def only(self, ids: Container[int]) -> Step:
        """The step without the sequences that have other ids."""
        return Step(
            tuple(chunk for chunk in self.chunks if chunk[0].id in ids),
            tuple(sequence for sequence in self.answers if sequence.id in ids),
        )

    def split(self) -> list[Step]:
        """The same work with one sequence in each step."""
        return [Step((chunk,)) for chunk in self.chunks] + [Step((), (sequence,)) for sequence in self.answers]


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the common beginning."""
    size = min(len(left), len(right))
    if left[:size] == right[:size]:
        return size
    low, high = 0, size
    while low < high:  # the longest equal beginning, by bisection over slices (they compare in C)
        middle = (low + high + 1) // 2
        if left[:middle] == right[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def reusable_tokens(held: StoredTokens, prompt: Sequence[int], *, exact: bool, salt: str | None = "") -> int:
    """The number of prompt tokens that this request can take from `held`.

    The last prompt token is always computed, because its logits are needed. An exact request takes only whole chunks.
    A request with another salt takes nothing.
    """
    if held.salt is not None and held.salt != salt:
        return 0
    size = min(common_length(held.tokens, prompt), len(prompt) - 1)
    if exact:
        size = min(size, held.canonical)
        size -= size % CHUNK
    return size


@dataclass(frozen=True)
class Placement:
    """The slot for a request, and the source (perhaps the slot itself) of its first `reuse` tokens."""

    slot: Slot
    source: StoredTokens
    reuse: int


def place(
    slots: Sequence[Slot],
    prompt: Sequence[int],
    *,
    exact: bool,
    background: bool,
    salt: str | None = "",
    kept: Iterable[StoredTokens] = (),
    shares: bool = False,
    copies_on_device: bool = False,
) -> Placement | None:
    """Rule 2. None when no slot is free for this request. `kept` are prefixes that no slot needs to hold.

    Where all slots are in one cache (`shares`), any free one will do, and another slot with the same beginning is a
    better source than a prefix: a copy of a slot shares its keys, a prefix is read into memory of its own. It is also
    the better one if a copy stays on a device (`copies_on_device`), because a prefix is in the CPU's memory.
    """
    free = [slot for slot in slots if slot.owner is None]
    if not free or (background and len(free) == 1 and len(slots) > 1):
        return None
    beside = free if shares else neighbours(slots)

    def size(held: StoredTokens) -> int:
        return reusable_tokens(held, prompt, exact=exact, salt=salt)

    best = max(slots, key=lambda slot: (size(slot), slot in beside, -slot.number))
    reuse = size(best)
    prefix = max(kept, key=size, default=None)
    from_prefix = size(prefix) if prefix is not None else 0
    if reuse and reuse >= from_prefix and best in beside and reuse * 2 >= len(best.tokens):
        return Placement(best, best, reuse)  # the rest of the slot is worth less than a copy costs
    source: StoredTokens | None = best if reuse else None
    if (
        prefix is not None
        and from_prefix
        and (from_prefix > reuse or (from_prefix == reuse and not (shares or copies_on_device)))
    ):
        source, reuse = prefix, from_prefix
    others = [slot for slot in beside if slot is not source] or beside
    target = min(others, key=lambda slot: (bool(slot.tokens), slot.used, slot.number))
    return Placement(target, source or target, reuse)


def neighbours(slots: Sequence[Slot]) -> list[Slot]:
    """The free slots that keep the busy ones together: those in a gap, else those at either end, else all."""
    free = [slot for slot in slots if slot.owner is None]
    busy = [slot.number for slot in slots if slot.owner is not None]
    if not busy:
        return free
    low, high = min(busy), max(busy)
    gaps = [slot for slot in free if low < slot.number < high]
    return gaps or [slot for slot in free if slot.number in (low - 1, high + 1)]


def computed_soon(sequence: ScheduledSequence, running: Iterable[ScheduledSequence]) -> int:
    """The number of prompt tokens that this request could take from prompts that are being computed, once they are.

    An interactive request never waits for a background one.
    """
    best = 0
    for other in running:
        slot = other.slot
        if slot is None or other.answering or other.is_warmup or (other.background and not sequence.background):
            continue
        canonical = len(other.prompt) if slot.canonical == other.done else slot.canonical
        whole = StoredPrompt(other.prompt, canonical, other.salt)
        size = reusable_tokens(whole, sequence.prompt, exact=sequence.exact, salt=sequence.salt)
        if size > other.done:
            best = max(best, size)
    return best


class Scheduler:
    """Rules 3 to 7 over the sequences that have a slot. `mixes`: whether rule 7 applies."""

    def __init__(self, *, mixes: bool = False) -> None:
        self._mixes = mixes
        self._prompt_is_next = True

    def next(self, sequences: Iterable[ScheduledSequence]) -> list[Step]:
        """The next steps, in order. Empty when there is nothing to do."""
        running = [sequence for sequence in sequences if sequence.slot is not None]
        prompts = sorted(
            (sequence for sequence in running if not sequence.answering),
            key=lambda sequence: (sequence.is_warmup, sequence.background, sequence.left, sequence.id),
        )
        answering = [sequence for sequence in running if sequence.answering]
        alone = [Step((), (sequence,)) for sequence in answering if sequence.exact or sequence.scoring]
        together = [sequence for sequence in answering if not sequence.exact and not sequence.scoring]
        fast = tuple(sorted(together, key=lambda s: s.slot.number if s.slot else 0))
        mixes = self._mixes and len(fast) <= MIXED_ANSWERS
        turn = prompts and (not answering or self._prompt_is_next)
        if turn and not (mixes and prompts[0].mixes):
            self._prompt_is_next = False
            return [Step(((prompts[0], chunk_size(prompts[0])),))]
        self._prompt_is_next = True
        step = Step(chunks(prompts, max(CHUNK // 2, CHUNK - len(fast))) if mixes else (), fast)
        return ([step] if step.sequences else []) + alone


def chunks(prompts: Iterable[ScheduledSequence], left: int) -> tuple[tuple[ScheduledSequence, int], ...]:
    """Chunks of the first prompts that may share a batch, `left` tokens in all. Background ones keep apart."""
    taken: list[tuple[ScheduledSequence, int]] = []
    for sequence in prompts:
        size = min(left, chunk_size(sequence))
        if size and sequence.mixes and (not taken or sequence.background == taken[0][0].background):
            taken.append((sequence, size))
            left -= size
    return tuple(taken)


def chunk_size(sequence: ScheduledSequence) -> int:
    """Tokens of the next chunk. In exact mode it ends at a multiple of CHUNK from the prompt's beginning."""
    return min(sequence.left, CHUNK - sequence.done % CHUNK if sequence.exact else CHUNK)
