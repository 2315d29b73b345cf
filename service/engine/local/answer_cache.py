"""The answer cache: a deterministic request that is repeated gets the same answer without computing.

In: requests with a fingerprint, their answers. Out: the same answer, marked `reused`.
Not here: callers.

It is bounded in number and in bytes, and evicts the least recently used answer. The key is the request's salt, so a
caller learns nothing about another, and its fingerprint, which covers everything that decides an answer. Answers with
log-probabilities are not cached: these take up to 100 times the memory of their text.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import replace

from service.engine.types import Answer, Request, Timings

LIMIT_BYTES = 32 << 20  # 2,048 answers, the default of SAMEBOAT_ANSWER_CACHE_SIZE, of 300 tokens each
TOKEN_BYTES = 48  # an int, and its place in the tuple
ENTRY_BYTES = 1_024  # the key, the answer's own objects, the map's share


class AnswerCache:
    """At most `limit` answers by salt and fingerprint, of at most `limit_bytes` together."""

    def __init__(self, limit: int, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._answers: OrderedDict[tuple[str, str], tuple[Answer, int]] = OrderedDict()
        self.size_bytes = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self._answers)

    def get(self, request: Request) -> Answer | None:
        """The answer that was given to this request, unless it refuses to be given one."""
        if not request.reuse or request.fingerprint is None:
            return None
        key = (request.cache_salt, request.fingerprint)
        if key not in self._answers:
            return None
        self._answers.move_to_end(key)
        answer, _ = self._answers[key]
        return replace(answer, reused=True, timings=Timings(0.0, 0.0, 0.0))

    def put(self, request: Request, answer: Answer) -> None:
        """Remember an answer that asking again would give again: greedy, scored, or exact with its seed."""
        deterministic = request.sampling.temperature <= 0 or request.choices or request.mode == "exact"
        if request.fingerprint is None or not deterministic or answer.logprobs is not None:
            return
        size = memory_bytes(answer)
        if size > self._limit_bytes:
            return
        key = (request.cache_salt, request.fingerprint)
        self._drop(key)
        self._answers[key] = (answer, size)
        self.size_bytes += size
        while len(self._answers) > self._limit or self.size_bytes > self._limit_bytes:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: tuple[str, str]) -> None:
        _, size = self._answers.pop(key, (None, 0))
        self.size_bytes -= size


def memory_bytes(answer: Answer) -> int:
    """The memory of a cached answer in bytes, at least its real size."""
    labels = sum(
        sys.getsizeof(label) + 4 * sys.getsizeof(share) for label, share in (answer.probabilities or {}).items()
    )
    return (
        ENTRY_BYTES
        + sys.getsizeof(answer.text)
        + TOKEN_BYTES * len(answer.tokens)
        + labels
        + 2 * sys.getsizeof(answer.probabilities)
    )
