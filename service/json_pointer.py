"""JSON Pointer (RFC 6901): write one, read one, follow one.

In: a path of names and indexes, a pointer's text, or the fragment of a `$ref`. Out: text, parts, or the value there.
Not here: which places in a document are allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from service.errors import MAX_NAME, MAX_POINTER

INDEX = re.compile(r"0|[1-9][0-9]*", re.ASCII)
MAX_INDEX_DIGITS = 18
"""An index with more digits is in no list, and Python takes quadratic time to read it."""


def pointer(parts: Iterable[str | int]) -> str:
    """The pointer for an error message: a long name is cut, and of a long pointer only the end is kept."""
    names = (text if len(text) <= MAX_NAME else text[:MAX_NAME] + "..." for text in map(str, parts))
    text = "".join("/" + escape(name) for name in names)
    return text if len(text) <= MAX_POINTER else "/..." + text[-MAX_POINTER:]


def escape(name: str) -> str:
    """A name as one part of a pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def parts(text: str) -> list[str]:
    """The names in a pointer, unescaped. The text before the first `/` is ignored."""
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def follow(document: Any, text: str) -> tuple[Any, tuple[str | int, ...]]:
    """The value at a pointer, and its path with list indexes as numbers.

    Raises:
        LookupError: if the document has no such place.
    """
    value, path = document, []
    for part in parts(text):
        step: str | int = part
        if isinstance(value, list):
            if not INDEX.fullmatch(part) or len(part) > MAX_INDEX_DIGITS:
                raise LookupError(text)
            step = int(part)
        elif not isinstance(value, Mapping):
            raise LookupError(text)
        value = value[step]
        path.append(step)
    return value, tuple(path)


def follow_reference(document: Any, reference: str) -> tuple[Any, tuple[str | int, ...]]:
    """`follow` for a `$ref` into the same document: `#`, or `#/` and a percent-encoded pointer (RFC 6901, section 6).

    Raises:
        LookupError: if it leads elsewhere, or the document has no such place.
    """
    if reference != "#" and not reference.startswith("#/"):
        raise LookupError(reference)
    return follow(document, unquote(reference[1:]))
