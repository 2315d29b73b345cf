"""Where a `$ref` leads inside its own document. Nothing is ever fetched.

In: the whole schema, the text of a `$ref`. Out: the schema there and its path, or None. A JSON pointer is followed. A
name is looked up among the `$id`, `id` and `$anchor` of the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from service import json_pointer

Path = tuple[str | int, ...]


class References:
    """The places of one document that a `$ref` can name."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._named: dict[str, Path] | None = None

    def resolve(self, reference: str) -> tuple[Any, Path] | None:
        """The target and its path. None if it is not in this document."""
        base, _, fragment = reference.partition("#")
        start: Path | None = ()
        if base:
            start = self._names().get(base)
        if start is None:
            return None
        if fragment and not fragment.startswith("/"):
            start, fragment = self._names().get(f"#{fragment}"), ""
        if start is None:
            return None
        try:
            target, _ = json_pointer.follow(self._root, "".join(f"/{json_pointer.escape(str(part))}" for part in start))
            target, rest = json_pointer.follow(target, unquote(fragment))
        except LookupError:
            return None
        return target, (*start, *rest)

    def _names(self) -> dict[str, Path]:
        if self._named is None:
            self._named = {}
            pending: list[tuple[Path, Any]] = [((), self._root)]
            while pending:
                path, value = pending.pop()
                if isinstance(value, Mapping):
                    for word, mark in (("$id", ""), ("id", ""), ("$anchor", "#")):
                        if isinstance(value.get(word), str):
                            self._named.setdefault(mark + value[word].removesuffix("#"), path)
                    pending += [((*path, name), inner) for name, inner in value.items()]
                elif isinstance(value, list):
                    pending += [((*path, at), inner) for at, inner in enumerate(value)]
        return self._named
