"""Keywords of older drafts, in the words of draft 2020-12.

In: the constraints of one schema object. Out: the same constraints, and nothing else. `validator` reads the old words
itself (`grammar.py`), so paths in a schema stay as its author wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OLD_DRAFTS = ("draft-03", "draft-04", "draft-05", "draft-06", "draft-07")


def has_old_references(root: Any) -> bool:
    """Whether `$schema` names a draft in which a `$ref` hides the keywords beside it."""
    named = root.get("$schema") if isinstance(root, Mapping) else None
    return isinstance(named, str) and any(draft in named for draft in OLD_DRAFTS)


def modern(words: Mapping[str, Any]) -> dict[str, Any]:
    """The same constraints without the words of older drafts. The order of keywords stays."""
    new: dict[str, Any] = {}
    for word, value in words.items():
        if word == "items" and isinstance(value, list):
            new["prefixItems"] = value
            if "additionalItems" in words:
                new["items"] = words["additionalItems"]
        elif word == "additionalItems":
            continue  # beside an `items` that is no list it has no effect
        elif word in ("exclusiveMinimum", "exclusiveMaximum") and isinstance(value, bool):
            inclusive = word.removeprefix("exclusive").lower()
            if value and inclusive in words:
                new[word] = words[inclusive]
        elif word == "dependencies":
            lists = {name: inner for name, inner in value.items() if isinstance(inner, list)}
            schemas = {name: inner for name, inner in value.items() if not isinstance(inner, list)}
            for kind, part in (("dependentRequired", lists), ("dependentSchemas", schemas)):
                if part:
                    new[kind] = {**part, **words.get(kind, {})}
        else:
            new.setdefault(word, value)
    if new.get("prefixItems") == []:
        del new["prefixItems"]
    return new
