"""Whether the options of `oneOf` can match the same value. Only a proof counts as disjoint.

In: subschemas, and the references of their document. Out: yes or no. Options with literals, or with literals in one
property that all of them require, take time in proportion to their number. Of others at most `MAX_COMPARED` are
compared, each with each.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from service.engine.schema.keywords import TYPES
from service.engine.schema.references import References

MAX_COMPARED = 64
MAX_STEPS = 16  # from reference to reference


def disjoint(options: Sequence[Any], references: References) -> bool:
    """Whether no value can match two of the options."""
    resolved = [_resolve(option, references) for option in options]
    literals = [_literals(option) for option in resolved]
    if all(values is not None for values in literals):
        return not _shared(literals)
    if _tagged(resolved, references):
        return True
    if len(resolved) > MAX_COMPARED:
        return False
    pairs = ((one, other) for at, one in enumerate(resolved) for other in resolved[:at])
    return all(_apart(one, other, references) for one, other in pairs)


def _resolve(schema: Any, references: References) -> Any:
    for _ in range(MAX_STEPS):
        if not (isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str)):
            return schema
        resolved = references.resolve(schema["$ref"])
        schema = resolved[0] if resolved else {}
    return {}


def _literals(schema: Any) -> list[Any] | None:
    if not isinstance(schema, Mapping):
        return None
    if "const" in schema:
        return [schema["const"]]
    values = schema.get("enum")
    return values if isinstance(values, list) else None


def _key(value: Any) -> Hashable:
    """Equal for values that JSON calls equal: true is not 1, and 1 is 1.0."""
    if isinstance(value, Mapping):
        return "object", frozenset((name, _key(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return "array", tuple(_key(inner) for inner in value)
    return type(value) is bool, value


def _shared(literals: Sequence[list[Any] | None]) -> bool:
    """Whether two options share a literal."""
    seen: set[Hashable] = set()
    for values in literals:
        keys = {_key(value) for value in values or ()}
        if keys & seen:
            return True
        seen |= keys
    return False


def _required(schema: Any) -> set[str]:
    names = schema.get("required") if isinstance(schema, Mapping) and _types(schema) == {"object"} else None
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def _property(schema: Any, name: str, references: References) -> Any:
    properties = schema.get("properties")
    return _resolve(properties.get(name), references) if isinstance(properties, Mapping) else None


def _tagged(resolved: Sequence[Any], references: References) -> bool:
    """Whether one property that every option requires has other literals in each of them."""
    names = set.intersection(*(_required(option) for option in resolved)) if resolved else set()
    for name in sorted(names)[:MAX_COMPARED]:
        tags = [_literals(_property(option, name, references)) for option in resolved]
        if all(tags) and not _shared(tags):
            return True
    return False


def _types(schema: Mapping[str, Any]) -> set[str]:
    named = schema.get("type", list(TYPES))
    kinds = {named} if isinstance(named, str) else set(named) if isinstance(named, list) else set(TYPES)
    return kinds | {"integer"} if "number" in kinds else kinds


def _apart(one: Any, other: Any, references: References) -> bool:
    if one is False or other is False:
        return True
    if not (isinstance(one, Mapping) and isinstance(other, Mapping)):
        return False
    values = [_literals(one), _literals(other)]
    if None not in values:
        return not _shared(values)
    return not _types(one) & _types(other) or _tagged([one, other], references)
