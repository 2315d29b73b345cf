"""Divides an answer into thoughts and text, by the marks of the template.

In: pieces of an answer as they are made. Out: thoughts and text, without the marks and the space beside them.
Not here: which marks a model has (`engine.local.template`).
"""

from __future__ import annotations

from service.engine.types import Thinking


class ThinkingSplitter:
    """One answer. Thoughts come only at its beginning. A text that may yet become a mark is held back."""

    def __init__(self, thinking: Thinking) -> None:
        self._thinking = thinking
        self._state = "before"
        self._held = ""
        self._trims = False  # the space behind the last mark was not passed yet

    def add(self, text: str) -> tuple[str, str]:
        """The thoughts and the text that are sure."""
        self._held += text
        if self._state == "before":
            self._begin()
        thoughts = self._think() if self._state == "inside" else ""
        return self._shown(thoughts), self._say() if self._state == "after" else ""

    def end(self) -> tuple[str, str]:
        """The rest, once nothing follows."""
        if self._state == "inside" or (self._state == "before" and self._thinking.begun):
            return self._shown(self._held.rstrip()), ""
        return "", self._held

    def _shown(self, thoughts: str) -> str:
        return thoughts if self._thinking.shown else ""

    def _begin(self) -> None:
        start, opening = self._held.lstrip(), self._thinking.opening
        if start.startswith(opening):
            self._state, self._trims, self._held = "inside", True, start[len(opening) :]
        elif not opening.startswith(start):
            self._state = self._trims_to("inside") if self._thinking.begun else "after"

    def _trims_to(self, state: str) -> str:
        self._trims = True
        return state

    def _think(self) -> str:
        self._trim()
        before, closing, after = self._held.partition(self._thinking.closing)
        if closing:
            self._state, self._held = self._trims_to("after"), after
            return before.rstrip()
        mark = self._thinking.closing
        keep = next((size for size in range(len(mark) - 1, 0, -1) if before.endswith(mark[:size])), 0)
        sure = before[: len(before) - keep].rstrip()
        self._held = before[len(sure) :]
        return sure

    def _say(self) -> str:
        self._trim()
        text, self._held = self._held, ""
        return text

    def _trim(self) -> None:
        if self._trims:
            self._held = self._held.lstrip()
            self._trims = not self._held
