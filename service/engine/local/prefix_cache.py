"""The prefix cache: states of prompt prefixes, for later prompts with the same prefix and the same salt.

In: token ids, a sequence's state as llama.cpp writes it, the salt under which it was computed.
Out: the same bytes, so an exact answer may start from them.
Not here: llama.cpp, slots, requests, the rule for reuse (`scheduler.reusable_tokens`).

There are two kinds. A prefix without a salt belongs to a promoted prompt: it is shared by all callers, pinned in
memory, and saved on the cache volume. Any other prefix was seen twice under one salt. It is kept in memory only, for
requests with that salt. Memory is bounded in bytes. The least recently used prefix is evicted first, pinned ones last.
A saved prefix is read again after its eviction.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.engine.local.prefix_store import PrefixStore

State = npt.NDArray[np.uint8]
MAX_SEEN = 4096  # prefixes that were shared once, a few dozen bytes each


@dataclass(eq=False)
class Prefix:
    """Tokens and their state, None if it is only on disk. The first `canonical` tokens were computed in whole
    chunks.
    """

    tokens: list[int]
    canonical: int
    state: State | None = None
    path: Path | None = None
    pinned: bool = False
    salt: str | None = None  # None: for everybody
    used: int = field(default=0)


class PrefixCache:
    """At most `limit_bytes` of states in memory. With a limit of 0 nothing is kept."""

    def __init__(self, limit_bytes: int, *, chunk: int, files: PrefixStore | None = None) -> None:
        self._limit = limit_bytes
        self._chunk = chunk
        self._files = files if limit_bytes else None
        self._clock = 0
        self._seen: OrderedDict[int, None] = OrderedDict()
        self.counters: dict[str, float] = dict.fromkeys(("prefix_restored", "prefix_lost", "prefix_evicted"), 0.0)
        saved = (
            files.index() if files is not None else []
        )  # also with a limit of 0, because untrusted files are removed
        self._kept = [Prefix(tokens, canonical, path=path) for tokens, canonical, path in saved if self._files]

    def __iter__(self) -> Iterator[Prefix]:
        """Every beginning that can be had, in memory or on disk."""
        return iter(self._kept)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._kept)

    @property
    def size_bytes(self) -> int:
        """Bytes in memory."""
        return sum(prefix.state.nbytes for prefix in self._kept if prefix.state is not None)

    def pin(self, tokens: Sequence[int]) -> bool:
        """Whether exactly these tokens are kept for all callers. Such a prefix is pinned from now on."""
        for prefix in self._kept:
            if prefix.salt is None and prefix.tokens == tokens:
                prefix.pinned = True
                return True
        return False

    def worth_keeping(self, tokens: Sequence[int], salt: str | None = "") -> bool:
        """Whether this beginning, which two prompts just shared, should be kept: it was shared before, and is new.

        Beginnings are told apart by their whole chunks. A conversation that grows by a turn shares a new and longer
        one each time, so it never counts twice.
        """
        head = list(tokens[: len(tokens) - len(tokens) % self._chunk])
        if not self._limit or not head:
            return False
        if any(prefix.salt in (None, salt) and prefix.tokens[: len(head)] == head for prefix in self._kept):
            return False
        key = hash((salt, *head))
        if key in self._seen:
            del self._seen[key]
            return True
        self._seen[key] = None
        while len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)
        return False

    def keep(self, tokens: Sequence[int], canonical: int, state: State, salt: str | None = "") -> None:
        """Keep the state of these tokens. Without a salt it is shared, and saved on the volume."""
        if state.nbytes > self._limit:
            return
        prefix = Prefix(list(tokens), canonical, state, pinned=salt is None, salt=salt)
        self._touch(prefix)
        self._kept.append(prefix)
        self._evict(prefix)
        if self._files is not None and salt is None:
            self._files.save(prefix.tokens, canonical, state, lambda path: setattr(prefix, "path", path))

    def state(self, prefix: Prefix) -> State | None:
        """The state. None, and the prefix is removed, if its file is missing or damaged."""
        self._touch(prefix)
        if prefix.state is None:
            assert prefix.path is not None
            assert self._files is not None
            prefix.state = self._files.load(prefix.path)
            if prefix.state is None:
                self.counters["prefix_lost"] += 1
                self._kept.remove(prefix)
                return None
            self.counters["prefix_restored"] += 1
            self._evict(prefix)
        return prefix.state

    def drop(self, prefix: Prefix) -> None:
        """Remove a prefix with an unusable state, from memory and disk."""
        self._kept.remove(prefix)
        if self._files is not None and prefix.path is not None:
            self._files.delete(prefix.path)

    def _touch(self, prefix: Prefix) -> None:
        self._clock += 1
        prefix.used = self._clock

    def _evict(self, fresh: Prefix) -> None:
        """Make room: the least recently used first, pinned ones last, never the one that is wanted now."""
        others = [prefix for prefix in self._kept if prefix.state is not None and prefix is not fresh]
        for prefix in sorted(others, key=lambda prefix: (prefix.pinned, prefix.used)):
            if self.size_bytes <= self._limit:
                return
            self.counters["prefix_evicted"] += 1
            prefix.state = None
            if prefix.path is None:
                self._kept.remove(prefix)
