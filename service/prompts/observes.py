"""The mark of a `python` check that looks at more than what it is given: a page in a browser, a compiler, a server.

    @observes("a browser")
    def works(values, text, value): ...

What such a check saw is kept in the recording beside the answer, so that a replay needs none of it and takes seconds. A
live run looks again, and has to see the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__sameboat_observes__"


def observes(what: str) -> Callable[[F], F]:
    """Mark a check; `what` is named where it is missing."""

    def marked(function: F) -> F:
        setattr(function, _MARK, what)
        return function

    return marked


def observed(function: Callable[..., Any]) -> str | None:
    """What a check looks at besides its arguments; None for one that only looks at them."""
    found: str | None = getattr(function, _MARK, None)
    return found
