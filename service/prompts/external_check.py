"""The mark of a `python` check that looks at more than its arguments: a page in a browser, a compiler, a server.

    @external_check("a browser")
    def works(values, text, value): ...

The result of such a check is kept in the recording beside the answer. A replay reads it from there, so that it needs no
browser and takes seconds. A live run checks again and must get the same result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "__sameboat_external__"


def external_check(dependency: str) -> Callable[[F], F]:
    """Mark a check that needs `dependency`, such as "a browser". An error names it where it is missing."""

    def mark(function: F) -> F:
        setattr(function, _MARK, dependency)
        return function

    return mark


def external_dependency(function: Callable[..., Any]) -> str | None:
    """The dependency of a marked check, or None for a check that only looks at its arguments."""
    dependency: str | None = getattr(function, _MARK, None)
    return dependency
