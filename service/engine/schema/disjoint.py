"""Whether the options of `oneOf` can match the same value. Only what can be proven counts as disjoint.

In: subschemas and the root for references. Out: the first two that may overlap, or None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def overlap(options: Sequence[Any], root: Any) -> tuple[str, str] | None:
    """The first pair that is not provably disjoint, as "option 1" and "option 2"."""
    resolved = [_resolve(option, root) for option in options]
    for left in range(len(resolved)):
        for right in range(left + 1, len(resolved)):
            if not _disjoint(resolved[left], resolved[right], root):
                return f"option {left + 1}", f"option {right + 1}"
    return None


def _resolve(schema: Any, root: Any) -> Any:
    for _ in range(16):
        if not (isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str)):
            return schema
        target: Any = root
        for part in schema["$ref"].split("/")[1:]:
            target = target.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(target, Mapping) else {}
        schema = target
    return {}


def _literals(schema: Mapping[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    found = schema.get("enum")
    return found if isinstance(found, list) else None


def _same(left: Any, right: Any) -> bool:
    """JSON's equality: true is not 1, and 1 is 1.0."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def _kinds(schema: Mapping[str, Any]) -> set[str] | None:
    named = schema.get("type")
    if named is None:
        return None
    kinds = {named} if isinstance(named, str) else set(named)
    return kinds | {"integer"} if "number" in kinds else kinds


def _disjoint(left: Any, right: Any, root: Any) -> bool:
    if not (isinstance(left, Mapping) and isinstance(right, Mapping)):
        return False
    mine, theirs = _literals(left), _literals(right)
    if mine is not None and theirs is not None:
        return not any(_same(a, b) for a in mine for b in theirs)
    kinds, others = _kinds(left), _kinds(right)
    if kinds is not None and others is not None and not kinds & others:
        return True
    if kinds == others == {"object"}:
        shared = set(left.get("required", [])) & set(right.get("required", []))
        for name in shared:
            a = _resolve(left.get("properties", {}).get(name), root)
            b = _resolve(right.get("properties", {}).get(name), root)
            tagged = isinstance(a, Mapping) and isinstance(b, Mapping) and _literals(a) and _literals(b)
            if tagged and _disjoint(a, b, root):
                return True
    return False
