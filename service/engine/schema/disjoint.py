"""Whether the options of `oneOf` can match the same value. Only what can be proven counts as disjoint.

In: subschemas and the root for references. Out: why they may overlap, naming the first two, or None. Options that are
told apart by their literals, or by the literals of one property that all of them require, take time in proportion to
their number; of others at most `MAX_COMPARED` are compared, each with each.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from service import json_pointer

MAX_COMPARED = 64


def overlap(options: Sequence[Any], root: Any) -> str | None:
    """What is wrong with the first pair that is not provably disjoint, as the end of a sentence."""
    resolved = [_resolve(option, root) for option in options]
    literals = [_literals(option) if isinstance(option, Mapping) else None for option in resolved]
    if all(values is not None for values in literals):
        pair = _shared(literals)
        return pair and _told(*pair)
    if any(_shared(tags) is None for tags in _tags(resolved, root)):
        return None
    for right in range(1, len(resolved)):
        if right >= MAX_COMPARED:
            return f"has more than {MAX_COMPARED} options, and no property tells them apart"
        for left in range(right):
            if not _disjoint(resolved[left], resolved[right], root):
                return _told(left, right)
    return None


def _told(left: int, right: int) -> str:
    return f"may match option {left + 1} and option {right + 1} at once"


def _resolve(schema: Any, root: Any) -> Any:
    for _ in range(16):
        if not (isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str)):
            return schema
        try:
            schema, _ = json_pointer.follow_reference(root, schema["$ref"])
        except LookupError:
            return {}
    return {}


def _literals(schema: Mapping[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    found = schema.get("enum")
    return found if isinstance(found, list) else None


def _key(value: Any) -> Hashable:
    """Equal for values that JSON calls equal: true is not 1, and 1 is 1.0."""
    if isinstance(value, Mapping):
        return "object", frozenset((name, _key(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return "array", tuple(_key(inner) for inner in value)
    return type(value) is bool, value


def _shared(literals: Sequence[list[Any] | None]) -> tuple[int, int] | None:
    """The first two options that share a literal."""
    owners: dict[Hashable, int] = {}
    for at, values in enumerate(literals):
        for key in {_key(value) for value in values or ()}:
            if key in owners:
                return owners[key], at
            owners[key] = at
    return None


def _required(schema: Any) -> list[str]:
    return list(schema.get("required", [])) if isinstance(schema, Mapping) and _kinds(schema) == {"object"} else []


def _tags(resolved: Sequence[Any], root: Any) -> list[list[list[Any] | None]]:
    """For each property that every option requires and gives literals: the literals, option by option."""
    shared = set(_required(resolved[0])).intersection(*(_required(option) for option in resolved[1:]))
    found = []
    for name in sorted(shared)[:MAX_COMPARED]:
        tags = [_resolve(option.get("properties", {}).get(name), root) for option in resolved]
        literals = [_literals(tag) if isinstance(tag, Mapping) else None for tag in tags]
        if all(literals):
            found.append(literals)
    return found


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
        return _shared([mine, theirs]) is None
    kinds, others = _kinds(left), _kinds(right)
    if kinds is not None and others is not None and not kinds & others:
        return True
    if kinds == others == {"object"}:
        return any(_shared(tags) is None for tags in _tags([left, right], root))
    return False
