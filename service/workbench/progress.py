"""The progress bar of a notebook's cell or of a terminal.

In: a title and the progress. Out: one line, which disappears at the end, or a sentence if the run is interrupted. Also
the other sentences for a person.
Not here: the run itself, which the workbench waits for.
"""

from __future__ import annotations

import html
import sys
from time import monotonic
from typing import Any


class ProgressBar:
    """A progress bar in a cell's output or on a terminal. It disappears when the run is over."""

    def __init__(self, title: str) -> None:
        self.title, self.done, self.total, self.started = title, 0, 0, monotonic()
        self.handle: Any = None

    def update(self, done: int, total: int) -> None:
        """Takes the progress. The run calls it from its own thread."""
        self.done, self.total = done, total

    def draw(self) -> None:
        """Show the progress."""
        line = f"{self.title} {self.done}/{self.total or '?'}{self._left()}"
        if not in_notebook():
            if sys.stderr.isatty():
                print(f"\r{line}", end="", file=sys.stderr, flush=True)  # noqa: T201
            return
        from IPython.display import HTML, display

        share = 100 * self.done / self.total if self.total else 0
        bar = HTML(f"<progress max='100' value='{share:.0f}'></progress> {html.escape(line)}")
        if self.handle is None:
            self.handle = display(bar, display_id=True)
        else:
            self.handle.update(bar)

    def _left(self) -> str:
        """The time left, from the time so far."""
        seconds = monotonic() - self.started
        if not self.done or seconds < 5:
            return ""
        return f", about {seconds * (self.total - self.done) / self.done:.0f} s left"

    def interrupted(self) -> None:
        """Tell the progress of an interrupted run, and that it will go on from there."""
        if self.total:
            answers = f"{self.done} of {self.total} answers"
            print(f"{self.title}: interrupted after {answers}. They are kept: the same call goes on from there.")  # noqa: T201

    def clear(self) -> None:
        """Remove the bar, so that a saved notebook holds only the results."""
        if self.handle is not None:
            from IPython.display import HTML

            self.handle.update(HTML(""))
        elif not in_notebook() and sys.stderr.isatty():
            print(f"\r{'':60}\r", end="", file=sys.stderr, flush=True)  # noqa: T201


def say(sentence: str) -> None:
    """Print a sentence for a person, in a cell's output or on a terminal."""
    print(sentence)  # noqa: T201


class SayOnce:
    """Prints each sentence once, for several runs on the same cases."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def __call__(self, sentence: str) -> None:
        """Print the sentence if it is new."""
        if sentence not in self._said:
            self._said.add(sentence)
            say(sentence)


def in_notebook() -> bool:
    """Whether this runs in a notebook's kernel. IPython is not imported for the question."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None
