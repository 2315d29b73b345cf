"""Incremental detokenizer: token bytes to text, whole characters only, and no text that a stop string could retract.

In: the bytes of each token, in order. Out: final text. The work per token is constant.
Not here: vocabularies, models.
"""

from __future__ import annotations

import codecs


class Detokenizer:
    """The text of one answer while it grows."""

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stop = tuple(word for word in stop if word)
        self._held = ""  # decoded, but it may be the beginning of a stop string
        self.stopped: str | None = None

    def add(self, data: bytes) -> str:
        """The text that is final now. After a stop string was found, `stopped` names it and nothing more comes."""
        if self.stopped is not None:
            return ""
        return self._release(self._decoder.decode(data))

    def end(self) -> str:
        """The withheld text, at the end of the answer. An incomplete character becomes U+FFFD."""
        if self.stopped is not None:
            return ""
        text = self._release(self._decoder.decode(b"", final=True))
        rest, self._held = self._held, ""
        return text + rest

    def _release(self, text: str) -> str:
        self._held += text
        hits = [(at, word) for word in self._stop if (at := self._held.find(word)) >= 0]
        if hits:
            at, self.stopped = min(hits, key=lambda hit: (hit[0], -len(hit[1])))
            final, self._held = self._held[:at], ""
            return final
        keep = max((_overlap(self._held, word) for word in self._stop), default=0)
        cut = len(self._held) - keep
        final, self._held = self._held[:cut], self._held[cut:]
        return final


def _overlap(text: str, word: str) -> int:
    """The length of the longest end of `text` with which `word` begins."""
    for size in range(min(len(text), len(word) - 1), 0, -1):
        if text.endswith(word[:size]):
            return size
    return 0
